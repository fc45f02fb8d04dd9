"""A trial stops by KID against validation images, which no update sees, the same whether it was interrupted or not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from trial_process import blobs, result, train

from mammogan.features.extractor import Extractor
from mammogan.metrics.kid import kernel_distance, kernel_error
from mammogan.models.generator import Generator, sample
from mammogan.results import TrialStatus
from mammogan.training import early_stop
from mammogan.training import trial as trial_training
from mammogan.training.early_stop import ERROR, KID, HeldOutKid, best_epoch, snapshots_without_gain
from mammogan.training.trainer import Trainer
from mammogan.training.trial_folder import EpochMetrics, parse_history

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = {
    "train.patience": 2, "train.epochs": 12, "train.snapshot_every": 2,
    "train.checkpoint_every": 3,
}  # fmt: skip


def train_watched(folder, **changes):
    """Of 13 blobs 9 are trained on, 4 are validation images."""
    return train(folder, images=blobs()[:9], validation=blobs()[9:], **SETTINGS | changes)


def moments(images):
    """Features of a few numbers, so that no network is needed."""
    flat = images.float().flatten(1) / 255
    return torch.stack((flat.mean(1), flat.std(1), flat.amax(1)), dim=1)


def history(*kids, error=0.0):
    """Rows of which every second one is a snapshot's."""
    judged = {2 * number: {KID: kid, ERROR: error} for number, kid in enumerate(kids, 1)}
    epochs = range(1, 2 * len(kids) + 1)
    return [EpochMetrics(epoch, {"train/penalty": 1.0, **judged.get(epoch, {})}) for epoch in epochs]


@pytest.mark.parametrize(
    ("kids", "stale", "best"), [((3,), 0, 2), ((3, 2, 1), 0, 6), ((1, 2, 3), 2, 2), ((3, 1, 2), 1, 4), ((1, 1), 1, 2)]
)
def test_snapshots_since_the_best(kids, stale, best):
    assert snapshots_without_gain(history(*kids)) == stale
    assert best_epoch(history(*kids)) == best


@pytest.mark.parametrize(
    ("kids", "stale", "best"),
    [
        ((3.0, 2.9, 2.8), 2, 2),  # below 1.645 * sqrt(2) * 0.1 = 0.233 of the best: noise
        ((3.0, 2.76, 2.7), 1, 4),
        ((3.0, 2.9, 2.8, 2.7, 2.6), 1, 8),  # small gains add up: 0.3 at epoch 8, 0.1 more at 10
        ((3.0, 3.5, 2.0, 1.9, 2.1), 2, 6),
    ],
)
def test_only_a_gain_beyond_the_noise_is_one(kids, stale, best):
    assert snapshots_without_gain(history(*kids, error=0.1)) == stale
    assert best_epoch(history(*kids, error=0.1)) == best


def test_equal_snapshots_seem_better_in_one_of_twenty(rng):
    """Of two draws of the same generator against the same held-out images, by the errors that they record."""
    real, better = rng.normal(size=(40, 6)), 0
    for _ in range(400):
        fakes = [rng.normal(0.6, size=(80, 6)) for _ in range(2)]
        one, other = (
            EpochMetrics(epoch, {KID: kernel_distance(real, x), ERROR: kernel_error(real, x)})
            for epoch, x in enumerate(fakes)
        )
        better += best_epoch([one, other]) == 1
    assert 0.02 <= better / 400 <= 0.08


def test_an_unjudged_history_never_stops():
    assert snapshots_without_gain(history()) == snapshots_without_gain([EpochMetrics(1, {})]) == 0


