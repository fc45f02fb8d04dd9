"""One clock for all signs of life, the server's: a janitor or a node that is hours wrong ends no living run."""

import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mlflow_servers
import pytest

from mammogan import tracking
from mammogan.config import PRESETS
from mammogan.tracking import clock, heartbeat, janitor
from mammogan.tracking.runs import find_or_create_parent

PATIENCE_S = 12 * 3600
HOURS = 3600 * 10**9
REAL_NS = time.time_ns


@pytest.fixture(scope="module")
def server(empty_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copyfile(empty_database, folder / "mlflow.db")
    with mlflow_servers.mlflow_server(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"), folder) as running:
        yield running.uri


def wrong(monkeypatch, hours):
    """This process's clock, as many hours ahead of the server's."""
    monkeypatch.setattr(time, "time_ns", lambda: REAL_NS() + hours * HOURS)
    monkeypatch.setattr(time, "time", lambda: time.time_ns() / 10**9)


def living(server, name, monkeypatch):
    """A run on a machine that cannot be asked, which has just given a sign of life."""
    run_id = find_or_create_parent(name, name, PRESETS["demo"], {}, server)
    tracking.set_tags(run_id, {**heartbeat.beat(server), heartbeat.PROCESS: "elsewhere:1"}, server)
    return run_id


def test_a_janitor_hours_ahead_ends_no_living_run(server, monkeypatch):
    living(server, "ahead", monkeypatch)
    wrong(monkeypatch, 13)
    assert janitor.dead_runs("ahead", PATIENCE_S, server) == []
    assert janitor.sweep("ahead", PATIENCE_S, server) == []


@pytest.mark.parametrize("hours", [-13, 13])
def test_a_node_with_a_wrong_clock_gives_signs_of_the_right_time(server, monkeypatch, hours):
    name = f"node{hours}"
    with monkeypatch.context() as patch:
        wrong(patch, hours)
        run_id = living(server, name, patch)
        tracking.set_tags(run_id, heartbeat.sign_on(server) | {heartbeat.PROCESS: "elsewhere:1"}, server)
    sign = int(tracking.client(server).get_run(run_id).data.tags[heartbeat.HEARTBEAT])
    assert abs(sign - REAL_NS() // 10**6) < 60_000
    assert janitor.dead_runs(name, PATIENCE_S, server) == []
    assert [item.run_id for item in janitor.dead_runs(name, -60, server)] == [run_id], "and it is judged by them"


def test_the_time_is_the_databases_where_no_server_stands_before_it(monkeypatch):
    with mlflow_servers.postgres() as address:
        wrong(monkeypatch, 13)
        assert abs(clock.now_ms(address) - REAL_NS() // 10**6) < 60_000


class _Timeless(BaseHTTPRequestHandler):
    def do_GET(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def log_message(self, *arguments):
        pass


def test_a_server_that_does_not_tell_the_time_or_is_away_is_not_waited_for(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Timeless) as timeless:
        threading.Thread(target=timeless.serve_forever, daemon=True).start()
        here, there = REAL_NS() // 10**6, clock.now_ms(f"http://127.0.0.1:{timeless.server_address[1]}")
        timeless.shutdown()
    begun = time.monotonic()
    away = clock.now_ms("http://127.0.0.1:9")
    assert time.monotonic() - begun < clock.ANSWER_S + 5
    assert all(0 <= time_ms - here < 30_000 for time_ms in (there, away))
    assert abs(clock.now_ms(f"sqlite:///{tmp_path}/none.db") - REAL_NS() // 10**6) < 1000
    assert not (tmp_path / "none.db").exists(), "nothing is made by asking"
