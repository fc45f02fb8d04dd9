"""Cases in forked processes with limits of memory and time, so that none can harm the campaign or the machine."""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from cases import Case, Kind, Outcome, Verdict, judged

MEMORY_BYTES = 3 << 30
LOST_CORE_S = 1.0
"""What a lost process, which cannot tell, is taken to have used: a fuzz of nothing but crashes ends too."""
CASE_S = 60
"""Seconds of the clock after which a case hangs; other work may share the core."""
CPU_S = 15
"""Seconds of the processor that no case of a few kilobytes may need."""
BATCH = 200
"""Cases of one process: a fork costs as much as a few of them."""
MEGABYTE = 1 << 20


class Sandbox:
    """Folders of a case, and whether anything was left outside of the one that is the product's to write to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.given, self.out = root / "case/given", root / "case/out"
        self.guarded = [root / name for name in ("home", "temp", "here")]

    def enter(self) -> None:
        """Make this process's own folders these."""
        for folder in self.guarded:
            folder.mkdir(parents=True, exist_ok=True)
        os.environ |= {"HOME": str(self.root / "home"), "TMPDIR": str(self.root / "temp")}
        os.chdir(self.root / "here")
        self._known = self._listing()

    def clean(self) -> None:
        """Empty folders for the next case."""
        shutil.rmtree(self.root / "case", ignore_errors=True)
        self.given.mkdir(parents=True)
        self.out.mkdir()

    def escaped(self) -> list[str]:
        """What was written elsewhere, which is removed."""
        names = sorted(self._listing() - self._known)
        for name in names:
            path = self.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return names

    def _listing(self) -> set[str]:
        folders = [self.root, *self.guarded]
        return {str(path.relative_to(self.root)) for folder in folders for path in folder.iterdir()} - {"case"}


def verdicts(
    kind: Kind, seed: int, first: int, sandbox: Sandbox, until: Callable[[], bool]
) -> Generator[tuple[Case, Verdict]]:
    """Each case from number ``first`` on and what became of it, until told; a lost process is told of and replaced."""
    number = first
    while not until():
        with closing(_batch(kind, seed, number, sandbox)) as batch:
            for case, verdict in batch:
                yield case, verdict
                number = case.number + 1


def _batch(kind: Kind, seed: int, first: int, sandbox: Sandbox) -> Generator[tuple[Case, Verdict]]:
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        _work(kind, seed, first, sandbox, sender)
    os.close(sender)
    number, hung = first, False
    try:
        lines = _lines(receiver)
        while number < first + BATCH:
            try:
                line = next(lines)
            except (StopIteration, TimeoutError) as error:
                hung = isinstance(error, TimeoutError)
                break
            yield Case(kind.name, seed, number), Verdict.of_line(line)
            number += 1
    finally:
        os.close(receiver)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if number < first + BATCH:
        detail = f"no end in {CASE_S} s" if hung else f"the process ended with status {status}"
        outcome = Outcome.HANG if hung else Outcome.CRASH
        yield Case(kind.name, seed, number), Verdict(outcome, detail, core_s=LOST_CORE_S)


def _lines(receiver: int) -> Iterator[bytes]:
    """What a child tells, line by line. Raises TimeoutError where it tells nothing for too long."""
    pending = b""
    while True:
        ready, _, _ = select.select([receiver], [], [], CASE_S)
        if not ready:
            raise TimeoutError
        received = os.read(receiver, 1 << 16)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        yield from lines


def _work(kind: Kind, seed: int, first: int, sandbox: Sandbox, sender: int) -> None:
    """Do a batch and end the process."""
    status = 1
    try:
        sandbox.enter()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        mapped, resident = (
            int(pages) * resource.getpagesize() for pages in Path("/proc/self/statm").read_text().split()[:2]
        )
        resource.setrlimit(resource.RLIMIT_AS, (mapped - resident + MEMORY_BYTES,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in range(first, first + BATCH):
            begun = time.process_time()
            verdict = verdict_of(kind, Case(kind.name, seed, number), sandbox)
            os.write(sender, replace(verdict, core_s=round(time.process_time() - begun, 4)).line())
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


def verdict_of(kind: Kind, case: Case, sandbox: Sandbox) -> Verdict:
    """Make a case's input, give it to the product, and judge what it does."""
    sandbox.clean()
    try:
        kind.write(case.rng(), sandbox.given)
    except Exception as error:
        return Verdict(Outcome.TRACEBACK, f"the fuzz itself: {type(error).__name__}: {error}"[:500])
    _forget_peak()
    begun = time.process_time()
    verdict = Verdict(Outcome.RESULT)
    try:
        kind.read(sandbox.given, sandbox.out)
    except Exception as error:
        verdict = judged(error)
    cpu_s, peak_mb = time.process_time() - begun, _peak_mb()
    if escaped := sandbox.escaped():
        verdict = Verdict(Outcome.ESCAPE, f"outside of the folder: {', '.join(escaped)[:300]}")
    elif cpu_s > CPU_S:
        verdict = Verdict(Outcome.HANG, f"{cpu_s:.0f} s of the processor")
    return replace(verdict, peak_mb=peak_mb, cpu_s=round(cpu_s, 3))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 // MEGABYTE
