"""A private network for tests: TLS by a CA of its own in front of a server, and an HTTP proxy that asks to sign in."""

import base64
import contextlib
import socket
import ssl
import threading
from urllib.parse import urlsplit

import trustme

PIECE = 1 << 16
LINGER_S = 1.0


class Authority:
    """A CA that nobody knows, and its certificate as a file."""

    def __init__(self, folder):
        self._ca = trustme.CA()
        self.file = str(folder / "ca.crt")
        self._ca.cert_pem.write_to_path(self.file)

    def context(self, *names, **validity):
        """What a server of these names needs."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._ca.issue_cert(*names, **validity).configure_cert(context)
        return context


@contextlib.contextmanager
def listening(serve):
    """Port at which ``serve(connection)`` handles each connection, in a thread of its own.

    Each is closed as a server does that leaves nothing unread: else what was answered may be lost on its way.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=handle, args=(connection,), daemon=True).start()

        def handle(connection):
            with contextlib.suppress(OSError), connection:
                serve(connection)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(LINGER_S)
                while connection.recv(PIECE):
                    pass

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def encrypted(target, context):
    """The ``https://`` address of a server that speaks TLS and hands everything on to the ``http://`` one."""
    parts = urlsplit(target)

    def serve(plain):
        with (
            context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as ours,
            socket.create_connection((parts.hostname, parts.port)) as theirs,
        ):
            ours.do_handshake()
            relay(ours, theirs)

    with listening(serve) as port:
        yield f"https://127.0.0.1:{port}"


class Proxy:
    """What came through the proxy, and how to ask it."""

    def __init__(self, user, password):
        self.sign_in = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.address = ""
        self.asked = []

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(PIECE)
            if not piece:
                return
            head += piece
        lines, _, body = head.partition(b"\r\n\r\n")
        first, *headers = lines.decode("latin-1").split("\r\n")
        method, where, version = first.split()
        if f"proxy-authorization: {self.sign_in}".lower() not in (header.lower() for header in headers):
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\n\r\n")
            return
        parts = urlsplit(f"//{where}" if method == "CONNECT" else where)
        self.asked.append(f"{method} {parts.hostname}:{parts.port}")
        with socket.create_connection((parts.hostname, parts.port)) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = parts._replace(scheme="", netloc="").geturl() or "/"
                kept = [header for header in headers if not header.lower().startswith(("proxy-", "connection:"))]
                request = "\r\n".join((f"{method} {path} {version}", *kept, "Connection: close"))
                server.sendall(request.encode("latin-1") + b"\r\n\r\n" + body)
            relay(client, server)


@contextlib.contextmanager
def proxy(user="me", password="hunter2"):
    """An HTTP proxy for CONNECT and for plain requests, one a connection."""
    server = Proxy(user, password)
    with listening(server.serve) as port:
        server.address = f"http://{user}:{password}@127.0.0.1:{port}"
        yield server


def relay(one, other):
    """Hand on both ways until either end closes."""
    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join(timeout=10)


def copy(source, target):
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
