"""An interpreter that has imported the large packages, and forks for every program that a test starts.

Most of a command of a second is importing PyTorch and MLflow: several seconds of CPU each time. ``started`` gives an
executable to use like ``sys.executable``; what it runs is a process of its own, with its own environment, working
folder, standard streams, signals and exit status, into which nothing of Mammogan has been imported. What such a process
must not have is left to ``sys.executable``: tests of what is imported, and of how the interpreter itself starts.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "MAMMOGAN_TESTS_WARM_PYTHON"
"""Where the executable is, for the workers of a test run."""
PACKAGES = (
    "alembic.command",
    "boto3",
    "fastapi",
    "flask",
    "google.cloud.storage",
    "graphene",
    "jinja2",
    "kubernetes",
    "kfp_server_api",
    "lpips",
    "mlflow.pyfunc",
    "numpy",
    "pandas",
    "PIL.Image",
    "psutil",
    "pydicom",
    "rich",
    "scipy.stats",
    "sklearn.metrics",
    "torch._dynamo",
    "torchvision.models",
    "typer",
    "uvicorn",
)
"""Imported once, at the first request; none reads the environment for good, as kfp and Matplotlib do."""
INTERRUPTED = -signal.SIGINT
"""How a program ends that Ctrl-C interrupted."""


def warm_python():
    """Path to be used like ``sys.executable``."""
    return os.environ[VARIABLE]


@dataclass(frozen=True)
class Request:
    """A program to run, as its caller would have it."""

    arguments: list[str]
    cwd: str
    environment: dict[str, str]
    umask: int
    leads_group: bool
    """Whether the caller started it in a process group of its own, which it may kill as one."""


@contextlib.contextmanager
def started(folder):
    """Path of the executable, until the block ends; it is this interpreter where processes have no descriptors."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # no Linux, or a sandbox of an old one
        yield Path(sys.executable)
        return
    address, log, executable = folder / "socket", folder / "log", folder / "python"
    client = [sys.executable, "-IS", str(Path(__file__).with_name("warm_client.py")), str(address), sys.executable]
    executable.write_text(f'#!/bin/sh\nexec {shlex.join(client)} "$@"\n')
    executable.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener, log.open("wb") as out:
        listener.bind(str(address))
        listener.listen(64)
        command = [sys.executable, "-P", __file__, str(listener.fileno()), str(executable)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW_"))}
        kept["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when MLflow is imported, here before ``mammogan`` sets it
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[listener.fileno()],
            env=kept | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}, start_new_session=True,
        )  # fmt: skip
    try:
        yield executable
    finally:
        server.terminate()
        server.wait()


class Server:
    """Forks at every request, and tells each caller how its process ended."""

    def __init__(self, listener):
        self.selector = selectors.DefaultSelector()
        self.listener = listener
        self.selector.register(listener, selectors.EVENT_READ, self.accept)

    def next_child(self):
        """Serve; returns in a forked child alone, with what that is to run."""
        while True:
            # new programs last: what their caller killed before is then dead
            for key, _ in sorted(self.selector.select(), key=lambda event: event[0].fileobj is self.listener):
                request = key.data()
                if request is not None:
                    return request

    def accept(self):
        connection, _ = self.listener.accept()
        request, streams = received(connection)
        preload()
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            for key in list(self.selector.get_map().values()):
                os.close(key.fd)
            self.selector.close()
            connection.close()
            os.setsid()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return request
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(OSError):
            connection.sendall(struct.pack("!I", pid))
        child = Child(pid, os.pidfd_open(pid), connection, request.leads_group)
        self.selector.register(child.handle, selectors.EVENT_READ, lambda: self.ended(child))
        self.selector.register(connection, selectors.EVENT_READ, lambda: self.left(child))
        return None

    def ended(self, child):
        """The program has ended: its caller learns how."""
        _, status = os.waitpid(child.pid, 0)
        self.selector.unregister(child.handle)
        os.close(child.handle)
        with contextlib.suppress(KeyError):
            self.selector.unregister(child.connection)
        with contextlib.suppress(OSError), child.connection:
            child.connection.sendall(struct.pack("!I", status))

    def left(self, child):
        """The caller was killed, and as it is this process to everybody, so is the program."""
        self.selector.unregister(child.connection)
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if child.leads_group else os.kill)(child.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Child:
    """A forked program."""

    pid: int
    handle: int
    """Descriptor that is readable once the process has ended."""
    connection: socket.socket
    leads_group: bool


def received(connection):
    """A request and the caller's three standard streams."""
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as file:
        return Request(**json.loads(file.read(struct.unpack("!I", head)[0]))), streams


def preload():
    """Import the large packages, once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in PACKAGES:
            if name not in sys.modules:
                with contextlib.suppress(ImportError):  # whoever needs it will say so
                    importlib.import_module(name)


def become(request, executable):
    """Be the process that ``python ARGUMENT...`` would have been; runs the program."""
    os.chdir(request.cwd)
    os.umask(request.umask)
    os.environ.clear()
    os.environ.update(request.environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.modules["numpy"].random.seed()
    sys.executable, sys.orig_argv = executable, [executable, *request.arguments]
    options, program = options_and_program(request.arguments)
    sys.dont_write_bytecode = "-B" in options or bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    unbuffered = "-u" in options or bool(os.environ.get("PYTHONUNBUFFERED"))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty(), write_through=unbuffered)
    entries = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:0] = entries if "-P" in options else [beside(program), *entries]
    importlib.invalidate_caches()
    end(status_of(program))


def options_and_program(arguments):
    """The interpreter's options, and the rest."""
    first = next(index for index, argument in enumerate(arguments) if argument in ("-m", "-c") or argument[0] != "-")
    return arguments[:first], arguments[first:]


def beside(program):
    """What the interpreter puts first on the path."""
    if program[0] == "-m":
        return os.getcwd()
    return "" if program[0] == "-c" else os.path.dirname(os.path.realpath(program[0]))


def status_of(program):
    """Run it to its end; its exit status."""
    try:
        run(program)
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return (ending.code or 0) & 0xFF
        print(ending.code, file=sys.stderr)
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def end(status):
    """What the interpreter does last, without tearing down what all processes share: that would copy all of it."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    if status == INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)


def run(program):
    """As ``__main__``."""
    if program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    elif program[0] == "-c":
        sys.argv = ["-c", *program[2:]]
        main = type(sys)("__main__")
        sys.modules["__main__"] = main
        exec(program[1], main.__dict__)
    else:
        sys.argv = program
        code = compile(Path(program[0]).read_bytes(), program[0], "exec")
        main = type(sys)("__main__")
        main.__file__ = program[0]
        sys.modules["__main__"] = main
        exec(code, main.__dict__)


if __name__ == "__main__":
    become(Server(socket.socket(fileno=int(sys.argv[1]))).next_child(), sys.argv[2])
