"""A folder that is replaced is there, the old one or the new one, whoever dies or comes at the same moment."""

import os
import threading

import pytest
from planted import pictures

from mammogan.commands import purge
from mammogan.config import DataConfig
from mammogan.data import replacement
from mammogan.data.dataset import Dataset
from mammogan.data.ingest import ingest
from mammogan.data.replacement import leftovers, put_back, replaced_folder, take_place


@pytest.fixture
def taken_away(tmp_path):
    """What a process leaves that is killed after it has taken ``set`` away, and before it has put the new one there."""
    scratch = tmp_path / ".set.abcdefgh"
    for name in ("old", "new"):
        (scratch / name).mkdir(parents=True)
        (scratch / name / "x").write_text(name)
    return scratch


def replace(folder, text="newer"):
    with replaced_folder(folder) as part:
        (part / "x").write_text(text)


def test_the_next_writer_puts_the_finished_folder_back_before_it_removes_anything(tmp_path, taken_away):
    with pytest.raises(RuntimeError, match="the source went away"), replaced_folder(tmp_path / "set"):
        raise RuntimeError("the source went away")
    assert (tmp_path / "set" / "x").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_is_to_be_put_back_is_nothing_to_be_removed(tmp_path, taken_away):
    assert leftovers(tmp_path) == []
    put_back(tmp_path)
    assert (tmp_path / "set" / "x").read_text() == "new"
    assert leftovers(tmp_path) == [taken_away]
    replace(tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_was_never_finished_or_has_been_replaced_is_not_put_back(tmp_path, taken_away):
    (taken_away / "old").rename(tmp_path / "elsewhere")
    put_back(tmp_path)
    assert leftovers(tmp_path) == [taken_away]
    (taken_away / "new").rename(taken_away / "old")
    put_back(tmp_path)
    assert leftovers(tmp_path) == [taken_away]
    assert not (tmp_path / "set").exists()


def test_a_reader_finds_a_data_set_that_was_taken_away(tmp_path):
    pictures(tmp_path / "source")
    ingest(str(tmp_path / "source"), "", DataConfig(subset="mass-train", size=28, max_bad=0.2), tmp_path / "set")
    found = Dataset.read(tmp_path / "set").digest
    (tmp_path / ".set.abcdefgh" / "old").mkdir(parents=True)
    (tmp_path / "set").rename(tmp_path / ".set.abcdefgh" / "new")
    assert Dataset.is_at(tmp_path / "set")
    (tmp_path / "set").rename(tmp_path / ".set.abcdefgh" / "new")
    assert Dataset.read(tmp_path / "set").digest == found


def test_purge_puts_back_what_a_killed_process_took_away_and_only_looks_without_yes(tmp_path, taken_away):
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "status.json").touch()
    purge.purge(out=tmp_path)
    assert len(list(taken_away.iterdir())) == 2
    purge.purge(out=tmp_path, yes=True)
    assert not taken_away.exists()
    assert (tmp_path / "set" / "x").read_text() == "new"


def test_a_new_folder_that_cannot_take_the_place_leaves_the_old_one_there(tmp_path, monkeypatch):
    replace(tmp_path / "set", "old")
    real = os.replace

    def refuses(before, after):
        if before.name == "new":
            raise OSError("no")
        real(before, after)

    monkeypatch.setattr(replacement.os, "replace", refuses)
    with pytest.raises(OSError, match="no"):
        replace(tmp_path / "set")
    assert (tmp_path / "set" / "x").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_of_two_that_replace_a_folder_at_the_same_moment_the_last_one_stays(tmp_path, monkeypatch):
    replace(tmp_path / "set", "old")
    real, failed = os.replace, []

    def other():
        try:
            replace(tmp_path / "set", "the other's")
        except OSError as error:
            failed.append(error)

    second = threading.Thread(target=other)

    def interrupted(before, after):
        real(before, after)
        if after.name == "old" and not second.ident:
            second.start()
            second.join(0.2)  # which does not end before the first has put its folder there

    monkeypatch.setattr(replacement.os, "replace", interrupted)
    replace(tmp_path / "set", "one's")
    second.join()
    assert not failed
    assert (tmp_path / "set" / "x").read_text() == "the other's"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_nobody_else_removes_what_its_owner_is_about_to_remove(tmp_path, monkeypatch):
    real, looked = replacement.shutil.rmtree, []

    def looks(folder):
        looked.append((leftovers(tmp_path), len(list(tmp_path.glob(".set.*")))))
        real(folder)

    replace(tmp_path / "set")
    monkeypatch.setattr(replacement.shutil, "rmtree", looks)
    replace(tmp_path / "set")
    assert looked == [([], 1)]


def test_a_finished_folder_takes_the_place_of_another(tmp_path):
    for text in ("first", "second"):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "x").write_text(text)
        take_place(tmp_path / "made", tmp_path / "set")
        assert (tmp_path / "set" / "x").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
