"""``benchmarks/evaluate.py`` on this device: all metrics beside torch-fidelity, lpips and pytorch-msssim."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from gpu_sections.crops import read_malignant
from gpu_sections.record import Record
from gpu_sections.setting import TABLE_FILE, Setting

SCRIPT = Path(__file__).resolve().parents[1] / "evaluate.py"


def measure(setting: Setting, record: Record) -> None:
    """Write its table. Raises CalledProcessError where it fails."""
    reals = len(read_malignant(setting.crops, setting.size))
    options = {"device": setting.device, "reals": reals, "fakes": setting.fakes, "size": setting.size}
    options["pairs"] = setting.pairs
    command = [sys.executable, str(SCRIPT), *(f"--{name}={value}" for name, value in options.items())]
    began = time.perf_counter()
    with (setting.out / TABLE_FILE).open("w") as table:
        subprocess.run(command, check=True, stdout=table)
    record.add(f"{SCRIPT.name}, its table is in {TABLE_FILE}", seconds=time.perf_counter() - began)
