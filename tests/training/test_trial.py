import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from trial_process import OVERRIDES, blobs, result, train, untimed
from warm_interpreter import warm_python

from mammogan import config, results
from mammogan.models.critic_file import load_critic
from mammogan.models.generator import load_generator
from mammogan.results import TrialResult, TrialStatus
from mammogan.training import loop, trainer, trial_folder
from mammogan.training import trial as trial_training
from mammogan.training.trainer import Trainer

SCRIPT = Path(__file__).with_name("trial_process.py")
STEPS = OVERRIDES["train.epochs"] * 3

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _no_pause_before_a_retry(monkeypatch):
    monkeypatch.setattr(trial_training, "RETRY_PAUSES_S", (0.0, 0.0))


def run_and_signal(folder, number, at_step):
    command = [warm_python(), str(SCRIPT), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line == f"step {at_step}\n":
                process.send_signal(number)
                break
        process.communicate(timeout=60)
    return process.returncode


def test_the_folder_is_the_one_the_architecture_names(uninterrupted):
    trained, folder = uninterrupted
    out = folder / "out"
    assert trained == results.read(TrialResult, out / "trial.json")
    assert list(json.loads((out / "trial.json").read_text())) == [
        "format", "gp_lambda", "seed", "data_digest", "epochs", "status", "reason", "key", "epochs_done",
        "frozen", "device", "train_s", "images_seen", "files",
    ]  # fmt: skip
    assert trained.trial.name == "lambda=3,seed=0"
    assert (trained.status, trained.reason, trained.epochs_done) == (TrialStatus.FINISHED, "", 4)
    assert trained.images_seen == STEPS * 2 * 4
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    epochs = ("0001", "0002", "0004")
    assert names == sorted(
        ["trial.json", "critic.pt", "history.jsonl"]
        + [f"snapshots/epoch_{epoch}.pt" for epoch in epochs]
        + [f"grids/epoch_{epoch}.png" for epoch in epochs]
    )
    assert load_generator(out / "snapshots/epoch_0004.pt").size == 28
    assert {file.name: file.sha256 for file in trained.files} == {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names if name != "trial.json"
    }


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("snapshots/epoch_0001.pt", "changed"),
        ("snapshots/epoch_0001.pt", "removed"),
        ("grids/epoch_0001.png", "changed"),
        ("critic.pt", "changed"),
        ("history.jsonl", "changed"),
    ],
)
def test_a_finished_trial_is_believed_only_with_the_files_that_it_wrote(uninterrupted, tmp_path, name, damage):
    shutil.copytree(uninterrupted[1] / "store", tmp_path / "store")
    (stored,) = (tmp_path / "store").rglob(name)
    if damage == "changed":
        stored.write_bytes(stored.read_bytes().replace(b"0", b"1", 1))
    else:
        stored.unlink()
    trained = train(tmp_path)
    assert trained.status is TrialStatus.FAILED
    assert f"{name} " in trained.reason
    assert trained.reason.endswith("remove the folder to train this trial anew")


def test_a_trial_continues_only_with_the_snapshots_that_it_wrote(tmp_path):
    assert run_and_signal(tmp_path, signal.SIGKILL, STEPS - 1) == -signal.SIGKILL
    (stored,) = (tmp_path / "store").rglob("epoch_0001.pt")
    stored.write_bytes(b"another")
    trained = train(tmp_path)
    assert trained.status is TrialStatus.FAILED
    assert "snapshots/epoch_0001.pt has the sha256" in trained.reason


def test_an_epoch_ends_when_the_device_is_done(tmp_path, monkeypatch):
    take_means, clock, waited_s = Trainer.take_means, time.perf_counter, []

    def waits(self):
        waited_s.append(1000.0)
        return take_means(self)

    monkeypatch.setattr(Trainer, "take_means", waits)
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + sum(waited_s))
    assert train(tmp_path).train_s > OVERRIDES["train.epochs"] * 1000


def test_the_critic_of_the_last_step_is_handed_on(tmp_path, monkeypatch):
    weights = {}
    advance = Trainer.advance

    def watched(self):
        advance(self)
        weights.update({key: value.clone() for key, value in self.critic.trained_state().items()})

    monkeypatch.setattr(Trainer, "advance", watched)
    trained = train(tmp_path, **{"train.epochs": 1})
    kept = load_critic(tmp_path / "out" / "critic.pt")
    assert kept.state_dict.keys() == weights.keys()
    assert all(torch.equal(kept.state_dict[key], value) for key, value in weights.items())
    assert kept.data_digest == "blobs"
    assert kept.frozen_sha256 == trained.frozen.sha256


