"""In place of ``python``: has a forked copy of the warm interpreter run the program, and is to its caller that process.

SOCKET PYTHON ARGUMENT...: where nobody listens at SOCKET, or an option is one that a running interpreter cannot take,
PYTHON runs it. Standard input, output and errors are the program's own; signals are handed on; the exit status, or the
signal that ended it, becomes this process's own.
"""

import json
import os
import select
import signal
import socket
import struct
import sys

HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
TAKEN = {"-P", "-u", "-B"}
"""Options of the interpreter that the warm one takes; behind them stands ``-m``, ``-c`` or a script."""


def taken(arguments):
    """Whether a running interpreter can take the program with these options."""
    options = 0
    while options < len(arguments) and arguments[options] in TAKEN:
        options += 1
    program = list(arguments[options : options + 2])
    return len(program) == 2 if program[:1] in (["-m"], ["-c"]) else bool(program) and not program[0].startswith("-")


def connected(address):
    """A connection to the warm interpreter, or None."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
    except OSError:
        return None
    return connection


def main(address, python, *arguments):
    connection = connected(address) if taken(arguments) else None
    if connection is None:
        os.execv(python, [python, *arguments])
    umask = os.umask(0)
    request = {
        "arguments": arguments,
        "cwd": os.getcwd(),
        "environment": dict(os.environ),
        "umask": umask,
        "leads_group": os.getpgrp() == os.getpid(),
    }
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    text = json.dumps(request).encode()
    socket.send_fds(connection, [struct.pack("!I", len(text))], [0, 1, 2])
    connection.sendall(text)
    pid = number(connection)
    for name in HANDED_ON:
        signal.signal(name, lambda got, _frame: os.kill(pid, got))
    # a signal that comes just before a blocking call would be handed on only when that returns
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
    while connection not in select.select([connection, woken], [], [])[0]:
        os.read(woken, 64)
    status = number(connection)
    if os.WIFSIGNALED(status):
        ending = os.WTERMSIG(status)
        if ending != signal.SIGKILL:
            signal.signal(ending, signal.SIG_DFL)
        os.kill(os.getpid(), ending)
        signal.pause()
    os._exit(os.waitstatus_to_exitcode(status))


def number(connection):
    """The next number from the warm interpreter, which goes away only with the tests."""
    got = b""
    while len(got) < 4:
        more = connection.recv(4 - len(got))
        if not more:
            sys.exit("the warm interpreter is gone")
        got += more
    return struct.unpack("!I", got)[0]


main(*sys.argv[1:])
