"""Ingest against a plain loop and against the ceiling of reading and decoding, on full-size mammograms.

    python benchmarks/ingest.py FILE.dcm... [--files 200] [--flat 20,400] [--scratch DIR] [--json OUT]

Writes uncompressed 16-bit files of the real size from the given ones, then times each way in a process of its own:
with the files dropped from the page cache before (40 GB do not fit into it) and, for comparison, with them in it.
Peak memory is the largest resident set of the process and of any of its workers.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mammogan.config import DataConfig  # noqa: E402
from mammogan.data import dicom, phantom  # noqa: E402
from mammogan.data.ingest import ingest  # noqa: E402

SIZE = 224


def write_files(originals: list[Path], count: int, folder: Path) -> None:
    """Write ``count`` files in the TCIA tree with their case CSV; no two are alike."""
    pixels = [dicom.decode(path.read_bytes()) for path in originals]
    rows = []
    for number in range(count):
        name = f"Mass-Training_P_{number:05d}_LEFT_CC"
        image = pixels[number % len(pixels)].copy()
        image[0, 0] = number
        path = f"{name}/2.{number + 1}/3.{number + 1}/000000.dcm"
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_bytes(phantom.dicom_bytes(image, f"2.{number + 1}", f"3.{number + 1}", f"4.{number + 1}"))
        pathology = "MALIGNANT" if number % 2 else "BENIGN"
        crop = f"{name}_1/5.{number}/6.{number}"
        rows.append((f"P_{number:05d}", 2, "LEFT", "CC", 1, "mass", "ROUND", "SPICULATED", 4, pathology, 4, path,
                     f"{crop}/000000.dcm", f"{crop}/000001.dcm"))  # fmt: skip
    text = io.StringIO()
    csv.writer(text).writerows([phantom.HEADER, *rows])
    (folder / phantom.CSV_NAME).write_text(text.getvalue())
    os.sync()


def forget(files: list[Path]) -> None:
    """Drop the files from the page cache, as after a download of 40 GB."""
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain(path: Path, out: Path) -> None:
    """The loop that anybody would write."""
    import pydicom
    from PIL import Image

    pixels = pydicom.dcmread(path).pixel_array.astype(np.float32)
    small = np.asarray(Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    scaled = np.clip((small - pixels.min()) / np.ptp(pixels) * 255, 0, 255)
    Image.fromarray(scaled.astype(np.uint8)).save(out / f"{path.parts[-4]}.png")


def ceiling(path: Path, out: Path) -> None:  # noqa: ARG001  (called like ``plain``)
    """Reading and decoding alone."""
    import pydicom

    _ = pydicom.dcmread(path).pixel_array


def over_files(work: Callable[[Path, Path], None], files: list[Path], out: Path, workers: int) -> None:
    """Apply ``work`` to every file, in this process or in several."""
    if workers == 1:
        for path in files:
            work(path, out)
        return
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(work, files, [out] * len(files), chunksize=4))


def measure(way: str, folder: Path, workers: int, cold: bool) -> dict[str, Any]:
    """Time one way over all files of ``folder``, in this process."""
    files = sorted(folder.rglob("*.dcm"))
    if cold:
        forget(files)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, contextlib.redirect_stderr(io.StringIO()):
        start = time.perf_counter()
        if way == "ingest":
            config = DataConfig(subset="mass-train", size=SIZE)
            ingest(str(folder), "", config, Path(scratch, "set"), workers=workers)
        else:
            over_files({"plain": plain, "ceiling": ceiling}[way], files, Path(scratch), workers)
        seconds = time.perf_counter() - start
    peak = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "way": way,
        "workers": workers,
        "cache": "cold" if cold else "warm",
        "files": len(files),
        "seconds": round(seconds, 2),
        "images_s": round(len(files) / seconds, 1),
        "mb_s": round(sum(path.stat().st_size for path in files) / 1e6 / seconds),
        "peak_mb": round(max(peak)),
    }


def in_fresh_process(way: str, folder: Path, workers: int, cold: bool) -> dict[str, Any]:
    """``measure`` in a process of its own, so that one way's memory is not another's."""
    command = [sys.executable, __file__, "--measure", way, str(folder), str(workers), str(int(cold))]
    result = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    found = json.loads(result.stdout)
    print("{way:8} {workers} workers  {cache}  {files:4} files  {seconds:7.2f} s  {images_s:6.1f} images/s  "
          "{mb_s:5} MB/s  peak {peak_mb} MB".format(**found), flush=True)  # fmt: skip
    return found


def compare(originals: list[Path], files: int, flat: list[int], scratch: Path) -> dict[str, Any]:
    """Every way at one and two workers, then memory at the numbers of files in ``flat``."""
    results = []
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name, "tree")
        write_files(originals, files, folder)
        for cold in (True, False):
            for way in ("plain", "ceiling", "ingest"):
                results += [in_fresh_process(way, folder, workers, cold) for workers in (1, 2)]
    for count in flat:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            folder = Path(name, "tree")
            write_files(originals, count, folder)
            results.append(in_fresh_process("ingest", folder, 2, True))
    rate = {
        (each["way"], each["workers"], each["cache"]): each["images_s"] for each in results if each["files"] == files
    }
    ratios = {
        cache: {
            "two workers over the plain loop": round(rate["ingest", 2, cache] / rate["plain", 1, cache], 2),
            "one worker over the ceiling of one": round(rate["ingest", 1, cache] / rate["ceiling", 1, cache], 2),
            "two workers over the ceiling of two": round(rate["ingest", 2, cache] / rate["ceiling", 2, cache], 2),
        }
        for cache in ("cold", "warm")
    }
    for cache, values in ratios.items():
        print(cache, values)
    return {"results": results, "ratios": ratios}


def main() -> None:
    """Parse the command line and run."""
    if sys.argv[1:2] == ["--measure"]:
        way, folder, workers, cold = sys.argv[2:]
        print(json.dumps(measure(way, Path(folder), int(workers), cold == "1")))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", nargs="+", type=Path, help="full-size DICOM files to make the others from")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--flat", default="20,400", help="numbers of files at which memory is compared")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    flat = [int(number) for number in arguments.flat.split(",") if number]
    found = compare(arguments.originals, arguments.files, flat, arguments.scratch)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