def test_every_epoch_reports_every_quantity(tmp_path):
    rows = []
    train(tmp_path, report=lambda epoch, metrics: rows.append((epoch, set(metrics))), **{"train.epochs": 2})
    names = (
        "wasserstein penalty critic_loss generator_loss gradient_norm critic_grad_norm generator_grad_norm "
        "learning_rate"
    )
    pace = {"system/images_per_s", "system/device_memory_mb"}
    assert rows == [(epoch, {f"train/{name}" for name in names.split()} | pace) for epoch in (1, 2)]


def test_killed_at_a_random_step_it_continues_to_the_same_bits(uninterrupted, tmp_path):
    at_step = random.SystemRandom().randrange(1, STEPS)
    assert run_and_signal(tmp_path, signal.SIGKILL, at_step) == -signal.SIGKILL
    assert not (tmp_path / "out" / "trial.json").exists()
    train(tmp_path)
    assert result(tmp_path) == result(uninterrupted[1]), f"killed at step {at_step}"


def test_sigterm_saves_in_the_middle_of_an_epoch_and_leaves(uninterrupted, tmp_path):
    assert run_and_signal(tmp_path, signal.SIGTERM, 4) == 128 + signal.SIGTERM
    (checkpoint,) = [path for path in tmp_path.rglob("step_*.checkpoint") if not path.name.startswith("step_000000003")]
    assert checkpoint.name.startswith(("step_000000005", "step_000000006"))
    train(tmp_path)
    assert result(tmp_path) == result(uninterrupted[1])


def test_ctrl_c_saves_and_raises_keyboard_interrupt(uninterrupted, tmp_path, monkeypatch):
    advance = Trainer.advance

    def interrupted(self):
        if self.step == 5:
            signal.raise_signal(signal.SIGINT)
        advance(self)

    monkeypatch.setattr(Trainer, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    train(tmp_path)
    assert result(tmp_path) == result(uninterrupted[1])


def test_a_finished_trial_is_copied_and_reported_again_without_training(uninterrupted, tmp_path, monkeypatch):
    trained, folder = uninterrupted
    monkeypatch.setattr(Trainer, "advance", None)
    (tmp_path / "store").symlink_to(folder / "store")
    epochs, grids = [], []
    again = train(
        tmp_path,
        report=lambda epoch, _metrics: epochs.append(epoch),
        report_grid=lambda epoch, path: grids.append((epoch, path.is_file())),
    )
    assert again == trained
    assert result(tmp_path) == result(folder)
    assert epochs == [1, 2, 3, 4]
    assert grids == [(1, True), (2, True), (4, True)]


def test_another_lambda_seed_or_setting_is_another_trial(uninterrupted, tmp_path):
    keys = {train(tmp_path, **{"train.epochs": 1}, gp_lambda=gp_lambda).key for gp_lambda in (3.0, 5.0)}
    assert len(keys | {uninterrupted[0].key}) == 3


def test_a_lambda_that_gives_nan_ends_as_diverged(tmp_path):
    trained = train(tmp_path, gp_lambda=1e300)  # beyond float32
    assert trained.status is TrialStatus.DIVERGED
    assert trained.reason == "epoch 1: train/wasserstein is nan"
    assert results.read(TrialResult, tmp_path / "out" / "trial.json") == trained
    assert not list((tmp_path / "store").rglob("trial.json"))


@pytest.mark.parametrize("gp_lambda", [float("nan"), float("inf")])
def test_a_lambda_that_is_not_finite_is_refused_before_anything_is_written(tmp_path, gp_lambda):
    with pytest.raises(ValueError, match=f"gp_lambda={gp_lambda}: give a finite weight"):
        train(tmp_path, gp_lambda=gp_lambda)
    assert not list(tmp_path.iterdir())


def test_what_is_no_seed_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="seed=4294967296: give a whole number from 0 to 4294967295"):
        train(tmp_path, seed=2**32)
    assert not list(tmp_path.iterdir())


