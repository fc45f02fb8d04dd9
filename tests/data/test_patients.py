"""Pseudonyms: nobody is named, nothing that is computed depends on the key, and the key lies where the next run is."""

import csv
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import leaks
import pandas as pd
import pydicom
import pytest
from planted import dicom_files, pictures

from mammogan import errors, storage
from mammogan.config import DataConfig
from mammogan.data import manifest, patients, summary
from mammogan.data.ingest import ingest
from mammogan.data.patients import Patients, read_index
from mammogan.data.replacement import leftovers, replaced_folder
from mammogan.statistics import numbered

CONFIG = DataConfig(subset="mass-train", size=28, max_bad=0.2)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv(patients.VARIABLE, raising=False)


@pytest.fixture(scope="module", params=[pictures, dicom_files])
def planted(request, tmp_path_factory):
    """A source, the words planted in it, its data set by name, and the one that names nobody beside its key."""
    folder = tmp_path_factory.mktemp("planted")
    words = request.param(folder / "source")
    source = str(folder / "source")
    ingest(source, "", CONFIG, folder / "named", folder / "work")
    ingest(source, "", CONFIG, folder / "hidden", folder / "work", patients=Patients.at(str(folder / "home")))
    return folder, words


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def quarantined(folder):
    with (folder / "quarantine.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_data_set_with_pseudonyms_names_nobody(planted):
    folder, words = planted
    assert leaks.occurrences(words, files(folder / "hidden")) == []
    assert leaks.occurrences(words, files(folder / "named"))
    key = (folder / "home" / "key").read_text().strip()
    assert leaks.occurrences([key], files(folder / "hidden")) == []


def test_the_split_and_the_images_are_those_of_the_names(planted):
    folder, _ = planted
    named, hidden = (manifest.read(folder / name).set_index("sha256").sort_index() for name in ("named", "hidden"))
    same = ["label", "pathology", "split", "source_sha256", "original_rows", "original_cols"]
    assert hidden[same].equals(named[same])
    together = [numbered(frame["patient_id"].tolist()).tolist() for frame in (named, hidden)]
    assert together[0] == together[1]
    assert max(together[0]) > 5


def test_another_key_changes_neither_digest_nor_order_but_every_pseudonym(planted, tmp_path):
    folder, _ = planted
    other = Patients.at(str(tmp_path / "k"))
    ingest(str(folder / "source"), "", CONFIG, tmp_path / "other", folder / "work", patients=other)
    one, other = manifest.read(folder / "hidden"), manifest.read(tmp_path / "other")
    assert summary.read(tmp_path / "other").data_digest == summary.read(folder / "hidden").data_digest
    keyless = [name for name in manifest.COLUMNS if name not in ("patient_id", "source", "source_uid")]
    assert one[keyless].equals(other[keyless])
    assert not set(one["patient_id"]) & set(other["patient_id"])
    assert not set(one["source"]) & set(other["source"])


def test_the_next_run_gives_the_same_pseudonyms(planted, tmp_path):
    folder, _ = planted
    again = Patients.at(str(folder / "home"))
    ingest(str(folder / "source"), "", CONFIG, tmp_path / "again", folder / "work", patients=again)
    assert (tmp_path / "again/manifest.csv").read_bytes() == (folder / "hidden/manifest.csv").read_bytes()


def test_a_spelling_of_an_id_changes_no_pseudonym(tmp_path):
    home = Patients.at(str(tmp_path))
    frame = pd.DataFrame({name: ["", ""] for name in manifest.COLUMNS}).assign(patient_id=["pat7", "PAT7"])
    assert home.hidden(frame)["patient_id"].nunique() == 1


def test_the_index_leads_back(planted):
    folder, _ = planted
    named = manifest.read(folder / "named").set_index("sha256")
    index = read_index(str(folder / "home"))
    for row in manifest.read(folder / "hidden").itertuples():
        true = named.loc[row.sha256]
        known = index[row.image_id]
        assert (known.image_id, known.patient_id, known.source) == (true.image_id, true.patient_id, true.source)
        assert known.source_uid == true.source_uid


def test_what_was_quarantined_stands_in_full_beside_the_key_alone(planted):
    folder, _ = planted
    in_full, public, named = (quarantined(folder / name) for name in ("home", "hidden", "named"))
    assert in_full == named
    assert len(public) == len(in_full) > 0
    assert [row["source"] for row in public] == [f"quarantine.csv:{number + 2}" for number in range(len(public))]


def test_burnt_in_text_is_reported_by_pseudonym(planted):
    folder, _ = planted
    found = summary.read(folder / "hidden").burned_in
    told = {
        manifest.name_of(row.sha256)
        for row in manifest.read(folder / "named").itertuples()
        if row.source.endswith(".dcm")
        and pydicom.dcmread(folder / "source" / row.source).get("BurnedInAnnotation") == "YES"
    }
    assert set(found) == told != set()


def test_only_the_owner_may_read_the_key_and_what_it_opens(planted):
    folder, _ = planted
    assert stat.S_IMODE((folder / "home").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(folder / "home")} == {0o600}


def test_of_several_first_uses_at_once_all_get_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: Patients.at(str(tmp_path / "home")).key, range(32)))
    assert len(found) == 1
    assert len(next(iter(found))) == 32
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["key"]


