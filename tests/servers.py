"""Real servers for tests: an S3 store, and a proxy in front of it that counts, fails and breaks off."""

import contextlib
import http.client
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from sysconfig import get_path
from urllib.parse import urlsplit

from ports import free_ports

START_S = 60
ACCESS_KEY, SECRET_KEY = "tester", "tester-secret"


@dataclass(eq=False)
class Store:
    """An S3 server that runs, or is away between ``stop`` and ``start``. Anybody may read; writing needs keys."""

    endpoint: str
    command: list
    folder: Path
    process: subprocess.Popen | None = None
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    @property
    def environment(self):
        """Variables by which boto3 finds the server and may write to it."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self):
        """Start the server on its old port with its old files, and wait until it answers."""
        with (self.folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env={**os.environ, "HOME": str(self.folder)}
            )
        _wait(self.endpoint, self.process, self.folder / "weed.log")

    def stop(self):
        """Kill the server: its files stay, so it need not take leave."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def seaweedfs(folder, keys=None):
    """A SeaweedFS server that keeps its files in ``folder``, up when the block starts and gone when it ends.

    ``keys`` names further keys, whose secret is ``NAME-secret``, and what each may do, such as ``Read:bucket``; then
    nobody may do anything without a key.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    identities = [
        {
            "name": "tester",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        },
    ]
    identities += [] if keys else [{"name": "anonymous", "actions": ["Read", "List"]}]
    identities += [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": f"{name}-secret"}], "actions": actions}
        for name, actions in (keys or {}).items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    master, volume, filer, s3 = free_ports(4, 10000)  # its gRPC listens 10000 above each
    command = [
        Path(get_path("scripts"), "weed"), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        "-filer", "-s3", f"-s3.config={folder / 's3.json'}", f"-master.port={master}", f"-volume.port={volume}",
        f"-filer.port={filer}", f"-s3.port={s3}",
        "-s3.port.iceberg=0", "-s3.port.lance=0",  # else fixed ports, and a second server dies
        "-master.volumeSizeLimitMB=64", "-volume.max=50", "-master.electionTimeout=1s",  # a restart waits for it
    ]  # fmt: skip
    store = Store(f"http://127.0.0.1:{s3}", command, folder)
    try:
        store.start()
        yield store
    finally:
        store.stop()


def _wait(endpoint, process, log):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(endpoint, timeout=2).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"no S3 server at {endpoint}: {log.read_text(errors='replace')[-2000:]}")


@dataclass
class Proxy:
    """What passed through a proxy, and the faults that it still has to make."""

    endpoint: str = ""
    reads: Counter = field(default_factory=Counter)
    """GET requests of whole objects by path, those that were made to fail included."""
    served: Counter = field(default_factory=Counter)
    """GET requests of whole objects by path that were answered to the end."""
    faults: dict = field(default_factory=dict)
    """Path to the list of its coming faults: a status such as 503, or ``drop`` to break off in mid-object."""


@contextlib.contextmanager
def proxy(store):
    """A proxy in front of an S3 server; requests keep their Host header, so their signatures hold."""
    server = _ProxyServer(("127.0.0.1", 0), _ProxyHandler)
    server.state = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    server.target = urlsplit(store.endpoint)
    server.lock = threading.Lock()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _ProxyServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing of clients that go away."""


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its headers

    def do_GET(self):
        url = urlsplit(self.path)
        name = None if "list-type" in url.query else url.path
        fault = self.next_fault(name)
        if isinstance(fault, int):
            self.answer(fault, [], b"<Error><Code>ServiceUnavailable</Code></Error>")
            return
        status, headers, body = self.ask_upstream()
        if fault == "drop":
            self.answer(status, headers, body, sent=len(body) // 2)
            self.close_connection = True
            return
        self.answer(status, headers, body)
        self.count(self.server.state.served, name)

    def next_fault(self, name):
        self.count(self.server.state.reads, name)
        with self.server.lock:
            faults = self.server.state.faults.get(name)
            return faults.pop(0) if faults else None

    def count(self, counter, name):
        if name is not None:
            with self.server.lock:
                counter[name] += 1

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(*self.ask_upstream("PUT", content))

    def ask_upstream(self, method="GET", content=None):
        upstream = http.client.HTTPConnection(self.server.target.hostname, self.server.target.port, timeout=30)
        with contextlib.closing(upstream):
            upstream.request(method, self.path, content, dict(self.headers.items()))
            response = upstream.getresponse()
            return response.status, response.getheaders(), response.read()

    def answer(self, status, headers, body, sent=None):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[:sent])

    def log_message(self, *arguments):
        """Keep the test's output clean."""
