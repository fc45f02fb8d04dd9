"""Fixtures that every room's tests share."""

import contextlib
import gc
import os
import signal
import sqlite3
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import warm_interpreter
from xdist.scheduler import LoadScopeScheduling

from mammogan import console, log_file

if WORKERS := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # Before PyTorch is imported, here or in a process that a test starts: threads that share too few cores spin.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // int(WORKERS))))

SHARED = Path(__file__).resolve().parents[2] / "shared"


SPREAD = {"test_gradients.py", "test_pipeline.py", "test_promotion.py", "test_retraining.py", "test_trial.py"}
"""Files of many slow tests that share nothing: over all workers. Another file's tests share servers and data sets."""


class FileScheduling(LoadScopeScheduling):
    """A file on one worker, so that what its tests share is made once."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return nodeid if Path(file).name in SPREAD else file


def pytest_configure(config):
    """One warm interpreter for all workers, which imports nothing until it is used; ``mutants.py`` lends its own."""
    if not hasattr(config, "workerinput") and warm_interpreter.VARIABLE not in os.environ:
        stack = contextlib.ExitStack()
        config.add_cleanup(stack.close)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="warm-"))
        os.environ[warm_interpreter.VARIABLE] = str(stack.enter_context(warm_interpreter.started(Path(folder))))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is imported here stays to the end: the garbage collector need not look through it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Groups of xdist's own would do, but version 3.8 writes them where pytest 9.2 reads nothing."""
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items):
    """The slow ones first: the last one would keep one worker busy while the others have nothing left."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def shared():
    """Development data beside the checkout: real mammograms, case CSVs, weights."""
    if not (SHARED / "data" / "README.md").is_file():
        pytest.skip(f"development data is not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A SQLite file with MLflow's tables and nothing in them, to be copied: making the tables takes seconds."""
    from mammogan import tracking

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    tracking.client(f"sqlite:///{path}", make=True).search_experiments()
    return path


@pytest.fixture(scope="session", autouse=True)
def _databases_of_a_day():
    """No SQLite file of these tests has to outlive a power cut: nothing waits until it lies on the disk."""
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def hurry(connection, _):
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")

    yield
    event.remove(Engine, "connect", hurry)


@pytest.fixture(scope="session", autouse=True)
def _artifacts(tmp_path_factory):
    """An experiment that says nothing of its artifacts has them there, not in the folder that the tests run in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(tmp_path_factory.mktemp("mlruns")))
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(20240)


@pytest.fixture(scope="session", autouse=True)
def _log(tmp_path_factory):
    """Commands that a test starts, here or in a process of their own, write no log among the user's files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(log_file.VARIABLE, str(tmp_path_factory.mktemp("log") / "mammogan.log"))
        yield
        log_file.detach(console.PACKAGE)


@pytest.fixture(scope="session", autouse=True)
def _lines():
    """As the command line shows them."""
    console.configure()


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c():
    """A shell that starts the tests in the background ignores SIGINT for them, and for what they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def _sign_in():
    """An address with a sign-in in it leaves that in the environment, where a later file's tests would be signed in."""
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    before = {name: os.environ.get(name) for name in names}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="module", autouse=True)
def _import_path():
    """MLflow puts the code of a model that it loads first; a process that a later test spawns would import that."""
    before = sys.path
    yield
    sys.path = before
