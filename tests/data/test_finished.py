"""Finished images in a store: they help the next machine, and never bring it another image's pixels."""

import json
import os
import shutil

import pytest

from mammogan.config import DataConfig
from mammogan.data import manifest, worker
from mammogan.data.ingest import ingest

MASS = DataConfig(subset="mass-train", size=28)


@pytest.fixture
def source(phantom, tmp_path):
    """A copy of the phantom that a test may break."""
    return shutil.copytree(phantom, tmp_path / "source")


@pytest.fixture
def squares(monkeypatch):
    """One item for each image that is made."""
    real, made = worker.square, []
    monkeypatch.setattr(worker, "square", lambda *each: made.append(True) or real(*each))
    return made


@pytest.fixture
def first(source, tmp_path):
    """Content of a data set that was made with the store; the work folder is gone."""
    ingest(str(source), "", MASS, tmp_path / "first", store=str(tmp_path / "store"))
    return content(tmp_path / "first")


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def entries(tmp_path):
    return sorted(path for path in (tmp_path / "store").rglob("*") if path.is_file())


def again(source, tmp_path, name="again", **keywords):
    """Content of a data set made anew, on an empty work folder, with the store."""
    ingest(str(source), "", MASS, tmp_path / name, store=str(tmp_path / "store"), **keywords)
    return content(tmp_path / name)


def test_what_the_store_has_is_not_made_again(source, first, tmp_path, squares):
    assert len(entries(tmp_path)) == len(manifest.read(tmp_path / "first"))
    assert again(source, tmp_path) == first
    assert not squares
    ingest(str(source), "", MASS, tmp_path / "without")
    assert content(tmp_path / "without") == first
    for path in entries(tmp_path)[:3]:
        path.unlink()
    squares.clear()
    assert again(source, tmp_path, workers=6) == first  # in processes of their own
    assert len(entries(tmp_path)) == len(manifest.read(tmp_path / "first"))


def test_other_pixel_settings_find_nothing_there(source, first, tmp_path, squares):
    ingest(str(source), "", DataConfig(subset="mass-train", size=56), tmp_path / "56", store=str(tmp_path / "store"))
    assert len(squares) == len(manifest.read(tmp_path / "56"))


def test_what_an_earlier_attempt_left_here_is_put_there(source, tmp_path, squares):
    ingest(str(source), "", MASS, tmp_path / "first", tmp_path / "work")
    made = len(squares)
    assert again(source, tmp_path, work=tmp_path / "work") == content(tmp_path / "first")
    assert len(squares) == made == len(entries(tmp_path))


DAMAGES = {
    "empty": lambda line, png: b"",
    "no record": lambda line, png: png,
    "half a record": lambda line, png: line[:40],
    "half an image": lambda line, png: line + b"\n" + png[:-20],
    "no image": lambda line, png: line + b"\n",
    "another shape": lambda line, png: b"[1]\n" + png,
    "too deep": lambda line, png: b"[" * 100_000 + b"\n" + png,
    "no row": lambda line, png: json.dumps({**json.loads(line), "row": None}).encode() + b"\n" + png,
    "a row that lacks": lambda line, png: (
        json.dumps({**json.loads(line), "row": {"sha256": json.loads(line)["row"]["sha256"]}}).encode() + b"\n" + png
    ),
    "another source": lambda line, png: json.dumps({**json.loads(line), "address": "s3://b"}).encode() + b"\n" + png,
    "another stamp": lambda line, png: json.dumps({**json.loads(line), "stamp": "x 1-1"}).encode() + b"\n" + png,
}


def test_what_is_torn_or_does_not_match_is_made_again_and_mended(source, first, tmp_path, squares):
    damaged = dict(zip(DAMAGES, entries(tmp_path), strict=False))
    whole = {path: path.read_bytes() for path in damaged.values()}
    for how, path in damaged.items():
        line, _, png = whole[path].partition(b"\n")
        path.write_bytes(DAMAGES[how](line, png))
    assert again(source, tmp_path) == first
    assert len(squares) == len(DAMAGES) == len(damaged)
    assert {path: path.read_bytes() for path in damaged.values()} == whole


def turn(path):
    """Other pixels in a file of the same name, size and time."""
    stat, bytes_ = path.stat(), path.read_bytes()
    path.write_bytes(bytes_[:-60000] + bytes(60000))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_another_source_with_the_same_names_sizes_and_times_has_its_own(source, first, tmp_path, squares):
    other = shutil.copytree(source, tmp_path / "other")
    for path in other.rglob("*_CC/*/*/000000.dcm"):
        turn(path)
    ingest(str(other), "", MASS, tmp_path / "alone")
    squares.clear()
    assert again(other, tmp_path) == content(tmp_path / "alone") != first
    assert len(squares) == len(manifest.read(tmp_path / "alone"))
    squares.clear()
    assert again(source, tmp_path, "first again") == first
    assert not squares


def test_a_work_folder_that_served_another_source_gives_nothing_of_it(source, tmp_path):
    other = shutil.copytree(source, tmp_path / "other")
    for path in other.rglob("*_CC/*/*/000000.dcm"):
        turn(path)
    ingest(str(other), "", MASS, tmp_path / "set", tmp_path / "work")
    ingest(str(source), "", MASS, tmp_path / "alone")
    assert again(source, tmp_path, "mixed", work=tmp_path / "work") == content(tmp_path / "alone")
    assert again(source, tmp_path) == content(tmp_path / "alone") != content(tmp_path / "set")


@pytest.mark.parametrize("way", ["written in place", "unpacked over it", "another folder under its name"])
def test_other_pixels_with_the_same_name_size_and_time_are_read(source, tmp_path, way):
    ingest(str(source), "", MASS, tmp_path / "set", tmp_path / "work")
    before = content(tmp_path / "set")
    if way == "another folder under its name":
        other = shutil.copytree(source, tmp_path / "other")
        shutil.move(source, tmp_path / "elsewhere")
        shutil.move(other, source)
    for path in source.rglob("*_CC/*/*/000000.dcm"):
        if way == "unpacked over it":
            shutil.copy2(path, path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
        turn(path)
    ingest(str(source), "", MASS, tmp_path / "set", tmp_path / "work")
    ingest(str(source), "", MASS, tmp_path / "alone")
    assert content(tmp_path / "set") == content(tmp_path / "alone") != before


def test_a_changed_file_is_read_again(source, first, tmp_path, squares):
    path = next(source.rglob("*_CC/*/*/000000.dcm"))
    path.write_bytes(path.read_bytes()[:-60000] + bytes(60000))
    assert again(source, tmp_path) != first
    assert len(squares) == 1


def test_a_store_that_cannot_be_written_is_an_error_that_loses_nothing(source, tmp_path, squares):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(NotADirectoryError, match="store"):
        again(source, tmp_path, "set", work=tmp_path / "work")
    assert not (tmp_path / "set").exists()
    kept, made = len(list(tmp_path.glob("work/*/*.json"))), len(squares)
    assert kept == made > 0
    (tmp_path / "store").unlink()
    again(source, tmp_path, "set", work=tmp_path / "work")
    assert len(squares) == len(entries(tmp_path)) == len(manifest.read(tmp_path / "set"))
