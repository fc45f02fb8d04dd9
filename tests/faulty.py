"""A gateway between a client and a server that goes wrong at random, in a way that a seed repeats."""

import contextlib
import http.client
import random
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TOO_MANY = 429
STATUSES = (401, TOO_MANY, 502, 503, 504)
FAULTS = ("lost", "answer lost", "cut", "late", "hangs", "page", *STATUSES)
"""Request lost, answer lost, answer cut in the middle, late, later than anybody waits, a page of HTML, a refusal."""


class Gateway:
    """How often it goes wrong, and what it did so far."""

    def __init__(self, target, seed, rate=0.3, patience_s=0.5):
        self.target, self.rate, self.patience_s = urlsplit(target), rate, patience_s
        self.rng, self.lock, self.address, self.done = random.Random(seed), threading.Lock(), "", []

    def choose(self, request):
        """Fault of this request, or None, and whether the server gets it before it is refused."""
        with self.lock:
            wrong = self.rng.random() < self.rate
            fault, forwarded = self.rng.choice(FAULTS), self.rng.random() < 0.5
            forwarded = forwarded and fault != TOO_MANY  # which limits the rate of what the server gets
            self.done.append((request, fault if wrong else None))
        return (fault if wrong else None), forwarded


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its headers
    gateway: Gateway

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault, forwarded = self.gateway.choose(f"{self.command} {self.path}")
        if fault == "lost":
            return self.hang_up()
        if fault == "hangs":
            time.sleep(1.5 * self.gateway.patience_s)
        if fault == "late":
            time.sleep(0.3 * self.gateway.patience_s)
        if fault in (*STATUSES, "page") and not forwarded:
            return self.refuse(fault)
        status, headers, answer = self.forward(body)
        if fault == "answer lost":
            return self.hang_up()
        if fault in (*STATUSES, "page"):
            return self.refuse(fault)
        return self.reply(status, headers.get("Content-Type", ""), answer, cut=fault == "cut")

    def forward(self, body):
        connection = http.client.HTTPConnection(self.gateway.target.hostname, self.gateway.target.port, timeout=60)
        with contextlib.closing(connection):
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def refuse(self, fault):
        """As some gateways do, with all that was sent in the page."""
        page = f"<html>{self.headers}</html>".encode()
        self.reply(200 if fault == "page" else fault, "text/html", page)

    def reply(self, status, kind, content, *, cut=False):
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.hang_up()

    def hang_up(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_DELETE = handle_request  # noqa: N815

    def log_message(self, *arguments):
        pass


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), OSError):  # a client that hung up is no fault
            super().handle_error(request, client_address)


@contextlib.contextmanager
def faulty(target, seed, **how):
    """A ``Gateway`` in front of ``target``."""
    gateway = Gateway(target, seed, **how)
    server = Listener(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"gateway": gateway}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    gateway.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
