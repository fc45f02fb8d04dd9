"""Two servers of tests never wait for one port, and no connection takes it before they listen."""

import socket
import subprocess
import sys
from pathlib import Path

import ports


def test_no_process_is_given_what_another_one_holds(monkeypatch):
    monkeypatch.setattr(ports, "_first_ephemeral", lambda: ports.LOWEST + 40)
    mine = ports.free_ports(5)
    theirs = subprocess.run(
        [sys.executable, "-c", f"import ports; ports._first_ephemeral = lambda: {ports.LOWEST + 40}\n"
         "print(*ports.free_ports(20))"],
        cwd=Path(ports.__file__).parent, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert len(set(theirs)) == 20
    assert not {*map(str, mine)} & {*theirs}


def test_both_of_a_pair_are_kept_and_lie_below_what_connections_are_given():
    port = ports.free_ports(1, 10000)[0]
    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        assert port >= ports.LOWEST
        assert port + 10000 < connection.getsockname()[1] or not ports.EPHEMERAL.exists()
    for one in (port, port + 10000):
        with (ports._folder() / str(one)).open("w") as file:
            try:
                ports.fcntl.flock(file, ports.fcntl.LOCK_EX | ports.fcntl.LOCK_NB)
            except OSError:
                continue
            raise AssertionError(f"{one} is not held")
