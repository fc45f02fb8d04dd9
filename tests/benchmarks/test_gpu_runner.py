"""A section of ``benchmarks/gpu.py`` that crashes, hangs or sends NaN is ended and named, with what it had sent."""

import json
import os
import time
from pathlib import Path

import gpu
import pytest
from gpu_sections import runner
from gpu_sections.record import Failure, Figures
from gpu_sections.runner import Outcome, Section
from gpu_sections.setting import Setting

BEGINNING = """
import os, subprocess, sys, time
def measure(setting, record):
    print("on its way", setting.size)
    record.add("before", us=1)
"""


@pytest.fixture
def end(tmp_path, monkeypatch):
    """Function that runs a section of one's own: outcome, messages."""
    monkeypatch.setattr("gpu_sections.setting.PRELOADED", [])
    monkeypatch.syspath_prepend(tmp_path)

    def run(name, body, limit_s=60.0, device="cpu"):
        setting = Setting(tmp_path, tmp_path, device, size=28, batch=2, steps=2, epochs=2, fakes=7, pairs=1, repeats=1)
        (tmp_path / f"{name}.py").write_text(BEGINNING + "".join(f"    {line}\n" for line in body))
        messages = []
        outcome = runner.run_section(name, setting, limit_s, tmp_path / "log.txt", messages.append)
        assert messages.pop(0) == Figures("before", {"us": 1.0})
        assert "on its way 28\n" in (tmp_path / "log.txt").read_text()
        return outcome, messages

    return run


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_one_that_ends_well_passes(end):
    assert end("good", ["record.add('after', 'and a note', s=2)"]) == (
        Outcome.PASSED, [Figures("after", {"s": 2.0}, "and a note")]
    )  # fmt: skip


def test_an_error_is_one_line_and_its_traceback_is_logged(end, tmp_path):
    assert end("bad", ["raise ValueError('two\\nlines')"]) == (
        Outcome.FAILED, [Failure("the section", "ValueError: two lines")]
    )  # fmt: skip
    assert "bad.py" in (tmp_path / "log.txt").read_text()


def test_a_case_that_fails_costs_no_case_after_it(end):
    body = ["with record.case('first'): raise ValueError('no')", "record.add('second', s=2)"]
    assert end("cases", body) == (
        Outcome.FAILED, [Failure("first", "ValueError: no"), Figures("second", {"s": 2.0})]
    )  # fmt: skip


def test_nan_is_no_figure(end):
    assert end("nan", ["record.add('row', s=float('nan'), m=2)"]) == (
        Outcome.FAILED, [Figures("row", {"m": 2.0}), Failure("the section", "FloatingPointError: row: s is nan")]
    )  # fmt: skip


def test_a_module_that_cannot_be_imported_is_named(tmp_path, end, monkeypatch):
    assert end("again", []) == (Outcome.PASSED, [])
    setting, messages = Setting(tmp_path, tmp_path, "cpu", 28, 2, 2, 2, 7, 1, 1), []
    assert runner.run_section("nowhere", setting, 60, tmp_path / "log.txt", messages.append) is Outcome.FAILED
    assert messages == [Failure("the section", "ModuleNotFoundError: No module named 'nowhere'")]


@pytest.mark.parametrize(
    ("death", "reason"), [("os.abort()", "killed by SIGABRT"), ("os._exit(3)", "ended with status 3")]
)
def test_a_crash_is_named(end, death, reason):
    assert end("crash", [death]) == (Outcome.FAILED, [Failure("the section", reason)])


@pytest.mark.parametrize(("closing", "device"), [("pass", "cuda"), ("record._connection.close()", "cpu")])
def test_one_that_hangs_is_ended_with_all_that_it_started(end, tmp_path, closing, device):
    """Started afresh with its end of the connection open, and forked with it closed."""
    body = [
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])",
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')",
        closing,
        "time.sleep(600)",
    ]
    began = time.monotonic()
    assert end("hang", body, 6, device) == (Outcome.TIMED_OUT, [Failure("the section", "stopped after 6 s")])
    assert 6 <= time.monotonic() - began < 60
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert os.getpid() not in pids
    while any(map(alive, pids)):  # the child is init's to reap now
        assert time.monotonic() - began < 60
        time.sleep(0.1)


@pytest.mark.parametrize(("device", "limit_s"), [("cuda", 1), ("cpu", 2)])
def test_a_section_has_its_own_limit_on_a_gpu_and_what_is_left_of_the_whole(tmp_path, monkeypatch, device, limit_s):
    """Neither module touches a device."""
    monkeypatch.setattr("gpu_sections.setting.PRELOADED", [])
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sleeper.py").write_text("import time\ndef measure(setting, record): time.sleep(600)\n")
    body = "record.add('row', (setting.out / 'all.json').read_text(), s=1)"
    (tmp_path / "worker.py").write_text(f"def measure(setting, record): {body}\n")
    report = gpu.Report(tmp_path)
    sections = [Section("sleeper", "sleeper", limit_s=1, least_s=1), Section("worker", "worker", 60, least_s=1)]
    setting = Setting(tmp_path, tmp_path, device, 28, 2, 2, 2, 7, 1, 1)
    assert not gpu.run_all(sections, setting, 2 if device == "cpu" else 60, report)
    sleeper, worker = report.results.values()
    assert sleeper.outcome is Outcome.TIMED_OUT
    assert sleeper.failures == [Failure("the section", f"stopped after {limit_s} s")]
    assert worker.outcome is (Outcome.PASSED if device == "cuda" else Outcome.NOT_RUN)
    if device == "cuda":
        (figures,) = worker.figures
        written = {name: section["outcome"] for name, section in json.loads(figures.note).items()}
        assert written == {"sleeper": "timed out", "worker": "running"}
        assert "\nworker | row | s 1 | {" in report.summary()
