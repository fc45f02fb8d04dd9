import pytest

from mammogan import storage
from mammogan.training.checkpoint import Checkpoint, Checkpoints, Progress


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(str(tmp_path))


def at(epoch, trainer=b"weights"):
    return Checkpoint(Progress(history="{}\n", epoch_s=0.5, epochs_done=epoch, train_s=2.0, images_seen=3), trainer)


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
