"""The memory of this process alone."""

from pathlib import Path


def peak_mib() -> float:
    """Peak of the resident set; that of ``getrusage`` is at least what the process held that started this one."""
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
