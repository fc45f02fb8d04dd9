"""The spool delivers in order, survives a silent receiver and a killed process, and never makes the caller wait."""

import json
import threading
import time

import pytest

from mammogan.tracking import spool
from mammogan.tracking.spool import Spool


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(spool, "SEND_EVERY_S", 0.01)
    monkeypatch.setattr(spool, "LONGEST_PAUSE_S", 0.02)


def into(got):
    """Receiver that keeps all that it gets."""
    return lambda records: got.extend(map(json.loads, records)) or len(records)


def test_delivers_everything_in_order(tmp_path):
    got = []
    queue = Spool(tmp_path / "q.jsonl", into(got), "list")
    for i in range(1000):
        queue.append(json.dumps({"i": i}))
    assert queue.close(10)
    assert got == [{"i": i} for i in range(1000)]
    assert list(tmp_path.iterdir()) == []


def test_a_silent_receiver_neither_blocks_nor_loses(tmp_path, capsys):
    got, up = [], threading.Event()

    def send(records):
        if not up.is_set():
            raise ConnectionError("refused")
        got.extend(map(json.loads, records))
        return len(records)

    queue = Spool(tmp_path / "q.jsonl", send, "the server")
    started = time.monotonic()
    for i in range(100):
        queue.append(json.dumps({"i": i}))
    assert time.monotonic() - started < 1
    time.sleep(0.2)
    assert not got
    up.set()
    assert queue.close(10)
    assert [record["i"] for record in got] == list(range(100))
    assert capsys.readouterr().err.count("the server does not answer (refused)") == 1


def test_a_server_that_stays_away_for_days_is_still_asked(tmp_path, monkeypatch):
    """Two thousand attempts, which half a minute apart are seventeen hours; 2.0 ** 1024 is no number."""
    monkeypatch.setattr(spool, "LONGEST_PAUSE_S", 0.0)
    got, attempts = [], []

    def send(records):
        attempts.append(1)
        if len(attempts) < 2000:
            raise ConnectionError("refused")
        return into(got)(records)

    queue = Spool(tmp_path / "q.jsonl", send, "the server")
    queue.append(json.dumps({"i": 0}))
    assert queue.close(60)
    assert got == [{"i": 0}]


def test_who_gave_up_leaves_the_file_to_the_next(tmp_path):
    """Also where both are of one process, and the first was in the middle of a record."""
    up, asked, late = threading.Event(), threading.Event(), []

    def send(records):
        asked.set()
        up.wait()
        return into(late)(records)

    first = Spool(tmp_path / "q.jsonl", send, "the server")
    for i in range(2):
        first.append(json.dumps({"i": i}))
        asked.wait(10)
    assert not first.close(0.05)
    got = []
    assert Spool(tmp_path / "q.jsonl", into(got), "list").close(10)
    up.set()
    first._thread.join(10)
    assert not first._thread.is_alive()
    assert got == [{"i": 0}, {"i": 1}]
    assert late == [{"i": 0}]
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_sent_is_sent_by_the_next_process(tmp_path):
    def refuse(records):
        raise ConnectionError("refused")

    first = Spool(tmp_path / "q.jsonl", refuse, "the server")
    for i in range(5):
        first.append(json.dumps({"i": i}))
    assert not first.close(0.05)
    with (tmp_path / "q.jsonl").open("ab") as file:
        file.write(b'{"i": 5, "torn')  # a process killed in the middle of a line
    got = []
    second = Spool(tmp_path / "q.jsonl", into(got), "the server")
    second.append(json.dumps({"i": 6}))
    assert second.close(10)
    assert [record["i"] for record in got] == [0, 1, 2, 3, 4, 6]


def test_goes_on_behind_what_was_sent(tmp_path):
    lines = [json.dumps({"i": i}) + "\n" for i in range(4)]
    (tmp_path / "q.jsonl").write_text("".join(lines))
    (tmp_path / "q.sent").write_text(str(len("".join(lines[:3]))))
    got = []
    assert Spool(tmp_path / "q.jsonl", into(got), "list").close(10)
    assert got == [{"i": 3}]


def test_processes_that_die_again_and_again_come_to_the_end(tmp_path):
    """Each gets two records delivered, one by one, and then hangs; the next begins behind them."""
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({"i": i}) + "\n" for i in range(7)))
    got = []

    def dying(left):
        def take_one(records):
            if not left:
                threading.Event().wait()
            left.pop()
            got.append(json.loads(records[0])["i"])
            return 1

        return take_one

    closed = [Spool(tmp_path / "q.jsonl", dying([1, 1]), "list").close(0.3) for _ in range(4)]
    assert got == list(range(7))
    assert closed == [False, False, False, True]
