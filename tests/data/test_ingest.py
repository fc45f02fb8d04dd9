import csv
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from mammogan import lock, storage
from mammogan.config import PRESETS, DataConfig
from mammogan.data import finished, manifest, worker
from mammogan.data.dataset import Dataset
from mammogan.data.ingest import ingest
from mammogan.data.preprocess import square
from mammogan.data.summary import read
from mammogan.data.verify import verify

ROOT = Path(__file__).resolve().parents[2]
MASS = DataConfig(subset="mass-train", size=28)


def quarantined(folder):
    with (folder / "quarantine.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def source(phantom, tmp_path):
    """A copy of the phantom that a test may break."""
    return shutil.copytree(phantom, tmp_path / "source")


@pytest.fixture(scope="session")
def reference(phantom, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "set"
    ingest(str(phantom), "", MASS, out)
    return out


def test_a_data_set_is_a_manifest_with_squares(phantom, reference):
    frame = manifest.read(reference)
    assert len(frame) == len(list(phantom.rglob("*.dcm"))) / 3
    for row in frame.itertuples():
        decoded = worker.decode((phantom / row.source).read_bytes())
        assert (row.original_rows, row.original_cols) == decoded.shape == (400, 280)
        np.testing.assert_array_equal(np.asarray(Image.open(reference / row.file)), square(decoded, MASS))
    assert set(frame["subset"]) == {"mass-train"}
    assert set(frame["view"]) == {"CC", "MLO"}


def test_the_summary_counts_the_manifest(reference):
    summary = read(reference)
    frame = manifest.read(reference)
    assert summary.data_digest == manifest.data_digest(frame)
    assert summary.splits.train.malignant == sum((frame.split == "train") & (frame.label == 1))
    assert (summary.patients, summary.images, summary.source) == (8, len(frame), "dicom")
    assert summary.settings.size == 28


def test_nothing_depends_on_paths_workers_or_order(phantom, reference, tmp_path, monkeypatch):
    moved = shutil.copytree(phantom, tmp_path / "elsewhere")
    summary = ingest(str(moved), str(phantom), MASS, tmp_path / "six", workers=6)
    assert content(tmp_path / "six") == content(reference)
    ingest(str(phantom), "", MASS, tmp_path / "one", workers=1)
    assert content(tmp_path / "one") == content(reference)
    listed = list(storage.list_stamps(str(phantom)).items())
    random.Random(0).shuffle(listed)
    monkeypatch.setattr(storage, "list_stamps", lambda uri, key: dict(listed))
    assert ingest(str(phantom), "", MASS, tmp_path / "shuffled").data_digest == summary.data_digest


def test_real_dicom_of_every_encoding(shared, tmp_path):
    folder = str(shared / "data/cbis_ddsm/dicom_small")
    config = DataConfig(subset="mass-test", size=56, split="image", test_fraction=0.3)
    summary = ingest(folder, folder, config, tmp_path / "set")
    frame = manifest.read(tmp_path / "set").set_index("image_id")
    assert (summary.images, summary.malignant, summary.quarantined) == (8, 2, 0)
    listed = pd.read_csv(shared / "data/cbis_ddsm/dicom_small/manifest.csv").set_index("file")
    for row in frame.itertuples():
        assert row.source_uid == listed.loc[row.source, "series_uid"]
        assert row.source_sha256 == listed.loc[row.source, "sha256"]
    malignant = frame.index[frame["label"] == 1]
    assert list(malignant) == ["Mass-Test_P_00820_LEFT_CC", "Mass-Test_P_00820_LEFT_MLO"]


def test_a_real_crop_alone(shared, tmp_path):
    folder = str(shared / "data/cbis_ddsm/dicom_small")
    config = DataConfig(subset="mass-train", size=28, images="crop", max_bad=1.0)
    with pytest.raises(ValueError, match="the test split would have no benign image of 1"):
        ingest(folder, folder, config, tmp_path / "set", tmp_path / "work")
    rows = {path.stem: json.loads(path.read_text())["row"] for path in tmp_path.glob("work/*/*.json")}
    assert {name: row["original_rows"] for name, row in rows.items()} == {"Mass-Training_P_00004_LEFT_CC_1": 233}


def test_a_folder_of_real_pictures(shared, tmp_path):
    summary = ingest(str(shared / "data/cbis_ddsm/mass_crops_256"), "", DataConfig(size=28), tmp_path / "set")
    assert (summary.images, summary.benign, summary.malignant) == (1012, 531, 481)
    assert (summary.patients, summary.source, summary.subset) == (647, "images", "mass-test+mass-train")
    assert summary.splits.leak.patients == 0


def test_crop_and_mask_are_told_apart_by_content(phantom, tmp_path):
    config = DataConfig(subset="mass-train", size=28, images="crop")
    ingest(str(phantom), "", config, tmp_path / "set")
    frame = manifest.read(tmp_path / "set")
    assert frame["image_id"].str.endswith("_1").all()
    assert (frame["original_rows"] < 120).all()


def test_what_was_finished_is_not_done_again(phantom, reference, tmp_path, monkeypatch):
    real, done = worker.square, []

    def three_squares(pixels, config):
        if len(done) >= 3:
            raise KeyboardInterrupt
        done.append(True)
        return real(pixels, config)

    monkeypatch.setattr(worker, "square", three_squares)
    with pytest.raises(KeyboardInterrupt):
        ingest(str(phantom), "", MASS, tmp_path / "set", tmp_path / "work")
    assert not (tmp_path / "set").exists()
    again = []
    monkeypatch.setattr(worker, "square", lambda *each: again.append(True) or real(*each))
    ingest(str(phantom), "", MASS, tmp_path / "set", tmp_path / "work")
    assert len(again) + len(done) == len(manifest.read(tmp_path / "set"))
    assert content(tmp_path / "set") == content(reference)


def test_a_changed_source_is_read_again(source, tmp_path):
    first = ingest(str(source), "", MASS, tmp_path / "set", tmp_path / "work")
    path = next(source.rglob("*_CC/*/*/000000.dcm"))
    path.write_bytes(path.read_bytes()[:-60000] + bytes(60000))
    assert ingest(str(source), "", MASS, tmp_path / "set", tmp_path / "work").data_digest != first.data_digest


def test_an_image_that_went_missing_or_did_not_reach_the_disk_is_made_again(phantom, reference, tmp_path):
    ingest(str(phantom), "", MASS, tmp_path / "set", tmp_path / "work")
    gone, torn, *_ = sorted(tmp_path.glob("work/*/*.png"))
    *_, empty = sorted(tmp_path.glob("work/*/*.json"))
    gone.unlink()
    torn.write_bytes(bytes(torn.stat().st_size))
    empty.write_bytes(b"")
    ingest(str(phantom), "", MASS, tmp_path / "set", tmp_path / "work")
    assert content(tmp_path / "set") == content(reference)


def test_a_manifest_without_rows(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/manifest.csv").write_text("file,patient_id,pathology\n")
    with pytest.raises(
        ValueError, match=r"^source: its manifest.csv has a header and no row below it; add one for each image$"
    ):
        ingest(str(tmp_path / "source"), "", MASS, tmp_path / "set")


def test_other_settings_do_not_reuse_the_images(phantom, tmp_path):
    for size in (28, 56):
        ingest(str(phantom), "", DataConfig(subset="mass-train", size=size), tmp_path / "set", tmp_path / "work")
    assert Dataset.read(tmp_path / "set").images().shape[-1] == 56


def test_bad_files_are_listed_and_the_good_ones_kept(source, tmp_path):
    files = sorted(path for path in source.rglob("000000.dcm") if not path.parts[-4].endswith("_1"))
    files[0].write_bytes(files[0].read_bytes()[:1000])
    files[1].write_bytes(b"")
    files[2].unlink()
    with pytest.raises(RuntimeError, match=r"3 of \d+ images cannot be used"):
        ingest(str(source), "", MASS, tmp_path / "set", tmp_path / "work")
    assert not (tmp_path / "set").exists()
    assert len(quarantined(tmp_path / "work")) == 3
    relaxed = DataConfig(subset="mass-train", size=28, max_bad=0.5, split="image", test_fraction=0.3)
    summary = ingest(str(source), "", relaxed, tmp_path / "set", tmp_path / "work")
    rows = quarantined(tmp_path / "set")
    assert [row["image_id"] for row in rows] == [path.parts[-4] for path in files[:3]]
    assert "bytes of pixels" in rows[0]["reason"]
    assert "empty" in rows[1]["reason"]
    assert "no file of series" in rows[2]["reason"]
    assert summary.images + 3 == len(files)


@pytest.fixture
def pictures(tmp_path, rng):
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    rows = ["file, patient_id ,pathology"]
    for number in range(12):
        name = f"deep/{number}.png" if number % 2 else f"{number}.jpg"
        Image.fromarray(rng.integers(0, 255, (40, 30), dtype=np.uint8)).save(folder / name)
        rows.append(f"{name},P{number},{'MALIGNANT' if number < 5 else 'BENIGN'}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def test_a_folder_of_pictures_needs_three_columns(pictures, tmp_path):
    summary = ingest(str(pictures), "", DataConfig(size=28), tmp_path / "set")
    assert (summary.images, summary.malignant, summary.patients) == (12, 5, 12)
    assert "deep__1" in set(manifest.read(tmp_path / "set")["image_id"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("../secret.png,P99,BENIGN", "leaves its folder"),
        ("/etc/passwd,P99,BENIGN", "leaves its folder"),
        ("0.jpg,P0,BENIGN", "twice"),
        ("99.png,P99,BENIGN", "missing"),
        ("99.png,P99,UNSURE", "UNSURE"),
        ("99.png,,BENIGN", "patient_id"),
        ("manifest.csv,P99,BENIGN", "not a picture"),
    ],
)
def test_bad_rows_of_a_manifest(pictures, tmp_path, line, reason):
    with (pictures / "manifest.csv").open("a") as file:
        file.write(f"\n{line}\n")
    (tmp_path / "secret.png").write_bytes((pictures / "deep/1.png").read_bytes())
    summary = ingest(str(pictures), "", DataConfig(size=28, max_bad=0.1), tmp_path / "set")
    assert summary.images == 12
    (row,) = quarantined(tmp_path / "set")
    assert reason in row["reason"]


def test_an_unknown_layout_says_what_was_looked_for_and_found(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"looked for manifest\.csv .* found 1 \*\.txt; give"):
        ingest(str(tmp_path), "", MASS, tmp_path / "set")
    for number in range(40):
        (tmp_path / f"{number}.PNG").touch()
    with pytest.raises(ValueError, match=r"found 40 \*\.png, 1 \*\.txt; give"):
        ingest(str(tmp_path), "", MASS, tmp_path / "set")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        ingest(str(tmp_path / "absent"), "", MASS, tmp_path / "set")


def test_a_folder_with_other_things_is_not_overwritten(phantom, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/thesis.txt").write_text("x")
    with pytest.raises(ValueError, match="something else"):
        ingest(str(phantom), "", MASS, tmp_path / "set")
    assert (tmp_path / "set/thesis.txt").read_text() == "x"


def test_the_phantom_is_a_source(tmp_path):
    summary = ingest("phantom", "", MASS, tmp_path / "set")
    assert summary.source == "phantom"
    assert 70 < summary.images < 97
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def start_on_real_pictures(shared, tmp_path):
    """The command in a process of its own, two worker processes, once it has finished its first images."""
    command = [sys.executable, "-m", "mammogan", "ingest", "--source", str(shared / "data/cbis_ddsm/mass_crops_256")]
    command += ["--out", str(tmp_path / "set"), "--work", str(tmp_path / "work"), "--preset", "demo", "--workers", "8"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("work/*/*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def workers_of(process):
    return [child.pid for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]


def test_ctrl_c_ends_all_processes_and_keeps_what_is_done(shared, tmp_path):
    process = start_on_real_pictures(shared, tmp_path)
    workers = workers_of(process)
    os.killpg(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again" in messages
    assert "Traceback" not in messages
    assert len(workers) == 2
    assert not any(psutil.pid_exists(pid) for pid in workers)
    assert not (tmp_path / "set").exists()
    done = len(list(tmp_path.glob("work/*/*.json")))
    assert 0 < done < 1012
    demo = PRESETS["demo"].data
    made = ingest(str(shared / "data/cbis_ddsm/mass_crops_256"), "", demo, tmp_path / "set", tmp_path / "work")
    assert made.images == 1012
    assert verify(tmp_path / "set") == []


def test_a_worker_that_dies_is_one_clear_error(shared, tmp_path):
    process = start_on_real_pictures(shared, tmp_path)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: workers=8: a worker process died" in messages
    assert "Traceback" not in messages
    assert not (tmp_path / "set").exists()


def test_a_full_disk_says_where_and_leaves_no_half_file(pictures, tmp_path, monkeypatch):
    def full(descriptor, _mode):
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/kept/\w+'$"):
        ingest(str(pictures), "", DataConfig(size=28), tmp_path / "set", tmp_path / "kept", workers=1)
    assert not [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]


def test_what_a_killed_ingest_left_half_written_names_nobody_and_goes_with_the_next(pictures, tmp_path, monkeypatch):
    """Whether this version wrote it or an earlier one, which named it after its image; of other settings too."""
    settings, seen = DataConfig(size=28), []
    real = Path.replace

    def watched(part, path):
        seen.append(part.name)
        finished.sweep(tmp_path / "kept")  # as another ingest that begins now
        return real(part, path)

    monkeypatch.setattr(Path, "replace", watched)
    ingest(str(pictures), "", settings, tmp_path / "set", tmp_path / "kept", workers=1)
    assert seen
    assert all(re.fullmatch(r"\.[0-9a-f]{16}\.part", name) for name in seen)
    (folder,) = (path for path in (tmp_path / "kept").iterdir() if path.is_dir())
    (tmp_path / "kept" / "other").mkdir()
    left = [folder / ".0123456789abcdef.part", tmp_path / "kept" / "other" / ".Mass_P1_LEFT.png.17.part"]
    for path in left:
        path.touch()
    ingest(str(pictures), "", settings, tmp_path / "set", tmp_path / "kept", workers=1)
    assert not [path for path in left if path.exists()]


def test_a_second_ingest_does_not_share_the_work_folder_that_the_first_removes(pictures, tmp_path):
    refused = pytest.raises(RuntimeError, match=r"--out=.*/set: another process is writing it; wait for it or give")
    with lock.out_folder(tmp_path / "set"), refused:
        ingest(str(pictures), "", DataConfig(size=28), tmp_path / "set", workers=1)
    ingest(str(pictures), "", DataConfig(size=28), tmp_path / "set", workers=1)
    assert not list(tmp_path.glob(".set*"))


IMPORTS_OF_THREADS = """
import sys, threading
from pathlib import Path
from mammogan.config import DataConfig
from mammogan.data.ingest import ingest
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("pydicom") and threading.current_thread() is not threading.main_thread():
            print(name)
sys.meta_path.insert(0, Watch())
ingest(sys.argv[1], sys.argv[2], DataConfig(subset="mass-train", size=28), Path(sys.argv[3]), workers=4)
"""


@pytest.mark.parametrize("layout", ["by series", "flat"])
def test_threads_import_nothing_of_the_decoder(phantom, tmp_path, layout):
    """Several that do at once meet in its half-imported modules, and every image is refused."""
    source = phantom
    if layout == "flat":
        source = tmp_path / "flat"
        source.mkdir()
        for number, path in enumerate(sorted(phantom.rglob("*.dcm"))):
            shutil.copyfile(path, source / f"{number}.dcm")
    command = [sys.executable, "-c", IMPORTS_OF_THREADS, source, phantom, tmp_path / "set"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_a_machine_where_processes_share_nothing_says_so(pictures, tmp_path, monkeypatch):
    def refuse(context):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("multiprocessing.context.BaseContext.Event", refuse)
    with pytest.raises(OSError, match=r"^workers=5: .*Read-only file system.* with at most 4 workers$"):
        ingest(str(pictures), "", DataConfig(size=28), tmp_path / "set", workers=5)
