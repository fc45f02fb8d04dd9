"""What a GPU makes of the project, in one command of limited time.

    python benchmarks/gpu.py --crops DIR --out DIR [--sections env,step,...] [--size 224] [--limit-s 550]

The crops are grey images with a manifest.csv (columns file and pathology); the malignant ones are trained on. Sections
run in the order below, the most valuable first, each in a process of its own and within a limit of its own, so that a
crash, a hang or a wrong result in one costs no other. They need torch, torchvision, numpy, pandas, pillow, scipy and
psutil; ``pytest`` needs pytest and hypothesis; ``side-by-side``, left out where they are missing, needs lpips,
torch-fidelity and pytorch-msssim.

The folder of output gets summary.txt (a line a label), all.json (the same numbers unrounded), profile.txt (the kernels
of one critic update) and log.txt (all output, tracebacks too). Summary and numbers are written again whenever there are
new ones, so that a run that is cut off leaves what it had. The exit status is 1 unless every section passed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from gpu_sections.record import Failure, Figures
from gpu_sections.runner import Outcome, Section, run_section
from gpu_sections.setting import PROFILE_FILE, TABLE_FILE, Setting

from mammogan import storage

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = (
    Section("env", "gpu_sections.env", limit_s=45),
    Section("step", "gpu_sections.step", limit_s=170),
    Section("resume", "gpu_sections.resume", limit_s=70),
    Section("correct", "gpu_sections.correct", limit_s=90),
    Section("pytest", "gpu_sections.cuda_test", limit_s=45),
    Section("epoch", "gpu_sections.epoch", limit_s=130),
    Section("eval", "gpu_sections.evaluation", limit_s=100),
    Section("compiled", "gpu_sections.compiled", limit_s=150),
    Section("side-by-side", "gpu_sections.side_by_side", limit_s=200, least_s=100),
)
SIDE_BY_SIDE_PACKAGES = ("lpips", "torch_fidelity", "pytorch_msssim")
SUMMARY, NUMBERS, LOG = "summary.txt", "all.json", "log.txt"
SMALLEST = {"size": 28, "batch": 2, "steps": 2, "epochs": 2, "fakes": 7, "pairs": 1, "repeats": 1}


@dataclass
class Result:
    """What a section gave."""

    outcome: Outcome = Outcome.NOT_RUN
    seconds: float = 0.0
    figures: list[Figures] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class Report:
    """Results by section; shown and written as they come."""

    def __init__(self, out: Path) -> None:
        self.out, self.log = out, out / LOG
        self.results: dict[str, Result] = {}
        for name in (SUMMARY, NUMBERS, LOG, PROFILE_FILE, TABLE_FILE):
            (out / name).unlink(missing_ok=True)

    def receive(self, section: str, message: Figures | Failure) -> None:
        """Keep what a section sent."""
        result = self.results[section]
        if isinstance(message, Figures):
            result.figures.append(message)
        else:
            result.failures.append(message)
        self.show(_line(section, message))
        self.write()

    def show(self, line: str) -> None:
        """Print a line, and log it."""
        print(line, flush=True)
        with self.log.open("a") as log:
            log.write(f"{line}\n")

    def write(self) -> None:
        """Write summary and numbers."""
        storage.write_bytes(str(self.out / SUMMARY), self.summary().encode())
        numbers = {section: _plain(result) for section, result in self.results.items()}
        storage.write_bytes(str(self.out / NUMBERS), json.dumps(numbers, indent=1, allow_nan=False).encode())

    def summary(self) -> str:
        """Outcomes, then a line a label."""
        lines = [f"{section}: {_verdict(result)}" for section, result in self.results.items()]
        for section, result in self.results.items():
            lines += ["", *(_line(section, message) for message in (*result.failures, *result.figures))]
        return "\n".join(lines) + "\n"


def _verdict(result: Result) -> str:
    reasons = "; ".join(f"{failure.label}: {failure.reason}" for failure in result.failures)
    return f"{result.outcome}, {result.seconds:.0f} s" + (f"; {reasons}" if reasons else "")


def _line(section: str, message: Figures | Failure) -> str:
    if isinstance(message, Failure):
        return f"{section} | {message.label} | FAILED: {message.reason}"
    values = ", ".join(f"{name} {value:.4g}" for name, value in message.values.items())
    return f"{section} | {message.label} | {' | '.join(part for part in (values, message.note) if part)}"


def _plain(result: Result) -> dict[str, object]:
    """For JSON."""
    return {
        "outcome": result.outcome,
        "seconds": result.seconds,
        "figures": {figures.label: figures.values for figures in result.figures if figures.values},
        "notes": {figures.label: figures.note for figures in result.figures if figures.note},
        "failures": {failure.label: failure.reason for failure in result.failures},
    }


def run_all(sections: Sequence[Section], setting: Setting, limit_s: float, report: Report) -> bool:
    """Run the sections within the limit; whether all passed."""
    began = time.monotonic()
    report.results |= {section.name: Result() for section in sections}
    for section in sections:
        result, left_s = report.results[section.name], limit_s - (time.monotonic() - began)
        if left_s < section.least_s:
            report.receive(section.name, Failure("not run", f"{left_s:.0f} s of {limit_s:g} s are left"))
            continue
        # the sections' own limits are meant for a GPU
        section_limit_s, started = min(section.limit_s, left_s) if setting.cuda else left_s, time.monotonic()
        report.show(f"== {section.name}: at {started - began:.0f} s, for {section_limit_s:.0f} s at most")
        result.outcome = Outcome.RUNNING
        report.write()
        result.outcome = run_section(
            section.module,
            setting,
            section_limit_s,
            report.log,
            lambda message, name=section.name: report.receive(name, message),
        )
        result.seconds = time.monotonic() - started
        report.write()
        report.show(f"== {section.name}: {result.outcome}, {result.seconds:.0f} s")
    return all(result.outcome is Outcome.PASSED for result in report.results.values())


def isolate(scratch: str) -> None:
    """Let all processes keep their caches in a folder that goes with the run, and find this checkout."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    os.environ["TMPDIR"] = scratch
    for variable in ("MAMMOGAN_CACHE", "TORCH_HOME", "TRITON_CACHE_DIR", "HYPOTHESIS_STORAGE_DIRECTORY"):
        os.environ[variable] = str(Path(scratch, variable.lower()))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options; ends the process with a line that says what is wrong with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=Path, required=True, help="grey images and their manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder of all output")
    names = [section.name for section in SECTIONS]
    parser.add_argument("--sections", help=f"some of {','.join(names)}")
    parser.add_argument("--limit-s", type=float, default=550, help="seconds for everything")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="cpu leaves out what only CUDA has")
    for name, default, meaning in (
        ("size", 224, "side of the images, px"),
        ("batch", 32, "real images a critic update"),
        ("steps", 4, "steps of a training that is saved and loaded halfway"),
        ("epochs", 4, "epochs of a trial"),
        ("fakes", 1000, "images evaluated"),
        ("pairs", 2000, "pairs for MS-SSIM"),
        ("repeats", 15, "timed repetitions, of which the median counts"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{meaning} ({default})")
    options = parser.parse_args(arguments)
    for name, least in SMALLEST.items():
        if getattr(options, name) < least:
            parser.error(f"--{name}={getattr(options, name)}: give at least {least}")
    if not (options.crops / "manifest.csv").is_file():
        parser.error(f"--crops={str(options.crops)!r}: it has no manifest.csv; give a folder of crops that has")
    chosen = options.sections.split(",") if options.sections else _sections_possible()
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        parser.error(f"--sections: there is no {', '.join(unknown)}; choose from {','.join(names)}")
    options.sections = [section for section in SECTIONS if section.name in chosen]
    return options


def _sections_possible() -> list[str]:
    """All, but not the comparison with packages that are missing."""
    comparable = all(importlib.util.find_spec(package) for package in SIDE_BY_SIDE_PACKAGES)
    return [section.name for section in SECTIONS if comparable or section.name != "side-by-side"]


def main() -> int:
    """Run what is asked for; the exit status."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        options.crops.resolve(),
        options.out.resolve(),
        options.device,
        **{name: getattr(options, name) for name in SMALLEST},
    )
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that sections are ended too
    report = Report(setting.out)
    with tempfile.TemporaryDirectory(prefix="mammogan-gpu-", ignore_cleanup_errors=True) as scratch:
        isolate(scratch)
        passed = run_all(options.sections, setting, options.limit_s, report)
    print(f"\n{report.summary()}", end="")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