def test_the_distance_is_that_of_the_evaluation():
    torch.manual_seed(0)  # of networks that draw nearly the same grey twice nothing can be told
    generator = Generator(28, 4, 8)
    judge = HeldOutKid(blobs(), Extractor("moments", "0", "", moments))
    fakes = sample(generator, early_stop.FAKES, early_stop.FAKES_SEED)
    expected = kernel_distance(moments(blobs()).double().numpy(), moments(fakes).double().numpy())
    found = judge.compute(generator)
    assert found[KID] == pytest.approx(expected)
    assert early_stop.FAKES == len(fakes) == 1000
    without = [
        kernel_distance(moments(blobs()).double().numpy(), np.delete(moments(fakes).double().numpy(), i, axis=0))
        for i in range(40)
    ]
    assert found[ERROR] == pytest.approx(np.std(without) * 999**0.5, rel=0.5)


@pytest.fixture
def seen(monkeypatch):
    """Every batch of images that the judge's features were taken of."""
    batches = []

    def features(images):
        batches.append(images)
        return moments(images)

    monkeypatch.setattr(trial_training, "load_extractor", lambda *_: Extractor("moments", "0", "", features))
    return batches


@pytest.fixture
def worse_from_epoch_4(monkeypatch):
    """KID as if the generator grew worse after its second snapshot but one."""
    kids = {1: 5.0, 2: 4.0, 4: 1.0, 6: 2.0, 8: 3.0, 10: 0.5}
    trainers, advance = [], Trainer.advance
    monkeypatch.setattr(Trainer, "advance", lambda self: (trainers.append(self), advance(self)))

    def compute(*_):
        return {KID: kids[trainers[-1].step // trainers[-1].steps_per_epoch], ERROR: 0.1}

    monkeypatch.setattr(HeldOutKid, "compute", compute)
    return trainers


def test_it_stops_after_so_many_snapshots_without_a_better_one(tmp_path, seen, worse_from_epoch_4):
    trained = train_watched(tmp_path)
    assert (trained.status, trained.epochs_done, trained.epochs) == (TrialStatus.FINISHED, 8, 12)
    assert (
        trained.reason
        == "stopped after epoch 8: KID against the validation images fell beyond its noise last at epoch 4"
    )
    snapshots = sorted(path.stem for path in (tmp_path / "out/snapshots").iterdir())
    assert snapshots == [f"epoch_000{epoch}" for epoch in (1, 2, 4, 6, 8)]
    rows = parse_history((tmp_path / "out/history.jsonl").read_text())
    assert {row.epoch: row.metrics[KID] for row in rows if KID in row.metrics} == {
        1: 5.0, 2: 4.0, 4: 1.0, 6: 2.0, 8: 3.0,
    }  # fmt: skip


def cut(*_):
    raise SystemExit("as if killed")


def test_stopped_right_before_the_end_is_stopped_when_run_again(tmp_path, seen, worse_from_epoch_4, monkeypatch):
    train_watched(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(trial_training.TrialFolder, "write_result", cut)
        with pytest.raises(SystemExit):
            train_watched(tmp_path / "cut")
    worse_from_epoch_4.clear()
    train_watched(tmp_path / "cut")
    assert not worse_from_epoch_4  # no step was made
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


def test_the_validation_images_are_judged_by_and_no_others(tmp_path, seen):
    assert train_watched(tmp_path).status is TrialStatus.FINISHED
    reals = torch.cat([batch for batch in seen if any(torch.equal(batch[0], blob) for blob in blobs())])
    assert torch.equal(reals, blobs()[9:])


def test_the_features_make_another_trial(tmp_path, seen, monkeypatch):
    first = train_watched(tmp_path).key
    monkeypatch.setattr(trial_training, "load_extractor", lambda *_: Extractor("others", "1", "", moments))
    assert train_watched(tmp_path).key != first


@pytest.mark.parametrize("count", [0, 1])
def test_patience_without_validation_images_is_refused(count):
    reason = f"the class has {count} validation images of patients who are not in train, it takes 2; "
    with pytest.raises(ValueError, match=rf"train\.patience=2: {reason}set data\.validation_fraction"):
        train(Path(), validation=blobs()[:count], **{"train.patience": 2})


def test_validation_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"validation=torch\.uint8 \(13, 1, 56, 56\): give uint8 \(N, 1, 28, 28\)"):
        train(Path(), validation=blobs(size=56))
