"""A long fuzz of all that is read: broken inputs by the thousand, each kind for its share of so many minutes of a core.

    python tests/fuzz/campaign.py --minutes 30 [--kinds dicom,pictures] [--seed 0] [--keep FOLDER]
    python tests/fuzz/campaign.py --again dicom/0/1234

Every input is a result or an error of one line: never a crash, a hang, a file outside of its folder, more than 3 GB, or
a loss without a word. Inputs of failures are kept in FOLDER; ``--again`` does one once more, with its traceback. The
exit status is 1 where there were any.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from cases import GOOD, Case, Kind, Outcome, Verdict  # noqa: E402
from children import Sandbox, verdicts  # noqa: E402

SHOWN = 12
"""Failures of one kind that are printed; all are counted."""


@dataclass
class Tally:
    """What became of the cases of a kind."""

    kind: str
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    peak_mb: int = 0
    slowest_s: float = 0.0
    core_s: float = 0.0
    """Seconds of the processor, of the making of inputs too."""
    failures: list[tuple[Case, Verdict]] = field(default_factory=list)

    def add(self, case: Case, verdict: Verdict) -> None:
        """Count a case."""
        self.outcomes[verdict.outcome] += 1
        self.core_s += verdict.core_s
        self.peak_mb, self.slowest_s = max(self.peak_mb, verdict.peak_mb), max(self.slowest_s, verdict.cpu_s)
        if verdict.outcome not in GOOD:
            self.failures.append((case, verdict))

    def line(self) -> str:
        """As a row of the table."""
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        used = f"{self.core_s:6.0f} s of a core, {self.slowest_s:.2f} s at most, {self.peak_mb} MB at most"
        return f"{self.kind:12} {self.outcomes.total():8}  {used}: {counts}"


MODULES = {
    "dicom": "dicom_cases", "pictures": "picture_cases", "manifests": "table_cases", "cases": "table_cases",
    "data-sets": "table_cases", "documents": "document_cases", "yaml": "yaml_cases", "checkpoints": "checkpoint_cases",
    "sources": "folder_cases", "folders": "folder_cases",
}  # fmt: skip
"""Where each kind is; what others import is no part of its memory."""


def kind_of(name: str) -> Kind:
    """The kind of that name."""
    return next(kind for kind in importlib.import_module(MODULES[name]).KINDS if kind.name == name)


def fuzz(kind: Kind, seed: int, seconds: float, keep: Path | None = None) -> Tally:
    """Cases of one kind for so many seconds of a core, however busy the machine; failures are copied to ``keep``."""
    tally = Tally(kind.name)
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(Path(folder))
        with closing(verdicts(kind, seed, 0, sandbox, lambda: tally.core_s > seconds)) as results:
            for case, verdict in results:
                tally.add(case, verdict)
                if verdict.outcome not in GOOD:
                    _tell(tally, kind, case, verdict, keep)
                if tally.core_s > seconds:
                    break
    return tally


def _tell(tally: Tally, kind: Kind, case: Case, verdict: Verdict, keep: Path | None) -> None:
    if len(tally.failures) <= SHOWN:
        print(f"{case.kind}/{case.seed}/{case.number}: {verdict.outcome}: {verdict.detail}", flush=True)
    if keep:
        _keep(kind, case, keep)


def _keep(kind: Kind, case: Case, keep: Path) -> None:
    """Write the input of a case into a folder of its own, by its number alone: the process that had it may be gone."""
    place = keep / f"{case.kind}-{case.seed}-{case.number}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    kind.write(case.rng(), place)


def again(case: Case) -> None:
    """Do one case here, without limits, and let its error through."""
    kind = kind_of(case.kind)
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(Path(folder))
        sandbox.clean()
        kind.write(case.rng(), sandbox.given)
        kind.read(sandbox.given, sandbox.out)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--kinds", default="", help="names, with commas; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--again", default="", help="KIND/SEED/NUMBER")
    options = parser.parse_args()
    if options.again:
        name, seed, number = options.again.split("/")
        again(Case(name, int(seed), int(number)))
        return 0
    chosen = options.kinds.split(",") if options.kinds else list(MODULES)
    tallies = []
    for name in chosen:
        tallies.append(fuzz(kind_of(name), options.seed, 60 * options.minutes / len(chosen), options.keep))
        print(tallies[-1].line(), flush=True)
    failed = sum(len(tally.failures) for tally in tallies)
    cases, core_s = sum(tally.outcomes.total() for tally in tallies), sum(tally.core_s for tally in tallies)
    print(f"seed {options.seed}: {cases} cases in {core_s / 60:.1f} minutes of a core, {failed} failures")
    for tally in tallies:
        print(tally.line())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
