"""Ports for the servers of tests: none that the system hands to a connection, and none that two processes are given."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

LOWEST = 10000
"""Below it listen the services of a machine."""
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")

_held = []


def free_port():
    """A free port, kept from other test processes as long as this one lives."""
    return free_ports(1)[0]


def free_ports(count, offset=0):
    """``count`` free ports, whose number plus ``offset`` is free too; both are kept as in ``free_port``.

    A port that was only seen to be free may be taken by any connection before its server listens, since Linux draws
    the near ends of connections from one range. These lie below that range.
    """
    highest = _first_ephemeral() - 1 - offset
    ports = []
    while len(ports) < count:
        port = random.randint(LOWEST, highest)
        with contextlib.suppress(OSError):
            _hold(sorted({port, port + offset}))
            ports.append(port)
    return ports


def _hold(ports):
    with contextlib.ExitStack() as locks:
        for port in ports:
            file = os.open(_folder() / str(port), os.O_CREAT | os.O_RDWR, 0o600)
            locks.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before it is bound, which would take it from its holder
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        _held.append(locks.pop_all())


def _folder():
    folder = Path(tempfile.gettempdir(), f"mammogan-test-ports-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _first_ephemeral():
    first = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32768
    return first if first > 2 * LOWEST + 1000 else 32768  # a range set that wide leaves nothing below it
