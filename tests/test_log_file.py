"""The command line's log: whole tracebacks without passwords, small, and never the reason why a command fails."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from mammogan import log_file


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setenv(log_file.VARIABLE, str(tmp_path / "logs" / "mammogan.log"))
    logger = logging.Logger("mammogan", logging.DEBUG)
    yield logger
    log_file.detach(logger)


def fail(address):
    raise RuntimeError(f"{address} does not answer")


def test_a_record_has_time_level_module_and_the_whole_traceback_without_passwords(package, tmp_path):
    log_file.attach(package)
    package.debug("https://anna:secret@host/a")
    try:
        fail("https://anna:secret@host/b")
    except RuntimeError:
        package.exception("error: https://anna:secret@host/c")
    text = (tmp_path / "logs" / "mammogan.log").read_text()
    first, second, *trace = text.splitlines()
    assert first[:4].isdigit()
    assert first.endswith(" mammogan: https://***@host/a")
    assert " DEBUG " in first
    assert " ERROR " in second
    assert trace[0] == "Traceback (most recent call last):"
    assert 'raise RuntimeError(f"{address} does not answer")' in text
    assert trace[-1] == "RuntimeError: https://***@host/b does not answer"
    assert "secret" not in text
    assert log_file.kept_in(package) == tmp_path / "logs" / "mammogan.log"


def test_attached_twice_it_writes_once_and_another_place_takes_over(package, tmp_path, monkeypatch):
    log_file.attach(package)
    log_file.attach(package)
    package.info("first")
    monkeypatch.setenv(log_file.VARIABLE, str(tmp_path / "other.log"))
    log_file.attach(package)
    package.info("second")
    assert (tmp_path / "logs" / "mammogan.log").read_text().count("first") == 1
    assert "second" not in (tmp_path / "logs" / "mammogan.log").read_text()
    assert (tmp_path / "other.log").read_text().count("second") == 1


def test_it_stays_small(package, tmp_path, monkeypatch):
    monkeypatch.setattr(log_file, "MOST_BYTES", 1000)
    log_file.attach(package)
    for number in range(200):
        package.info(f"record {number}")
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["mammogan.log", "mammogan.log.1", "mammogan.log.2", "mammogan.log.3"]
    assert all(path.stat().st_size <= 1000 for path in (tmp_path / "logs").iterdir())
    assert "record 199" in (tmp_path / "logs" / "mammogan.log").read_text()


@pytest.mark.parametrize("value", ["/proc/none/mammogan.log", "/dev/null/mammogan.log", "~nobody-of-that-name/log"])
def test_a_place_that_cannot_be_written_is_no_error(package, monkeypatch, value):
    monkeypatch.setenv(log_file.VARIABLE, value)
    log_file.attach(package)
    package.error("still here")
    assert log_file.kept_in(package) is None


def test_a_full_disk_is_no_error_and_the_file_is_not_said_to_be_whole(package, monkeypatch, capsys):
    monkeypatch.setenv(log_file.VARIABLE, "/dev/full")
    log_file.attach(package)
    package.error("lost")
    assert log_file.kept_in(package) is None
    assert capsys.readouterr() == ("", "")


def test_without_a_variable_it_is_in_the_user_s_cache(monkeypatch, tmp_path):
    monkeypatch.delenv(log_file.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert log_file.path() == tmp_path / "mammogan" / "log" / "mammogan.log"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert log_file.path() == tmp_path / "home" / ".cache" / "mammogan" / "log" / "mammogan.log"


def test_nobody_else_may_read_it_and_no_value_of_an_option_stands_in_it(monkeypatch, tmp_path):
    """As a command line begins it: a value may be an address with a sign-in that nothing tells from another word."""
    monkeypatch.setenv("MAMMOGAN_LOG", str(tmp_path / "log.txt"))
    given = ["stop", "an-id", "--host", "me:geheim@127.0.0.1:1", "--tracking-uri=http://x?token=geheim"]
    command = [sys.executable, "-m", "mammogan", *given]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[1])
    text = (tmp_path / "log.txt").read_text()
    assert done.returncode == 2
    assert "geheim" not in text + done.stderr
    assert "stop ... --host ... --tracking-uri" in text
    assert (tmp_path / "log.txt").stat().st_mode & 0o777 == 0o600
