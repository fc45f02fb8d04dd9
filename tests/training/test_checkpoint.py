import io

import pytest
import torch

from mammogan import config, storage
from mammogan.config import Trial
from mammogan.features.densenet import random_frozen
from mammogan.training.checkpoint import Checkpoint, Checkpoints, Progress
from mammogan.training.trainer import Trainer
from mammogan.training.trial_folder import TrialFolder, parse_history


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(str(tmp_path))


def at(epoch, trainer=b"weights"):
    return Checkpoint(
        Progress(history="{}\n", epoch_s=0.5, epochs_done=epoch, train_s=2.0, images_seen=3, files=()), trainer
    )


def newest(folder):
    return max(folder.glob("step_*.checkpoint"))


def test_none_where_none_was_written(checkpoints):
    assert checkpoints.latest() is None


def test_the_newest_two_are_kept(checkpoints, tmp_path):
    for step in (9, 10, 100):
        checkpoints.save(step, at(step, b"weights\nof %d" % step))
    assert [path.name[:14] for path in sorted(tmp_path.iterdir())] == ["step_000000010", "step_000000100"]
    assert checkpoints.latest() == at(100, b"weights\nof 100")


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_corrupt_newest_falls_back_loudly(checkpoints, tmp_path, capsys, damage):
    checkpoints.save(1, at(1))
    checkpoints.save(2, at(2))
    content = bytearray(newest(tmp_path).read_bytes())
    content[len(content) // 2] ^= 1
    kept = {"truncate": content[:-10], "flip": content, "empty": b""}[damage]
    newest(tmp_path).write_bytes(bytes(kept))
    assert checkpoints.latest() == at(1)
    assert "CORRUPT" in capsys.readouterr().err


def test_all_corrupt_is_an_error(checkpoints, tmp_path):
    checkpoints.save(1, at(1))
    newest(tmp_path).write_bytes(b"")
    with pytest.raises(ValueError, match="every checkpoint is corrupt"):
        checkpoints.latest()


def test_a_failed_write_leaves_the_last_ones(checkpoints, tmp_path, monkeypatch):
    checkpoints.save(1, at(1))
    checkpoints.save(2, at(2))

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(3, at(3))
    assert len(list(tmp_path.iterdir())) == 2
    assert checkpoints.latest() == at(2)


def test_an_old_one_that_cannot_be_removed_stops_nothing(checkpoints, tmp_path, monkeypatch, capsys):
    def refused(_uri):
        raise OSError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "remove", refused)
        for step in (1, 2, 3):
            checkpoints.save(step, at(step))
        checkpoints.clear()
    assert "old checkpoints stay" in capsys.readouterr().err
    assert checkpoints.latest() == at(3)
    checkpoints.save(4, at(4))
    assert [path.name[:14] for path in sorted(tmp_path.iterdir())] == ["step_000000003", "step_000000004"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ('{"epoch": 1, "metrics": {}}\n{"epoch"', r"history\.jsonl:2: it is no JSON"),
        ("[" * 100_000, r"history\.jsonl:1: it is no JSON"),
        ('{"epoch": ' + "9" * 5000, r"history\.jsonl:1: it is no JSON"),
        ('{"epoch": "1", "metrics": {}}', r"history\.jsonl:1\.epoch='1': give a int"),
    ],
)
def test_a_broken_history_is_refused_with_its_line(lines, reason):
    with pytest.raises(ValueError, match=reason) as refused:
        parse_history(lines)
    assert type(refused.value) is ValueError


def test_a_history_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "history.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"history\.jsonl:1: it is no JSON"):
        TrialFolder(tmp_path, "").read_history()


@pytest.fixture(scope="module")
def trainer():
    settings = config.override(config.PRESETS["demo"], {"data.size": 28})
    images = torch.randint(0, 255, (40, 1, 28, 28), dtype=torch.uint8)
    return Trainer(images, settings, Trial(3.0, 0), random_frozen(), torch.device("cpu"))


def changed(state, key, value):
    return {**state, key: value}


@pytest.mark.parametrize(
    "change",
    [
        lambda state: 3,
        lambda state: {},
        lambda state: changed(state, "step", "x"),
        lambda state: changed(state, "step", -1),
        lambda state: changed(state, "sums", torch.zeros(1)),
        lambda state: changed(state, "sums", None),
        lambda state: changed(state, "generator", {}),
        lambda state: changed(state, "optimisers", state["optimisers"][:1]),
        lambda state: changed(state, "optimisers", [3, 3]),
    ],
)
def test_a_state_that_is_none_of_this_trainer_is_refused_in_one_line(trainer, change):
    """Its sha256 may be right: whoever may write to the store can name it so."""
    content = io.BytesIO()
    torch.save(change(torch.load(io.BytesIO(trainer.state()), weights_only=True)), content)
    with pytest.raises(ValueError, match="the checkpoint is none of this trainer") as refused:
        trainer.load_state(content.getvalue())
    assert len(str(refused.value).splitlines()) == 1
