"""Synthesise against the generator's bare forward pass: images a second, and memory at two counts and over time.

Each side runs in a process of its own, so that its memory is its own. The allocator takes and returns some 100 MiB as
it goes, and a longer run meets a higher peak by chance: whether memory grows shows in the resident set's median over
the run's second and last tenth.

    python benchmarks/synthesise.py --count 100000 --few 100 --size 56
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from resident import peak_mib

FORWARD_S = 20.0


def bare_forward(snapshot: Path) -> dict[str, float]:
    """Images a second of the forward pass in batches of 64, latents drawn beforehand, nothing kept."""
    import torch

    from mammogan.models.generator import draw_latents, load_generator

    generator = load_generator(snapshot)
    z = draw_latents(64, generator.latent_dim, 0)
    with torch.inference_mode():
        generator(z)
        started, images = time.perf_counter(), 0
        while time.perf_counter() - started < FORWARD_S:
            generator(z)
            images += len(z)
    return {"images_per_s": images / (time.perf_counter() - started)}


def synthesise(snapshot: Path, count: int, folder: Path) -> dict[str, float]:
    """Images a second of the whole step, PNGs, hashes and manifest included."""
    from mammogan import config
    from mammogan.synthesis import fill, load_model

    chosen = config.override(config.PRESETS["paper"], {"synthesise.count": count})
    model = load_model(snapshot, "benchmark")
    resident: list[float] = []
    done = threading.Event()

    def watch() -> None:
        process = psutil.Process()
        while not done.wait(0.25):
            resident.append(process.memory_info().rss / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        fill(model, None, 1, chosen, str(folder / f"made{count}"))
        seconds = time.perf_counter() - started
    finally:
        done.set()
        watcher.join()
    tenth = len(resident) // 10
    over_time = (
        {"early_mib": statistics.median(resident[tenth : 2 * tenth]), "late_mib": statistics.median(resident[-tenth:])}
        if tenth
        else {}
    )
    return {"images_per_s": count / seconds, **over_time}


def side(name: str, snapshot: Path, folder: Path) -> dict[str, float]:
    """One side in a process of its own, with its peak memory in MiB."""
    command = [sys.executable, __file__, "--side", name, "--snapshot", str(snapshot), "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run all sides and print a table, or one side as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--size", type=int, default=56)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--side", default="")
    parser.add_argument("--snapshot", type=Path)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.side:
        measured = (
            bare_forward(given.snapshot)
            if given.side == "forward"
            else synthesise(given.snapshot, int(given.side), given.folder)
        )
        print(json.dumps({**measured, "peak_mib": peak_mib()}))
        return
    from mammogan.models.generator import Generator, save_snapshot

    with tempfile.TemporaryDirectory() as scratch:
        snapshot = Path(scratch, "generator.pt")
        save_snapshot(Generator(given.size, 100, given.channels), 1, snapshot)
        for name in ("forward", str(given.few), str(given.count)):
            figures = side(name, snapshot, Path(scratch))
            label = "bare forward" if name == "forward" else f"synthesise {name}"
            line = f"{label:20} {figures['images_per_s']:9.1f} images/s {figures['peak_mib']:8.0f} MiB at most"
            if "late_mib" in figures:
                line += f", {figures['early_mib']:.0f} in the second tenth, {figures['late_mib']:.0f} in the last"
            print(line, flush=True)


if __name__ == "__main__":
    main()