def test_whoever_comes_second_takes_the_key_that_is_there(tmp_path, monkeypatch):
    first, read, early = Patients.at(str(tmp_path / "home")), storage.read_bytes, iter([True])

    def read_before(address):
        if next(early, False):
            raise FileNotFoundError(address)
        return read(address)

    monkeypatch.setattr(storage, "read_bytes", read_before)
    assert Patients.at(str(tmp_path / "home")).key == first.key


def test_a_given_key_needs_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv(patients.VARIABLE, "ab" * 32)
    one = Patients.at(str(tmp_path / "home"))
    assert one.pseudonym("patient", "Jane") == Patients.at("elsewhere").pseudonym("patient", "Jane")
    assert one.pseudonym("patient", "Jane") == "patient-60096d721e9d51e2"  # openssl dgst -sha256 -mac HMAC
    assert one.pseudonym("file", "Jane")[5:] != one.pseudonym("patient", "Jane")[8:]
    assert not (tmp_path / "home").exists()
    assert "abab" not in repr(one)


@pytest.mark.parametrize("wrong", ["short", "zz" * 32, "ab" * 31])
def test_a_key_that_is_none_is_refused_without_showing_it(tmp_path, wrong):
    (tmp_path / "key").write_text(wrong)
    with pytest.raises(ValueError, match="no key of at least 32 bytes") as caught:
        Patients.at(str(tmp_path))
    assert wrong not in str(caught.value).replace(str(tmp_path), "")
    assert (tmp_path / "key").read_text() == wrong


def test_a_full_disk_and_a_source_that_is_none_name_no_file(planted, tmp_path, monkeypatch):
    folder, words = planted
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / f"{words[0]}.txt").touch()
    (tmp_path / "odd" / "manifest.csv").write_text(f"{words[0]},{words[1]}\n")
    texts = []
    with pytest.raises(ValueError, match="not a known layout") as caught:
        ingest(str(tmp_path / "odd"), "", CONFIG, tmp_path / "set")
    texts.append(errors.traceback_text(caught.value))

    def full(part, path):
        raise OSError(28, "No space left on device", str(part), None, str(path))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        ingest(str(folder / "source"), "", CONFIG, tmp_path / "set", tmp_path / "kept", workers=1)
    texts.append(errors.traceback_text(caught.value))
    assert leaks.occurrences(words, [], [text.replace(str(tmp_path), "") for text in texts]) == []


LEFT_BEHIND = """
import sys, time
from pathlib import Path
from mammogan.data.replacement import replaced_folder
with replaced_folder(Path(sys.argv[1])) as part:
    (part / "image.png").write_bytes(b"a patient")
    print("there", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_is_removed_by_the_next_and_a_living_one_is_let_be(tmp_path):
    def begin():
        process = subprocess.Popen([sys.executable, "-c", LEFT_BEHIND, str(tmp_path / "set")], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"there\n"
        return process

    killed, living = begin(), begin()
    try:
        killed.kill()
        killed.communicate()
        assert len(list(tmp_path.glob(".set.*/new/image.png"))) == 2
        assert len(leftovers(tmp_path)) == 1
        foreign = tmp_path / ".set.abcdefgh" / "of somebody else"
        foreign.parent.mkdir()
        foreign.touch()
        with replaced_folder(tmp_path / "set") as part:
            (part / "x").touch()
        assert len(list(tmp_path.glob(".set.*/new/image.png"))) == 1
        assert foreign.exists()
    finally:
        living.kill()
        living.communicate()
    with replaced_folder(tmp_path / "set"):
        pass
    assert not list(tmp_path.glob(".set.*/new"))


def test_create_on_this_disk_never_replaces(tmp_path):
    assert storage.create(str(tmp_path / "x"), b"1")
    assert not storage.create(str(tmp_path / "x"), b"2")
    assert (tmp_path / "x").read_bytes() == b"1"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
