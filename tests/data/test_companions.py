"""Files that lie beside the images: hidden ones are none, broken ones are noted, and names that no table can hold."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mammogan import storage
from mammogan.config import DataConfig
from mammogan.data import manifest, phantom
from mammogan.data.ingest import ingest

MASS = DataConfig(subset="mass-train", size=28)


@pytest.fixture
def source(phantom, tmp_path):
    """A copy of the phantom that a test may break."""
    return shutil.copytree(phantom, tmp_path / "source")


@pytest.fixture(scope="module")
def reference(phantom, tmp_path_factory):
    """Manifest of the unbroken phantom."""
    out = tmp_path_factory.mktemp("reference") / "set"
    ingest(str(phantom), "", MASS, out)
    return manifest.read(out)


def quarantined(folder):
    with (folder / "quarantine.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_hidden_files_are_no_candidates(source, reference, tmp_path):
    for path in list(source.rglob("*.dcm")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
        hidden = source / "__MACOSX" / path.relative_to(source)
        hidden.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_bytes(b"\0\5\26\7")
    for path in list(source.glob("*.csv")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
        checkpoint = source / ".ipynb_checkpoints" / path.name
        checkpoint.parent.mkdir()
        checkpoint.write_text(path.read_text().replace(",MALIGNANT,", ",BENIGN,"))
    ingest(str(source), "", MASS, tmp_path / "set")
    assert manifest.read(tmp_path / "set").equals(reference)
    assert not quarantined(tmp_path / "set")


@pytest.mark.parametrize("content", [b"", b"\0\5\26\7" * 100, b"x" * 2000])
def test_a_file_of_a_series_that_cannot_be_read_is_noted_and_the_good_one_used(source, reference, tmp_path, content):
    images = [path for path in source.rglob("000000.dcm") if "Mass-Training" in str(path)]
    for path in images:
        path.with_name("0.dcm").write_bytes(content)
    ingest(str(source), "", MASS, tmp_path / "set")
    assert manifest.read(tmp_path / "set").equals(reference)
    rows = quarantined(tmp_path / "set")
    assert len(rows) == len(reference)
    assert all(row["source"].endswith("/0.dcm") for row in rows)
    assert all("beside" in row["reason"] for row in rows)


def test_a_crop_that_cannot_be_read_is_not_replaced_by_its_mask(source, tmp_path):
    crops = DataConfig(subset="mass-train", size=28, images="crop", max_bad=0.5)
    ingest(str(source), "", crops, tmp_path / "set")
    row = manifest.read(tmp_path / "set").iloc[0]
    (source / row.source).write_bytes(b"x" * 1000)
    ingest(str(source), "", crops, tmp_path / "set")
    assert row.image_id not in set(manifest.read(tmp_path / "set")["image_id"])
    (bad,) = quarantined(tmp_path / "set")
    assert bad["image_id"] == row.image_id
    assert "mask" not in bad["reason"], "what is wrong is the crop's own file"


def test_a_name_that_is_no_text_is_a_row_and_stops_nothing(source, tmp_path):
    path = next(path for path in sorted(source.rglob("000000.dcm")) if "Mass-Training" in str(path))
    os.rename(path, os.fsencode(path.parent) + b"/M\xfcller.dcm")
    summary = ingest(str(source), "", DataConfig(subset="mass-train", size=28, max_bad=0.1), tmp_path / "set")
    rows = quarantined(tmp_path / "set")
    assert any("no UTF-8" in row["reason"] and r"M\udcfcller.dcm" in row["source"] for row in rows)
    assert any(row["image_id"] == path.parts[-4] and "no file of series" in row["reason"] for row in rows)
    assert summary.images == 13


@pytest.mark.parametrize("name_of", [lambda name: f"{name}.dicom", lambda name: name, lambda name: f"1.2.840.{name}"])
def test_dicom_without_the_usual_suffix(source, reference, tmp_path, name_of):
    for path in list(source.rglob("*.dcm")):
        path.rename(path.with_name(name_of(path.stem)))
    (source / "LICENSE").write_text("free")
    ingest(str(source), "", MASS, tmp_path / "set")
    columns = [name for name in manifest.COLUMNS if name != "source"]
    assert manifest.read(tmp_path / "set")[columns].equals(reference[columns])
    assert not quarantined(tmp_path / "set")


def test_links_within_the_source_are_followed_and_no_others(source, reference, tmp_path):
    folders = [path for path in source.iterdir() if path.is_dir()]
    moved = source / ".objects"
    moved.mkdir()
    (source / "real").mkdir()
    for path in folders:
        path.rename(moved / path.name)
        path.symlink_to(moved / path.name)
    (source / "real/loop").symlink_to("..")
    ingest(str(source), "", MASS, tmp_path / "set")
    assert manifest.read(tmp_path / "set").equals(reference)
    gone = tmp_path / "elsewhere"
    moved.rename(gone)
    moved.symlink_to(gone)
    assert not [name for name in storage.list_files(str(source)) if name.endswith(".dcm")]


def test_a_link_that_comes_after_the_listing_is_not_followed(tmp_path):
    """The file that is opened is looked at, not the one that was listed."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to(os.devnull)
    for name in ("pipe", "device"):
        with pytest.raises(OSError, match="no regular file"):
            storage.read_bytes(str(tmp_path / name))
    with pytest.raises(IsADirectoryError):
        storage.read_bytes(str(tmp_path))
    assert storage.list_files(str(tmp_path)) == []


def test_the_series_of_a_swapped_crop_is_that_of_the_file_that_was_used(tmp_path, rng):
    folder = tmp_path / "source"
    rows = ["patient_id,left or right breast,image view,abnormality id,pathology,image file path,"]
    rows[0] += "cropped image file path,ROI mask file path"
    for i in range(8):
        name = f"Mass-Training_P_{i:05d}_LEFT_CC"
        image, crop, mask = (f"1.9.{i}.{k}" for k in "123")
        pathology = "MALIGNANT" if i % 2 else "BENIGN"
        paths = f"{name}/1.8/{image}/0.dcm,{name}_1/1.8/{crop}/0.dcm,{name}_1/1.8/{mask}/0.dcm"
        rows.append(f"P_{i:05d},LEFT,CC,1,{pathology},{paths}")
        real, drawn = rng.integers(0, 60000, (64, 64), dtype=np.uint16), np.pad(np.full((32, 32), 255, np.uint8), 16)
        for uid, pixels in ((mask, real), (crop, drawn)) if i < 4 else ((crop, real), (mask, drawn)):
            place = folder / uid / "0.dcm"
            place.parent.mkdir(parents=True)
            place.write_bytes(phantom.dicom_bytes(pixels, "1.8", uid, f"{uid}.1"))
    (folder / "c.csv").write_text("\n".join(rows))
    ingest(str(folder), "", DataConfig(size=28, subset="mass-train", images="crop"), tmp_path / "set")
    frame = manifest.read(tmp_path / "set")
    assert list(frame["source_uid"]) == [f"1.9.{i}.{3 if i < 4 else 2}" for i in range(8)]
    assert [Path(name).parent.name for name in frame["source"]] == list(frame["source_uid"])


def test_labels_may_be_links_where_they_are_named_and_not_where_the_source_brings_them(source, tmp_path):
    (table,) = source.glob("*.csv")
    outside = table.rename(tmp_path / table.name)
    table.symlink_to(outside)
    with pytest.raises(FileNotFoundError, match="no case-description CSV"):
        ingest(str(source), "", MASS, tmp_path / "set")
    assert ingest(str(source), str(source), MASS, tmp_path / "set").images == 14
