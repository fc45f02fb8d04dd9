"""A server that is away is waited for as long as the variable says, by S3's requests and by MLflow's client."""

import os
import threading
import time

import mlflow
import pytest
from urllib3 import Retry
from urllib3.exceptions import ProtocolError

from mammogan import patience
from mammogan.tracking.server import client


class Flaky:
    """Fails the first ``failures`` calls."""

    def __init__(self, failures, error):
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "done"


def ask(request, may_pass=lambda error: isinstance(error, ConnectionError), server="s3://bucket"):
    return patience.retry(request, server, may_pass)


@pytest.fixture(autouse=True)
def no_pause_under_way(monkeypatch):
    monkeypatch.setattr(patience, "_quiet_until", {})
    monkeypatch.delenv("MAMMOGAN_PATIENCE_S", raising=False)


@pytest.fixture
def clock(monkeypatch):
    """Time that only sleeping moves."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

        def sleep(self, pause_s):
            self.now += pause_s

    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


def test_a_server_that_is_away_for_nearly_a_minute_is_waited_for_in_growing_pauses(clock, capsys):
    work = Flaky(7, ConnectionError("refused"))
    assert ask(work) == "done"
    assert clock.now == pytest.approx(1000 + 0.5 + 1 + 2 + 4 + 8 + 15 + 15)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert lines[0] == "s3://bucket is away (refused); trying again in 0.5 s, giving up in 60 s"


@pytest.mark.parametrize("patience_s", [0, 1, 600])
def test_a_server_that_stays_away_raises_what_it_said_when_the_time_is_over(clock, monkeypatch, patience_s):
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", str(patience_s))
    work = Flaky(99, ConnectionError("refused"))
    with pytest.raises(ConnectionError, match="refused"):
        ask(work)
    assert clock.now == pytest.approx(1000 + patience_s)
    assert work.calls == {0: 1, 1: 3, 600: 45}[patience_s]


def test_the_time_begins_with_the_first_failure(clock):
    def slow():
        clock.sleep(300)  # a long transfer that breaks off at its end
        return work()

    work = Flaky(1, ConnectionError("broken off"))
    assert ask(slow) == "done"


def test_what_waiting_cannot_fix_is_raised_at_once(clock):
    with pytest.raises(FileNotFoundError):
        ask(Flaky(1, FileNotFoundError("no object")))
    assert clock.now == 1000


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "1 min"])
def test_a_variable_that_is_no_number_of_seconds_is_refused_before_the_request(monkeypatch, text):
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", text)
    work = Flaky(0, None)
    with pytest.raises(ValueError, match=rf"^MAMMOGAN_PATIENCE_S='{text}': give the seconds .*$"):
        ask(work)
    assert not work.calls


def test_many_threads_that_wait_say_it_once_a_pause(monkeypatch, capsys):
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", "1")
    work = Flaky(10**6, ConnectionError("refused"))
    with patience.threads(8) as pool:
        waiting = [pool.submit(ask, work) for _ in range(8)]
        assert all(isinstance(future.exception(), ConnectionError) for future in waiting)
    assert len(capsys.readouterr().err.splitlines()) == 2


def leave(event):
    raise KeyboardInterrupt


def tell_and_go_on(event):
    event.set()


@pytest.mark.parametrize("end", [leave, tell_and_go_on])
def test_threads_stop_waiting_when_their_pool_ends(end):
    event, work = threading.Event(), Flaky(10**6, ConnectionError("refused"))

    def wait_in_a_pool():
        with patience.threads(2, event.is_set) as pool:
            waiting = pool.submit(ask, work)
            while not work.calls:
                time.sleep(0.01)
            end(event)
            waiting.result()

    start = time.monotonic()
    with pytest.raises((KeyboardInterrupt, ConnectionError)):
        wait_in_a_pool()
    assert time.monotonic() - start < 5


def waited_s(retries):
    """What urllib3 itself waits before it gives up, with MLflow's factor."""
    state, total_s = Retry(retries, backoff_factor=2), 0.0
    for _ in range(retries):
        state = state.increment("GET", "/", error=ProtocolError("closed"))
        total_s += state.get_backoff_time()
    return total_s


@pytest.mark.parametrize(("patience_s", "retries"), [(0, 0), (1, 2), (60, 5), (600, 10), (3600, 35)])
def test_mlflow_waits_about_as_long(monkeypatch, patience_s, retries):
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", str(patience_s))
    count = patience.retries(2, 120)
    assert count == retries
    assert waited_s(count) >= patience_s
    assert not count or waited_s(count - 1) < patience_s


@pytest.mark.parametrize(("own", "expected"), [("", "10"), ("3", "3")])
def test_mlflows_client_gets_the_same_patience_unless_its_own_variable_says_otherwise(monkeypatch, own, expected):
    before = mlflow.get_tracking_uri()
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "_MLFLOW_HTTP_REQUEST_MAX_RETRIES_LIMIT", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "x")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", "600")
    if own:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", own)
    try:
        client("http://127.0.0.1:9")
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == expected
    finally:
        mlflow.set_tracking_uri(before)
