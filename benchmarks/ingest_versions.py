"""Ingest by this checkout and by an earlier one, in turn, on the same sources.

    git worktree add ../before COMMIT
    python benchmarks/ingest_versions.py ../before FILE.dcm... [--rounds 7] [--only dicom,pictures] [--json OUT]

Each measurement is a process of its own, with the files in the page cache; the two checkouts take turns, so that what
else the machine does meets both. A ratio is the median over the rounds of the earlier checkout's time over this one's,
round by round: 1 is as fast, 0.97 is 3% slower. Processor time is the steadier one on a machine that is shared.

``dicom``: full-size mammograms; ``phantom``: the small one of the demo; ``pictures``: 2000 PNGs and their manifest;
``manifest``: 240000 rows read and located, no picture opened; ``listed``: the same rows for 2000 pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PICTURES, ROWS = 2000, 240_000
FULL = 16
"""Full-size files, 25 MB each."""
SOURCES = ("dicom", "phantom", "pictures", "manifest", "listed")
MEASURE = """
import contextlib, io, json, os, sys, tempfile, time
from pathlib import Path
import pandas, pydicom, sklearn.model_selection
with contextlib.suppress(ImportError):
    import imagecodecs
from mammogan.config import DataConfig
from mammogan.data import sources
from mammogan.data.ingest import ingest
with contextlib.suppress(ImportError):
    from mammogan.data import dicom, picture, preprocess
name, folder = sys.argv[1:]
config = DataConfig(subset="mass-train", size=224, split="image", max_bad=0.9)
with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stderr(io.StringIO()):
    begun, spent = time.perf_counter(), sum(os.times()[:4])
    if name in ("manifest", "listed"):
        sources.locate(folder, "", config)
    else:
        ingest(folder, "", config, Path(scratch, "set"), workers=1)
    print(json.dumps([time.perf_counter() - begun, sum(os.times()[:4]) - spent]))
"""


def write_sources(originals: list[Path], wanted: list[str], folder: Path) -> None:
    """The sources by their names, each in a folder."""
    from ingest import write_files

    from mammogan.data import phantom, picture

    rng = np.random.default_rng(0)
    for name in wanted:
        place = folder / name
        place.mkdir()
        if name == "dicom":
            write_files(originals, FULL, place)
        elif name == "phantom":
            phantom.write_phantom(place)
        elif name in ("pictures", "listed"):
            for number in range(PICTURES):
                pixels = rng.integers(0, 256, (160, 120), dtype=np.uint8)
                (place / f"{number}.png").write_bytes(picture.encode_png(pixels))
        files = {"pictures": PICTURES, "listed": PICTURES, "manifest": ROWS}.get(name, 0)
        count = PICTURES if name == "pictures" else ROWS
        lines = (f"{row % files}.png,P{row % files},{('BENIGN', 'MALIGNANT')[row % files % 2]},LEFT,CC,{row // files}"
                 for row in range(count if files else 0))  # fmt: skip
        if files:
            header = "file,patient_id,pathology,laterality,view,abnormality_id"
            (place / "manifest.csv").write_text("\n".join([header, *lines]))


def measured(checkout: Path, name: str, folder: Path) -> tuple[float, float]:
    """Seconds of the clock and of the processor that a checkout takes for a source."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURE, name, str(folder / name)]
    done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    clock_s, processor_s = json.loads(done.stdout.splitlines()[-1])
    return clock_s, processor_s


def compared(before: Path, name: str, folder: Path, rounds: int) -> dict[str, object]:
    """Medians of both checkouts, and of the ratios of the rounds."""
    times: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for number in range(rounds):
        order = (before, ROOT) if number % 2 else (ROOT, before)
        seconds = {checkout: measured(checkout, name, folder) for checkout in order}
        times.append((seconds[before], seconds[ROOT]))
    kinds = {"clock": 0, "processor": 1}
    result: dict[str, object] = {"source": name, "rounds": rounds}
    for kind, at in kinds.items():
        result[f"{kind}_before_s"] = round(median(earlier[at] for earlier, _ in times), 3)
        result[f"{kind}_now_s"] = round(median(now[at] for _, now in times), 3)
        result[f"{kind}_ratio"] = round(median(earlier[at] / now[at] for earlier, now in times), 3)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="another checkout")
    parser.add_argument("originals", nargs="*", type=Path, help="full-size DICOM files")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default=",".join(SOURCES))
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    wanted = options.only.split(",")
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        write_sources(options.originals, wanted, Path(folder))
        begun = time.monotonic()
        comparisons = []
        for name in wanted:
            comparisons.append(compared(options.before.resolve(), name, Path(folder), options.rounds))
            print(json.dumps(comparisons[-1]), flush=True)
    print(f"{time.monotonic() - begun:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(comparisons, indent=1))


if __name__ == "__main__":
    main()