def test_what_another_version_finished_is_trained_again(tmp_path, capsys):
    first = train(tmp_path, **{"train.epochs": 1})
    (stored,) = (tmp_path / "store").rglob("trial.json")
    older = json.loads(stored.read_text())
    del older["format"]
    stored.write_text(json.dumps(older))
    again = train(tmp_path, **{"train.epochs": 1})
    assert "it has format 1 of another version" in capsys.readouterr().err
    assert untimed(again) == untimed(first)
    assert results.read(TrialResult, stored) == again


def poison(monkeypatch, at_step, times):
    """Let the penalty be NaN in one step, the first ``times`` times that it is reached."""
    left = [times]
    advance = Trainer.advance

    def poisoned(self):
        advance(self)
        if self.step == at_step and left[0]:
            left[0] -= 1
            self.sums[1] = float("nan")

    monkeypatch.setattr(Trainer, "advance", poisoned)


def test_a_divergence_goes_back_to_the_checkpoint_once(tmp_path, monkeypatch, capsys):
    poison(monkeypatch, at_step=8, times=1)
    trained = train(tmp_path)
    assert (trained.status, trained.epochs_done, trained.images_seen) == (TrialStatus.FINISHED, 4, STEPS * 2 * 4)
    assert "epoch 3: train/penalty is nan; going back" in capsys.readouterr().err
    assert [row.epoch for row in result(tmp_path)[1]] == [1, 2, 3, 4]


def test_a_second_divergence_ends_the_trial_with_its_history(tmp_path, monkeypatch):
    poison(monkeypatch, at_step=8, times=2)
    trained = train(tmp_path)
    assert (trained.status, trained.reason) == (TrialStatus.DIVERGED, "epoch 3: train/penalty is nan")
    assert len((tmp_path / "out" / "history.jsonl").read_text().splitlines()) == 2


def test_out_of_memory_halves_what_the_critic_sees_and_goes_on(uninterrupted, tmp_path, monkeypatch, capsys):
    fits = 2
    for name in ("critic_gradients", "generator_gradients"):
        original = getattr(trainer, name)

        def limited(*arguments, original=original):
            if 4 / arguments[-1] > fits:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return original(*arguments)

        monkeypatch.setattr(trainer, name, limited)
    assert train(tmp_path).status is TrialStatus.FINISHED
    assert capsys.readouterr().err.count("in 2 parts") == 1
    for ours, other in zip(result(tmp_path)[1], result(uninterrupted[1])[1], strict=True):
        assert ours.metrics == pytest.approx(other.metrics, rel=1e-2, abs=1e-2)


def test_memory_that_never_suffices_ends_as_failed(tmp_path, monkeypatch):
    def never(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer, "critic_gradients", never)
    trained = train(tmp_path)
    assert trained.status is TrialStatus.FAILED
    assert "CUDA out of memory" in trained.reason


def stop_at(monkeypatch, step):
    advance = Trainer.advance

    def stopped(self):
        advance(self)
        if self.step == step:
            raise SystemExit("as if killed")

    monkeypatch.setattr(Trainer, "advance", stopped)


@pytest.mark.parametrize("damage", ["truncated", "empty"])
def test_a_corrupt_newest_checkpoint_costs_an_epoch_and_not_the_result(
    uninterrupted, tmp_path, monkeypatch, capsys, damage
):
    stop_at(monkeypatch, 8)
    with pytest.raises(SystemExit):
        train(tmp_path)
    monkeypatch.undo()
    newest = max(tmp_path.rglob("step_*.checkpoint"))
    newest.write_bytes(newest.read_bytes()[: {"truncated": 5000, "empty": 0}[damage]])
    train(tmp_path)
    lines = capsys.readouterr().err
    assert "CORRUPT" in lines
    assert "continues after step 3 of 12" in lines
    assert result(tmp_path) == result(uninterrupted[1])


