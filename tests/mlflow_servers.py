"""A PostgreSQL server, an MLflow server on it, and a network in between that loses every tenth request or answer."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient
from ports import free_port
from warm_interpreter import warm_python

START_S = 120


@contextlib.contextmanager
def postgres():
    """URI of an empty database on a server of its own; skips where PostgreSQL is not installed."""
    folders = [Path(program).parent for program in [shutil.which("initdb")] if program]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    programs = next((folder for folder in folders if (folder / "postgres").exists()), None)
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    folder, port = Path(tempfile.mkdtemp(prefix="pg-")), free_port()
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    initdb = [
        programs / "initdb",
        "--pgdata",
        data,
        "--username=mlflow",
        "--auth=trust",
        "--no-sync",
        "--encoding=UTF8",
    ]
    subprocess.run(initdb, user=user, check=True, capture_output=True, cwd=folder)
    command = [programs / "postgres", "-D", data, "-p", str(port), "-k", folder, "-c", "fsync=off", "-h", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, user=user, stdout=log, stderr=log, cwd=folder)
    try:
        wait_until(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), process, folder / "log")
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


class MlflowServer:
    """An MLflow server that can be stopped and started again on the same port."""

    def __init__(self, database, artifacts, folder, environment):
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder, self._process = Path(folder), None
        self._environment = {**os.environ, **environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._command = [
            warm_python(), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", database, "--artifacts-destination", artifacts,
        ]  # fmt: skip

    def start(self):
        """Start it and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / "server.log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                self._command, stdout=file, stderr=file, env=self._environment, cwd=self._folder, start_new_session=True
            )
        wait_until(lambda: urllib.request.urlopen(f"{self.uri}/health", timeout=2).close(), self._process, log)

    def stop(self):
        """Kill it with all its workers, as a machine that fails would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(ConnectionRefusedError):
            while True:  # its workers end a moment later
                # one of them ended while it was asked, or its queue was full
                with contextlib.suppress(ConnectionResetError, TimeoutError):
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                time.sleep(0.02)


@contextlib.contextmanager
def mlflow_server(database, artifacts, folder, environment=None):
    """A running ``MlflowServer`` that keeps runs in ``database`` and artifacts at ``artifacts``, through itself."""
    server = MlflowServer(database, artifacts, folder, environment or {})
    server.start()
    try:
        yield server
    finally:
        server.stop()


def wait_until(ready, process, log):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return ready()
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"a server did not start: {log.read_text(errors='replace')[-3000:]}")


@contextlib.contextmanager
def lossy_proxy(target, lose_every=10):
    """Address of a proxy in front of ``target`` that loses every tenth request: in turn before and after it was served.

    ``proxy.lost`` counts them. A lost answer is the bad case: the server has done what the client asks for again.
    """
    server = _LossyServer(("127.0.0.1", 0), _LossyHandler)
    server.target, server.lose_every, server.seen, server.lost = urlsplit(target), lose_every, 0, 0
    server.lock, server.uri = threading.Lock(), f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def lose_first_answers(patch, method):
    """Every request of MLflow's client by that method is made twice: the client asks again, the server made both."""
    real = getattr(MlflowClient, method)

    def twice(*given, **named):
        real(*given, **named)
        return real(*given, **named)

    patch.setattr(MlflowClient, method, twice)


class _LossyServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """Say nothing of connections that break off; that is its purpose."""


class _LossyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its headers

    def forward(self):
        with self.server.lock:
            self.server.seen += 1
            lose = self.server.seen % self.server.lose_every == 0
            self.server.lost += lose
            before = self.server.lost % 2 == 0
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if lose and before:
            self.break_off()
            return
        upstream = http.client.HTTPConnection(self.server.target.hostname, self.server.target.port, timeout=60)
        with contextlib.closing(upstream):
            try:
                upstream.request(self.command, self.path, body=body, headers=dict(self.headers.items()))
                response = upstream.getresponse()
                content = response.read()
            except OSError:  # the server behind is down
                self.break_off()
                return
        if lose:
            self.break_off()
            return
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815  (the names that http.server calls)

    def break_off(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *arguments):
        """Keep the test's output clean."""
