"""A way to a server that can be shut: then connections are refused, and those that were open are cut."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class Gate:
    """Forwards TCP from a port of its own to ``endpoint``, an http address, while it is open."""

    def __init__(self, endpoint):
        url = urlsplit(endpoint)
        self.target = url.hostname, url.port
        self.port = 0
        self.lock, self.sockets = threading.Lock(), set()
        self.open()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def shut(self):
        # close alone would leave a thread in accept, and the port with it
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for end in self.sockets:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection(self.target)
                except OSError:
                    client.close()  # else it would be found unclosed, and held against another test
                    raise
                with self.lock:
                    self.sockets |= {client, server}
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self.lock:
            self.sockets.discard(source)
        source.close()