def test_a_full_disk_ends_as_failed_and_the_next_run_continues_to_the_same_bits(uninterrupted, tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def filling(descriptor):
        calls.append(descriptor)
        if 12 <= len(calls) < 20:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(trial_training.storage.os, "fsync", filling)
    with pytest.raises(OSError, match="No space left"):
        # even trial.json does not fit
        train(tmp_path)
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.undo()
    train(tmp_path)
    assert result(tmp_path) == result(uninterrupted[1])


def test_another_exception_ends_as_failed(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(loop, "save_grid", broken)
    trained = train(tmp_path)
    assert (trained.status, trained.reason) == (TrialStatus.FAILED, "RuntimeError: the disk is on fire")


def faulty(monkeypatch, at_step, times, error):
    """Let a step raise, the first ``times`` times that it is reached."""
    left, tries = [times], []
    advance = Trainer.advance

    def failing(self):
        if self.step == at_step and left[0]:
            left[0] -= 1
            tries.append(self)
            raise error
        advance(self)

    monkeypatch.setattr(Trainer, "advance", failing)
    return tries


@pytest.mark.parametrize(
    ("at_step", "checkpoint_every", "error"),
    [
        (7, 1, OSError(5, "Input/output error")),
        (7, 1, RuntimeError("CUDA error: unknown")),
        (5, 4, RuntimeError("CUDA error: unknown")),  # after an epoch, before any checkpoint
    ],
)
def test_a_fault_that_passes_is_outlived_in_the_same_process(
    uninterrupted, tmp_path, monkeypatch, capsys, at_step, checkpoint_every, error
):
    tries = faulty(monkeypatch, at_step, 2, error)
    assert train(tmp_path, **{"train.checkpoint_every": checkpoint_every}).status is TrialStatus.FINISHED
    assert len({id(trainer) for trainer in tries}) == 2  # each attempt with networks of its own
    assert capsys.readouterr().err.count("continuing from the last checkpoint") == 2
    assert result(tmp_path) == result(uninterrupted[1])


def test_a_store_that_was_waited_for_in_vain_ends_the_trial_at_once(tmp_path, monkeypatch):
    tries = faulty(monkeypatch, 7, 99, trial_training.storage.AwayError("s3://bucket/key: away"))
    trained = train(tmp_path)
    assert (trained.status, trained.reason) == (TrialStatus.FAILED, "AwayError: s3://bucket/key: away")
    assert len(tries) == 1


def test_a_fault_that_stays_ends_the_trial_after_two_more_attempts(tmp_path, monkeypatch):
    error = RuntimeError("CUDA error: unknown")
    tries, reported = faulty(monkeypatch, 7, 99, error), []
    trained = train(tmp_path, report_error=reported.append)
    assert (trained.status, trained.reason) == (TrialStatus.FAILED, "RuntimeError: CUDA error: unknown")
    assert reported == [error]
    assert len(tries) == 3
    assert trained.epochs_done == 2


def test_a_mistake_is_not_tried_again(tmp_path, monkeypatch):
    tries = faulty(monkeypatch, 1, 99, ValueError("model.x=1: use 2"))
    assert train(tmp_path).reason == "ValueError: model.x=1: use 2"
    assert len(tries) == 1


def test_missing_frozen_weights_end_as_failed(tmp_path):
    trained = train(tmp_path, **{"model.frozen_weights": "/absent/weights.pt"})
    assert trained.status is TrialStatus.FAILED
    assert "/absent/weights.pt" in trained.reason


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (blobs()[:1], "at least 2 images"),
        (blobs(size=56), r"data\.size=28"),
        (blobs().float(), "uint8"),
        (blobs()[:, 0], r"\(N, 1, 28, 28\)"),
    ],
)
def test_bad_images_raise(tmp_path, images, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path, images=images)


def test_fewer_images_than_a_batch_train(tmp_path):
    assert train(tmp_path, images=blobs(3), **{"train.epochs": 1}).status is TrialStatus.FINISHED


