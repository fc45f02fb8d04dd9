"""The memory limit of the container around this process, and an end by MemoryError before it is reached.

A process that the kernel ends for memory says nothing, and with it goes what a trial could have reported. Kubernetes
gives a container's limit to its control group, version 2 or 1.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
UNLIMITED = 1 << 60
"""Version 1 writes a huge number where there is no limit."""
SHARE = 0.95
"""Share of the limit at which a step is ended."""
LOOK_EVERY_S = 0.1
SIGNAL = signal.SIGUSR2


@dataclass(frozen=True)
class _Group:
    """The control group of this process, in one of the two versions."""

    folder: Path
    limit: str
    used: str
    cache: tuple[str, ...]
    """Lines of ``memory.stat`` with what the kernel takes back by itself before it ends a process."""

    def read_limit(self) -> int | None:
        """Bytes, or None without a limit."""
        text = (self.folder / self.limit).read_text().strip()
        return int(text) if text.isdigit() and int(text) < UNLIMITED else None

    def read_used(self) -> int:
        """Bytes, without what the kernel takes back by itself."""
        stat = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return int((self.folder / self.used).read_text()) - sum(int(stat.get(name, 0)) for name in self.cache)


def _group(root: Path, own: Path) -> _Group | None:
    """Group by ``/proc/self/cgroup``; where its path is the host's and not to be seen, the one that is mounted."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return None
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            top, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
            cache = ("total_inactive_file", "total_active_file")
        elif not controllers:
            top, names, cache = root, ("memory.max", "memory.current"), ("inactive_file", "active_file")
        else:
            continue
        for folder in (top / path.lstrip("/"), top):
            if (folder / names[0]).is_file():
                return _Group(folder, *names, cache)
    return None


def limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes that the container may use; None without a limit, or where it cannot be read."""
    group = _group(root, own)
    return group.read_limit() if group else None


@contextmanager
def guarded(root: Path = ROOT, own: Path = OWN) -> Generator[None]:
    """Raise MemoryError, naming the limit, in the main thread when 95 % of the container's memory are in use.

    Does nothing outside the main thread, and where there is no limit.
    """
    group = _group(root, own)
    most = group.read_limit() if group else None
    if group is None or most is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    over, seen = threading.Event(), [0]

    def watch() -> None:
        while not over.wait(LOOK_EVERY_S):
            seen[0] = group.read_used()
            if seen[0] > SHARE * most and not over.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
                return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise MemoryError(f"out of memory: {seen[0] / 2**30:.2f} GiB in use of its limit of {most / 2**30:.2f} GiB")

    before = signal.signal(SIGNAL, end)
    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(SIGNAL, before)
