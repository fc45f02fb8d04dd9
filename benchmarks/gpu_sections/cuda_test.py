"""The project's only test that needs a GPU, by pytest."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from gpu_sections.record import Record
from gpu_sections.setting import Setting

ROOT = Path(__file__).resolve().parents[2]
TEST = "tests/metrics/test_properties.py::test_no_number_depends_on_the_device"


def measure(setting: Setting, record: Record) -> None:
    """Record whether it passed. Raises AssertionError where it failed, and on a GPU where it was skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        # the project's own options name plugins and warnings of packages that a GPU machine may lack
        options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings=", f"--junit-xml={report}"]
        status = subprocess.run([sys.executable, "-m", "pytest", *options, TEST], cwd=ROOT).returncode
        suite = ElementTree.parse(report).getroot().find("testsuite") if report.is_file() else None
    if suite is None:
        raise AssertionError(f"pytest ended with status {status} and ran nothing; log.txt says why")
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    record.add(TEST, **counts, seconds=float(suite.get("time", 0)))
    ran = counts["tests"] - counts["skipped"]
    if status or (setting.cuda and not ran):
        raise AssertionError(f"pytest ended with status {status}, {ran} tests run; log.txt says why")
