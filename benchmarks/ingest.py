"""Ingest against a plain loop and against the ceiling of reading and decoding, on full-size mammograms.

    python benchmarks/ingest.py FILE.dcm... [--files 200] [--rounds 3] [--flat 20,400] [--scratch DIR] [--json OUT]

Writes uncompressed 16-bit files of the real size from the given ones, then times each way in a process of its own:
with the files dropped from the page cache before (40 GB do not fit into it) and, for comparison, with them in it. The
ways take turns and the best of the rounds counts. ``ceiling`` reads and decodes alone; ``hashed`` also takes the file's
sha256. Peak memory is the sum of the largest resident sets of the process and of each of its workers.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

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
        image = np.roll(pixels[number % len(pixels)], 16 * number, axis=0)  # other squares too: copies are set aside
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


def hashed(path: Path, out: Path) -> None:
    """Reading and decoding, and the sha256 of the file that a traceable data set cannot do without."""
    hashlib.sha256(path.read_bytes()).hexdigest()
    ceiling(path, out)


WAYS = {"plain": plain, "ceiling": ceiling, "hashed": hashed, "ingest": None}


def over_files(work: Callable[[Path, Path], None], files: list[Path], out: Path, workers: int) -> None:
    """Apply ``work`` to every file, in this process or in several."""
    if workers == 1:
        for path in files:
            work(path, out)
        return
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(work, files, [out] * len(files), chunksize=4))


class Memory:
    """Peak resident sets of this process and its children, looked up while the measurement runs."""

    def __init__(self) -> None:
        self._peaks: dict[int, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.05):
            for process in (me, *me.children()):
                with contextlib.suppress(psutil.Error):
                    self._peaks[process.pid] = max(self._peaks.get(process.pid, 0), process.memory_info().rss / 1e6)

    def peak_mb(self) -> float:
        """Sum over the processes, in megabytes; ends the watch."""
        self._over.set()
        self._thread.join()
        return sum(self._peaks.values())


def measure(way: str, folder: Path, workers: int, cold: bool) -> dict[str, Any]:
    """Time one way over all files of ``folder``, in this process."""
    import pandas  # noqa: F401  (imports are paid once, not per image)
    import pydicom  # noqa: F401
    import sklearn.model_selection  # noqa: F401

    files = sorted(folder.rglob("*.dcm"))
    if cold:
        forget(files)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, contextlib.redirect_stderr(io.StringIO()):
        memory = Memory()
        start, cpu_start = time.perf_counter(), sum(os.times()[:4])
        work = WAYS[way]
        if work is None:
            config = DataConfig(subset="mass-train", size=SIZE)
            ingest(str(folder), "", config, Path(scratch, "set"), workers=workers)
        else:
            over_files(work, files, Path(scratch), workers)
        seconds = time.perf_counter() - start
        cpu_ms = 1000 * (sum(os.times()[:4]) - cpu_start) / len(files)
        peak_mb = memory.peak_mb()
    return {
        "way": way,
        "workers": workers,
        "cache": "cold" if cold else "warm",
        "files": len(files),
        "seconds": round(seconds, 2),
        "images_s": round(len(files) / seconds, 1),
        "mb_s": round(sum(path.stat().st_size for path in files) / 1e6 / seconds),
        "cpu_ms_image": round(cpu_ms, 1),
        "peak_mb": round(peak_mb),
    }


def in_fresh_process(way: str, folder: Path, workers: int, cold: bool) -> dict[str, Any]:
    """``measure`` in a process of its own, so that one way's memory is not another's."""
    command = [sys.executable, __file__, "--measure", way, str(folder), str(workers), str(int(cold))]
    result = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    speed = json.loads(result.stdout)
    print("{way:8} {workers} workers  {cache}  {files:4} files  {seconds:7.2f} s  {images_s:6.1f} images/s  "
          "{mb_s:5} MB/s  {cpu_ms_image:6.1f} ms CPU/image  peak {peak_mb} MB".format(**speed), flush=True)  # fmt: skip
    return speed


def compare_speed(originals: list[Path], files: int, rounds: int, scratch: Path) -> dict[str, Any]:
    """Every way at one and two workers, cold and warm, and ingest's rates over the other two."""
    cases = [(way, workers, cold) for cold in (True, False) for way in WAYS for workers in (1, 2)]
    best: dict[tuple[str, int, bool], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name, "tree")
        write_files(originals, files, folder)
        for case in cases * rounds:
            measurement = in_fresh_process(case[0], folder, case[1], case[2])
            best[case] = min(best.get(case, measurement), measurement, key=lambda item: item["seconds"])
    rate = {case: measurement["images_s"] for case, measurement in best.items()}
    ratios = {
        "cold" if cold else "warm": {
            "two workers over the plain loop": round(rate["ingest", 2, cold] / rate["plain", 1, cold], 2),
            "one worker over the ceiling of one": round(rate["ingest", 1, cold] / rate["ceiling", 1, cold], 2),
            "two workers over the ceiling of two": round(rate["ingest", 2, cold] / rate["ceiling", 2, cold], 2),
            "two workers over the ceiling of two with sha256": round(
                rate["ingest", 2, cold] / rate["hashed", 2, cold], 2
            ),
        }
        for cold in (True, False)
    }
    return {"best": list(best.values()), "ratios": ratios}


def compare_memory(originals: list[Path], counts: list[int], scratch: Path) -> list[dict[str, Any]]:
    """Ingest with two workers at several numbers of files."""
    results = []
    for count in counts:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            folder = Path(name, "tree")
            write_files(originals, count, folder)
            results.append(in_fresh_process("ingest", folder, 2, True))
    return results


def main() -> None:
    """Parse the command line and run."""
    if sys.argv[1:2] == ["--measure"]:
        way, folder, workers, cold = sys.argv[2:]
        print(json.dumps(measure(way, Path(folder), int(workers), cold == "1")))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", nargs="+", type=Path, help="full-size DICOM files to make the others from")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="0 measures memory alone")
    parser.add_argument("--flat", default="20,400", help="numbers of files at which memory is compared")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    flat = [int(number) for number in arguments.flat.split(",") if number]
    figures: dict[str, Any] = {"memory": compare_memory(arguments.originals, flat, arguments.scratch)}
    if arguments.rounds:
        figures |= compare_speed(arguments.originals, arguments.files, arguments.rounds, arguments.scratch)
        print(json.dumps(figures["ratios"], indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