def test_the_critics_update_does_not_reach_into_the_generator(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "generator_gradients", lambda *_: torch.zeros(()))
    trainers = []
    advance = Trainer.advance
    monkeypatch.setattr(Trainer, "advance", lambda self: (trainers.append(self), advance(self)))
    train(tmp_path, **{"train.epochs": 1})
    assert all(weight.grad is None for weight in trainers[0].generator.parameters())
    assert all(weight.grad is not None for weight in trainers[0].critic.parameters() if weight.requires_grad)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data_digest", "another", "data_digest 'another', not 'blobs'"),
        ("gp_lambda", 7.5, "gp_lambda 7.5"),
        ("seed", 9, "seed 9"),
        ("key", "0123456789abcdef", "key '0123456789abcdef'"),
        ("frozen", {"name": "random", "sha256": "0" * 64, "note": ""}, f"frozen weights '{'0' * 64}'"),
        ("status", "failed", "failed, not finished"),
        ("epochs", 500, "epochs 500, not 1"),
        ("epochs_done", 0, "epochs_done=0, of 1 epochs, is no end of this training"),
        ("epochs_done", 7, "epochs_done=7, of 1 epochs, is no end of this training"),
        ("files", [], "its files lack critic.pt, which this training leaves"),
    ],
)
def test_a_finished_record_of_another_trial_is_not_handed_on(tmp_path, field, value, message):
    trained = train(tmp_path, **{"train.epochs": 1})
    (record,) = (tmp_path / "store").rglob("trial.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {field: value}))
    again = train(tmp_path, **{"train.epochs": 1})
    assert again.status is TrialStatus.FAILED
    assert message in again.reason
    assert f"remove {record.parent}" in again.reason
    assert (again.data_digest, again.trial) == (trained.data_digest, trained.trial)


@pytest.mark.parametrize("name", ["snapshots/epoch_0002.pt", "grids/epoch_0002.png", "critic.pt", "history.jsonl"])
def test_a_finished_record_whose_list_was_shortened_is_not_handed_on(uninterrupted, tmp_path, name):
    shutil.copytree(uninterrupted[1] / "store", tmp_path / "store")
    (record,) = (tmp_path / "store").rglob("trial.json")
    content = json.loads(record.read_text())
    content["files"] = [file for file in content["files"] if file["name"] != name]
    record.write_text(json.dumps(content))
    again = train(tmp_path)
    assert again.status is TrialStatus.FAILED
    assert f"its files lack {name}, which this training leaves; remove {record.parent}" in again.reason
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["trial.json"]


def test_a_finished_record_that_names_more_than_its_training_leaves_is_not_handed_on(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[1] / "store", tmp_path / "store")
    (record,) = (tmp_path / "store").rglob("trial.json")
    content = json.loads(record.read_text())
    foreign = record.parent / "snapshots/epoch_0003.pt"
    foreign.write_bytes(b"another's")
    sha256 = hashlib.sha256(b"another's").hexdigest()
    record.write_text(
        json.dumps(content | {"files": [*content["files"], {"name": "snapshots/epoch_0003.pt", "sha256": sha256}]})
    )
    assert "its files have 'snapshots/epoch_0003.pt', which this training does not leave" in train(tmp_path).reason


FOREIGN = ("snapshots/epoch_0003.pt", "grids/epoch_0003.png", "grids/epoch_x.png", "notes.txt")


def plant(store):
    """Leave files of somebody else in a trial's folder."""
    (folder,) = (store / "trials").iterdir()
    for name in FOREIGN:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"another's")


def test_what_a_finished_record_does_not_name_is_not_handed_on(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[1] / "store", tmp_path / "store")
    plant(tmp_path / "store")
    grids = []
    assert train(tmp_path, report_grid=lambda epoch, _path: grids.append(epoch)) == uninterrupted[0]
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names == {"trial.json", *(file.name for file in uninterrupted[0].files)}
    assert grids == [1, 2, 4]


def test_what_a_checkpoint_does_not_name_is_not_handed_on(uninterrupted, tmp_path):
    assert run_and_signal(tmp_path, signal.SIGKILL, STEPS - 1) == -signal.SIGKILL
    plant(tmp_path / "store")
    shutil.rmtree(tmp_path / "out")
    grids = []
    trained = train(tmp_path, report_grid=lambda epoch, _path: grids.append(epoch))
    assert result(tmp_path) == result(uninterrupted[1])
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names == {"trial.json", *(file.name for file in trained.files)}
    assert grids == [1, 2, 4]


@pytest.mark.parametrize(("done", "ends"), [(1, True), (2, True), (3, False), (4, True), (0, False), (6, False)])
def test_a_trial_with_patience_ends_at_a_snapshot(done, ends):
    settings = config.TrainConfig(epochs=4, snapshot_every=2, patience=1)
    epochs = [epoch for epoch in (1, 2, 4) if epoch <= done]
    names = [*map(trial_folder.snapshot_name, epochs), *map(trial_folder.grid_name, epochs), "critic.pt"]
    files = tuple(results.TrialFile(name, "0" * 64) for name in [*names, "history.jsonl"])
    record = TrialResult(3.0, 0, "blobs", 4, epochs_done=done, files=files)
    assert (trial_folder._unlike_its_settings(record, settings) == "") is ends
