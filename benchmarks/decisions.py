"""What the project decides, simulated in worlds whose truth is known: false and missed decisions, before and after.

    python benchmarks/decisions.py [--repetitions 1000] [--only promotion chains] [--out FILE.md]

Every simulation runs the project's own functions, and beside them the rules that they replaced. It prints one row a
claim with its Monte-Carlo error, and ends with status 1 where a bound is broken by more than three of them. One core is
used, for less than 25 minutes. A further simulation is a module of ``decision_simulations`` and its name below.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy's libraries read it

from decision_simulations.claims import HEADER, Claim

SIMULATIONS = ("lambdas", "promotion", "chains", "intervals")
FEWEST = 1000


def main() -> int:
    """Run the simulations; 1 where a bound is broken, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=FEWEST, help="Of each case, at least 1000.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=SIMULATIONS, default=SIMULATIONS)
    parser.add_argument("--out", type=Path, help="Markdown file for the table.")
    arguments = parser.parse_args()
    if arguments.repetitions < FEWEST:
        parser.error(f"--repetitions={arguments.repetitions}: give at least {FEWEST}")
    started = time.monotonic()
    print(HEADER, flush=True)
    claims = list(_claims(arguments.only, arguments.repetitions, arguments.seed))
    broken = [claim for claim in claims if not claim.holds]
    summary = (
        f"{arguments.repetitions} repetitions, seed {arguments.seed}, {time.monotonic() - started:.0f} s of one core; "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"{len(broken) or 'no'} bound{'s'[: len(broken) != 1]} broken"
    )
    print(f"\n{summary}")
    if arguments.out:
        arguments.out.write_text("\n".join([HEADER, *(claim.row for claim in claims), "", summary, ""]))
    for claim in broken:
        print(f"broken: {claim.decision}: {claim.case}: {claim.after.value:.4g}, {claim.bound}", file=sys.stderr)
    return 1 if broken else 0


def _claims(names: list[str], repetitions: int, seed: int) -> list[Claim]:
    claims = []
    for name in names:
        for claim in importlib.import_module(f"decision_simulations.{name}").simulate(repetitions, seed):
            print(claim.row, flush=True)
            claims.append(claim)
    return claims


if __name__ == "__main__":
    raise SystemExit(main())
