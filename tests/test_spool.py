"""The spool delivers in order, survives a silent receiver and a killed process, and never makes the caller wait."""

import json
import threading
import time

import pytest

from mammogan import spool
from mammogan.spool import Spool


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(spool, "SEND_EVERY_S", 0.01)
    monkeypatch.setattr(spool, "LONGEST_PAUSE_S", 0.02)


def test_delivers_everything_in_order(tmp_path):
    got = []
    queue = Spool(tmp_path / "q.jsonl", got.extend, "list")
    for i in range(1000):
        queue.append({"i": i})
    assert queue.close(10)
    assert got == [{"i": i} for i in range(1000)]
    assert list(tmp_path.iterdir()) == []


def test_a_silent_receiver_neither_blocks_nor_loses(tmp_path, capsys):
    got, up = [], threading.Event()

    def send(records):
        if not up.is_set():
            raise ConnectionError("refused")
        got.extend(records)

    queue = Spool(tmp_path / "q.jsonl", send, "the server")
    started = time.monotonic()
    for i in range(100):
        queue.append({"i": i})
    assert time.monotonic() - started < 1
    time.sleep(0.2)
    assert not got
    up.set()
    assert queue.close(10)
    assert [record["i"] for record in got] == list(range(100))
    assert capsys.readouterr().err.count("the server does not answer (refused)") == 1


def test_what_was_not_sent_is_sent_by_the_next_process(tmp_path):
    def refuse(records):
        raise ConnectionError("refused")

    first = Spool(tmp_path / "q.jsonl", refuse, "the server")
    for i in range(5):
        first.append({"i": i})
    assert not first.close(0.05)
    with (tmp_path / "q.jsonl").open("ab") as file:
        file.write(b'{"i": 5, "torn')  # a process killed in the middle of a line
    got = []
    second = Spool(tmp_path / "q.jsonl", got.extend, "the server")
    second.append({"i": 6})
    assert second.close(10)
    assert [record["i"] for record in got] == [0, 1, 2, 3, 4, 6]


def test_goes_on_behind_what_was_sent(tmp_path):
    lines = [json.dumps({"i": i}) + "\n" for i in range(4)]
    (tmp_path / "q.jsonl").write_text("".join(lines))
    (tmp_path / "q.sent").write_text(str(len("".join(lines[:3]))))
    got = []
    assert Spool(tmp_path / "q.jsonl", got.extend, "list").close(10)
    assert got == [{"i": 3}]
