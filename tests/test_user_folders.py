"""Caches of a user without a home folder, or with one that may not be written."""

import os
import pwd
import tempfile
from pathlib import Path

import pytest
import torch

from mammogan import log_file, storage, user_folders
from mammogan.config import Trial
from mammogan.features.extractor import Extractor, extract_cached
from mammogan.graph import Step
from mammogan.ledger import Task
from mammogan.tracking.trial_log import TrialLog, _Sender, spool_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (user_folders.XDG, "MAMMOGAN_CACHE", "MAMMOGAN_SPOOL", "MAMMOGAN_LOG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def nobody(monkeypatch):
    """A user without HOME and without an entry in the system's list, as a container's."""

    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def own(folder):
    return folder / f"mammogan-{os.getuid()}"


def test_a_user_without_a_home_has_temporary_caches_of_his_own(nobody, temporary):
    below = own(temporary)
    assert spool_folder().is_relative_to(below)
    assert log_file.path().is_relative_to(below)
    assert user_folders.cache("features", variable=storage.CACHE).is_relative_to(below)
    assert below.stat().st_mode & 0o077 == 0
    with pytest.raises(FileNotFoundError, match="no file at ~/weights"):
        storage.fetch("~/weights.pth")


def test_a_home_that_cannot_be_written_is_as_none(monkeypatch, temporary):
    (temporary / "file").write_text("")
    monkeypatch.setenv("HOME", str(temporary / "file"))
    assert spool_folder().is_relative_to(own(temporary))
    monkeypatch.setenv(user_folders.XDG, "/proc/nowhere")
    assert spool_folder().is_relative_to(own(temporary))


def test_a_home_is_used_where_it_is(monkeypatch, temporary):
    monkeypatch.setenv("HOME", str(temporary / "home"))
    assert spool_folder() == temporary / "home" / ".cache" / "mammogan" / "spool"
    monkeypatch.setenv("MAMMOGAN_SPOOL", "~/mine")
    assert spool_folder() == temporary / "home" / "mine"


def test_a_temporary_folder_that_another_user_put_there_is_refused(nobody, temporary):
    own(temporary).symlink_to(temporary)
    with pytest.raises(PermissionError, match="it is not a folder of this user"):
        spool_folder()


def test_the_home_of_an_unknown_user_is_no_path():
    with pytest.raises(FileNotFoundError, match="no such user"):
        user_folders.expanded("~nobody-of-that-name/x")


def test_features_are_made_where_they_cannot_be_kept(monkeypatch, temporary):
    (temporary / "file").write_text("")
    monkeypatch.setenv("MAMMOGAN_CACHE", str(temporary / "file"))
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    extractor = Extractor("mean", "0", "", lambda batch: batch.float().mean((2, 3)))
    assert len(extract_cached(extractor, images, 2)) == 2


def test_a_trial_s_log_needs_no_home(nobody, temporary):
    sender = _Sender("parent", Trial(3.0, 0), None, "sqlite:///nowhere/mlflow.db")
    log = TrialLog(sender, Task(Step.TRAIN, "lambda=3,seed=0"), patience_s=0.0)
    log.tags({"a": "b"})
    log.close()
    assert list(Path(own(temporary)).rglob("*.jsonl"))
