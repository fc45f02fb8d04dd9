"""Two sources with the same names, sizes and times below one ``--out``: the second run is the second source's."""

import csv
import hashlib
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from quick_run import QUICK
from warm_interpreter import warm_python

from mammogan import results
from mammogan.config import PRESETS, override
from mammogan.data import summary
from mammogan.data.ingest import ingest
from mammogan.data.minority import filter_minority
from mammogan.data.patients import Patients
from mammogan.results import TrialResult

ROOT = Path(__file__).resolve().parents[1]
COUNT = 32


def write_source(folder, seed):
    """Bright blobs on noise, of which the malignant ones are rarer; every file has the same size and time."""
    folder.mkdir()
    rng, rows = np.random.default_rng(seed), ["file,patient_id,pathology,split"]
    y, x = np.mgrid[:64, :64]
    for number in range(COUNT):
        malignant = number % 8 < 3
        centre = rng.uniform(20, 44, 2)
        blob = 120 * malignant * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 60)
        pixels = (blob + rng.uniform(0, 100, (64, 64))).clip(0, 255).astype(np.uint8)
        path = folder / f"{number:02d}.bmp"
        Image.fromarray(pixels).save(path)
        os.utime(path, (1, 1))
        side = "test" if number >= COUNT // 2 else "train"
        rows.append(f"{path.name},P{number},{'MALIGNANT' if malignant else 'BENIGN'},{side}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    os.utime(folder / "manifest.csv", (1, 1))
    return folder


def run(out, source):
    settings = [item for key, value in QUICK.items() for item in ("--set", f"{key}={value}")]
    command = [warm_python(), "-m", "mammogan", "run", "--preset", "demo", "--out", str(out), "--source", str(source)]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment = {**kept, "MAMMOGAN_CACHE": str(out / "cache")}
    return subprocess.run([*command, *settings], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def stamps(folder):
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]


def pixels_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "images").iterdir()}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_second_of_two_sources_alike_from_outside_has_its_own_pixels_training_and_report(tmp_path):
    sources = [write_source(tmp_path / name, seed) for seed, name in enumerate("AB")]
    assert stamps(sources[0]) == stamps(sources[1])
    config = override(PRESETS["demo"], QUICK).data
    out, digests, trials, reports = tmp_path / "runs", [], [], []
    for source in sources:
        before = set(out.glob("run-*"))
        done = run(out, source)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "finished by an earlier run" not in done.stderr
        (folder,) = set(out.glob("run-*")) - before

        alone = tmp_path / f"{source.name} alone"
        ingest(str(source), "", config, alone / "set", workers=1, patients=Patients.at(str(out / "data/patients")))
        expected = filter_minority(alone / "set", config.minority, alone / "rare")
        whole, rare = _data_sets(folder)
        assert pixels_of(whole) == pixels_of(alone / "set")
        assert (whole / "manifest.csv").read_bytes() == (alone / "set/manifest.csv").read_bytes()
        assert summary.read(rare).data_digest == expected.data_digest
        with (whole / "manifest.csv").open(newline="") as file:
            read = {row["source_sha256"] for row in csv.DictReader(file)}
        assert read == {_sha256(path) for path in source.glob("*.bmp")}

        (trial,) = {results.read(TrialResult, path) for path in folder.rglob("steps/**/trial.json")}
        assert trial.data_digest == expected.data_digest
        digests.append(expected.data_digest)
        trials.append(trial)
        reports.append((folder / "report/report.html").read_text())
    assert digests[0] != digests[1]
    assert trials[0].key != trials[1].key
    snapshots = [{path.read_bytes() for path in (out / "store/trials" / trial.key).rglob("*.pt")} for trial in trials]
    assert snapshots[0]
    assert not snapshots[0] & snapshots[1]
    for mine, other, report in zip(digests, reversed(digests), reports, strict=True):
        assert mine[:16] in report
        assert other[:16] not in report


def _data_sets(run_folder):
    """The whole data set and the rare class's, which two steps of a run handed on."""
    folders = {path.parent for path in run_folder.rglob("steps/**/summary.json") if (path.parent / "images").is_dir()}
    whole = [folder for folder in folders if "ingest" in str(folder.relative_to(run_folder))]
    rare = [folder for folder in folders if "filter" in str(folder.relative_to(run_folder))]
    return whole[0], rare[0]


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
