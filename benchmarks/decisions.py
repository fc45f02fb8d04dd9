"""What the project decides, simulated in worlds whose truth is known: false and missed decisions, before and after.

    python benchmarks/decisions.py --dataset DATASET [--repetitions 1000] [--only promotion chains] [--out FILE.md]

Every simulation runs the project's own functions, and beside them the rules that they replaced. It prints one row a
claim with its Monte-Carlo error, and ends with status 1 where a bound is broken by more than three of them, or where a
decision was not simulated. Two cores take less than 25 minutes. DATASET is one that ``ingest`` wrote, of real images;
without it copying is not simulated, and the status is 1. A further simulation is a module of ``decision_simulations``
and its name below.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy's libraries read it

from decision_simulations.claims import HEADER, Claim, Decision
from decision_simulations.setting import Setting

SIMULATIONS = (
    "lambdas", "promotion", "chains", "required", "copying", "winner", "intervals", "known_aucs", "feature_vectors",
    "whole_studies",
)  # fmt: skip
ON_IMAGES = ("copying",)
"""Those that need a data set."""
FIRST = ("whole_studies", *ON_IMAGES, "chains", "winner")
"""Those that take longest, which are begun first."""
FEWEST = 1000


@dataclass(frozen=True)
class Simulated:
    """What one simulation came to."""

    name: str
    claims: tuple[Claim, ...]
    cpu_s: float


def main() -> int:
    """Run the simulations; 1 where a bound is broken or a decision was not simulated, else 0."""
    arguments = _parsed()
    names = [name for name in arguments.only if arguments.dataset or name not in ON_IMAGES]
    setting = Setting(arguments.repetitions, arguments.seed, arguments.dataset)
    started = time.monotonic()
    print(HEADER, flush=True)
    done = {}
    for simulated in _simulated(names, setting, arguments.processes):
        done[simulated.name] = simulated
        print("\n".join(claim.row for claim in simulated.claims), flush=True)
    claims = [claim for name in names for claim in done[name].claims]
    broken = [claim for claim in claims if not claim.holds]
    lacking = lacking_decisions(claims) if set(arguments.only) == set(SIMULATIONS) else []
    summary = (
        f"{setting.repetitions} repetitions, seed {setting.seed}, {time.monotonic() - started:.0f} s with "
        f"{arguments.processes} processes ({sum(each.cpu_s for each in done.values()):.0f} s of a core); "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"{len(broken) or 'no'} bound{'s'[: len(broken) != 1]} broken"
    )
    print(f"\n{summary}")
    if arguments.out:
        arguments.out.write_text("\n".join([HEADER, *(claim.row for claim in claims), "", summary, ""]))
    for claim in broken:
        print(f"broken: {claim.decision}: {claim.case}: {claim.after.value:.4g}, {claim.bound}", file=sys.stderr)
    for decision in lacking:
        print(f"not simulated: {decision}: give --dataset", file=sys.stderr)
    return 1 if broken or lacking else 0


def lacking_decisions(claims: Sequence[Claim]) -> list[Decision]:
    """Those of which no row is bounded and says how it was before."""
    return [decision for decision in Decision if not any(each.shows and each.decision is decision for each in claims)]


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="Of real images, as ingest wrote it.")
    parser.add_argument("--repetitions", type=int, default=FEWEST, help="Of each case, at least 1000.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=SIMULATIONS, default=SIMULATIONS)
    parser.add_argument("--processes", type=int, default=2, help="Simulations at once.")
    parser.add_argument("--out", type=Path, help="Markdown file for the table.")
    arguments = parser.parse_args()
    if arguments.repetitions < FEWEST:
        parser.error(f"--repetitions={arguments.repetitions}: give at least {FEWEST}")
    if arguments.processes < 1:
        parser.error(f"--processes={arguments.processes}: give at least 1")
    return arguments


def _simulated(names: Sequence[str], setting: Setting, processes: int) -> Iterator[Simulated]:
    """Each as it ends."""
    ordered = sorted(names, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    if processes == 1:
        yield from (simulate(name, setting) for name in ordered)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for ended in as_completed([pool.submit(simulate, name, setting) for name in ordered]):
            yield ended.result()


def simulate(name: str, setting: Setting) -> Simulated:
    """The claims of the simulation of that name."""
    started = time.process_time()
    claims = tuple(importlib.import_module(f"decision_simulations.{name}").simulate(setting))
    return Simulated(name, claims, time.process_time() - started)


if __name__ == "__main__":
    raise SystemExit(main())
