"""MLflow's database: any path, locks waited for, every error one line that names it and the fix."""

import os
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from typer.testing import CliRunner

from mammogan import errors, tracking
from mammogan.command_line import app
from mammogan.tracking import database as databases
from mammogan.tracking import new_database


@pytest.fixture(autouse=True)
def asked_anew():
    databases.require_usable.cache_clear()


@pytest.fixture
def copied(empty_database, tmp_path):
    """A database of the test's own."""
    return shutil.copyfile(empty_database, tmp_path / "mlflow.db")


@pytest.mark.parametrize("name", ["a%41b", "100%", "que?st", "a?b=c&d", "sp ace #1", "%3F?%25", "é;'[{$+@"])
def test_a_database_is_where_its_path_says_and_keeps_artifacts(copied, tmp_path, name):
    out = tmp_path / "below" / name
    out.mkdir(parents=True)
    shutil.move(copied, out / "mlflow.db")
    address = databases.address_of(out / "mlflow.db")
    assert databases.file_of(address) == out / "mlflow.db"
    experiment = tracking.ensure_experiment("x", (out / "artifacts").as_uri(), address)
    client = tracking.client(address)
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "text", "a/b.txt")
    assert [item.path for item in client.list_artifacts(run, "a")] == ["a/b.txt"]
    assert (out / "artifacts" / run / "artifacts" / "a" / "b.txt").read_text() == "text"
    assert [path.name for path in (tmp_path / "below").iterdir()] == [name]


@pytest.fixture
def tables(empty_database, monkeypatch):
    """What makes the tables of a new file, in a moment; the list of what it made them in."""
    made = []

    def initialise(engine):
        made.append(engine.url.database)
        assert not list(Path(engine.url.database).parent.glob(".*")), "MLflow makes tables in a new file alone"
        time.sleep(0.05)
        with sqlite3.connect(empty_database) as source, sqlite3.connect(engine.url.database) as target:
            source.backup(target)

    monkeypatch.setattr("mlflow.store.db.utils._initialize_tables", initialise)
    return made


def test_a_new_database_that_was_stopped_half_way_is_made_anew(tables, tmp_path, monkeypatch):
    """As by Ctrl-C or a kill in the first seconds of a first run."""
    file = tmp_path / "out" / "mlflow.db"

    def half_way(engine):
        with sqlite3.connect(engine.url.database) as connection:
            connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.store.db.utils._initialize_tables", half_way)
        with pytest.raises(KeyboardInterrupt):
            tracking.client(databases.address_of(file), make=True)
    assert not file.exists()
    (left,) = file.parent.iterdir()
    left.with_name(f"{left.name}-journal").write_bytes(b"what SQLite would take back")
    assert tracking.client(databases.address_of(file), make=True).get_experiment("0").name == "Default"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("content", [None, b""])
def test_processes_that_make_a_database_at_once_make_one(tables, tmp_path, content):
    file = tmp_path / "mlflow.db"
    if content is not None:
        file.write_bytes(content)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: new_database.make(file), range(4)))
    assert len(tables) == 1
    assert tracking.client(databases.address_of(file)).get_experiment("0").name == "Default"


def test_mlflow_itself_takes_what_was_made_for_its_own(tmp_path):
    file = tmp_path / "100% que?st" / "mlflow.db"
    client = tracking.client(databases.address_of(file), make=True)
    client.create_registered_model("model")
    assert client.get_run(client.create_run("0").info.run_id).info.status == "RUNNING"


def locked_error(file):
    """What MLflow makes of a lock that outlasts its own patience."""
    engine = sqlalchemy.create_engine(f"sqlite:///{file}", connect_args={"timeout": 0}, poolclass=sqlalchemy.NullPool)
    with pytest.raises(sqlalchemy.exc.OperationalError) as caught, engine.begin() as connection:
        connection.execute(sqlalchemy.text("SELECT * FROM experiments"))
    error = MlflowException(message=caught.value, error_code=TEMPORARILY_UNAVAILABLE)
    error.__cause__ = caught.value
    return error


@pytest.fixture
def locked(copied):
    connection = sqlite3.connect(copied, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    yield connection
    connection.close()


def test_a_lock_is_waited_for_before_mlflow_opens_the_database(copied, locked, monkeypatch):
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", "30")
    threading.Timer(6.0, locked.execute, ["COMMIT"]).start()  # later than SQLite itself waits
    assert tracking.client(databases.address_of(copied)).get_experiment("0").name == "Default"


def test_a_lock_is_waited_for_where_the_database_was_looked_at_before(copied, monkeypatch):
    """As when another program takes it between a run's first line and its first step."""
    uri = databases.address_of(copied)
    databases.require_usable(uri, False)  # as the client asks, which is then not asked again
    connection = sqlite3.connect(copied, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", "60")
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)  # else it waits two and a half minutes by itself
    retry = databases.patience.retry

    def retry_with_its_end(request, *given):
        def attempt():
            try:
                return request()
            except Exception:  # MLflow itself has waited
                if connection.in_transaction:
                    connection.execute("COMMIT")
                raise

        return retry(attempt, *given)

    monkeypatch.setattr(databases.patience, "retry", retry_with_its_end)
    assert tracking.client(uri).get_experiment("0").name == "Default"
    connection.close()


def test_a_lock_is_waited_for_in_every_request(copied, locked, monkeypatch):
    error, answers = locked_error(copied), iter([True, True, False])
    locked.execute("COMMIT")

    def get_run(self, run_id):
        if next(answers):
            raise error
        return run_id

    monkeypatch.setattr(MlflowClient, "get_run", get_run)
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", "30")
    assert tracking.client(databases.address_of(copied)).get_run("a") == "a"


def test_a_lock_that_stays_is_one_line_that_says_how_long_was_waited(copied, locked, monkeypatch):
    error = locked_error(copied)
    locked.execute("COMMIT")
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", "0")
    client = tracking.client(databases.address_of(copied))
    monkeypatch.setattr(MlflowClient, "get_run", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(databases.DatabaseError) as caught:
        client.get_run("a")
    text = (
        f"MLFLOW_TRACKING_URI='sqlite:///{copied}': another process holds it locked; waited 0 s (MAMMOGAN_PATIENCE_S)"
    )
    assert errors.reason(caught.value) == f"{text}, end that process or run again later"
    assert isinstance(caught.value, MlflowException), "who survives an absent server survives this"


def test_what_mlflow_itself_has_words_for_is_left_to_it(copied):
    client = tracking.client(databases.address_of(copied))
    client.create_registered_model("a")
    with pytest.raises(MlflowException) as caught:
        client.create_registered_model("a")
    assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"


def garbage(folder):
    (folder / "mlflow.db").write_bytes(b"garbage" * 1000)
    return f"sqlite:///{folder / 'mlflow.db'}"


def damaged(folder):
    content = bytearray((folder / "whole.db").read_bytes())
    content[100:2000] = b"x" * 1900
    (folder / "mlflow.db").write_bytes(content)
    return f"sqlite:///{folder / 'mlflow.db'}"


def another_program(folder):
    connection = sqlite3.connect(folder / "places.sqlite")
    connection.execute("CREATE TABLE moz_places (id)")
    connection.close()
    return f"sqlite:///{folder / 'places.sqlite'}"


def test_a_database_that_a_caller_names_is_not_taken_for_the_environments(copied, monkeypatch):
    """MLflow writes the address into the environment, from where a second run would take it for the person's choice."""
    address = f"sqlite:///{copied}"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.client(address)
    assert "MLFLOW_TRACKING_URI" not in os.environ
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_URI=''"):
        tracking.client()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    shutil.copyfile(copied, copied.with_name("other.db"))
    tracking.client(f"sqlite:///{copied.with_name('other.db')}")
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://mlflow.example.org"


CASES = {
    "garbage": (garbage, "it is no SQLite database; give another file"),
    "damaged": (damaged, "it is damaged; restore it from a copy"),
    "another program's": (another_program, "it is the database of another program"),
    "missing": (lambda folder: f"sqlite:///{folder / 'typo.db'}", "no such file; give the mlflow.db below"),
    "a folder": (lambda folder: f"sqlite:///{folder}", "it cannot be opened; check that its folder"),
    "no driver": (lambda _: "mssql+pyodbc://u:secret@h/x", "its driver pyodbc is not installed"),
    "no dialect": (lambda _: "postgresql+nothing://u:secret@h/x", "SQLAlchemy knows no such driver"),
    "no port": (lambda _: "postgresql+psycopg2://u:secret@h:port/x", "it cannot be read; write it as"),
    "away": (lambda _: "postgresql+psycopg2://u:secret@127.0.0.1:1/x", "check that the server runs"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_database_that_cannot_be_used_is_one_line_of_any_command(empty_database, tmp_path, monkeypatch, case):
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", "0")
    shutil.copyfile(empty_database, tmp_path / "whole.db")
    make, message = CASES[case]
    address = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for command in (["lineage", "models:/m/1"], ["report", "r", "--out", str(tmp_path / "out")], ["janitor"]):
        databases.require_usable.cache_clear()
        done = CliRunner().invoke(app, [*command, "--tracking-uri", address])
        (line,) = done.stderr.splitlines()
        assert done.exit_code in (1, 2)
        assert line.startswith("error: MLFLOW_TRACKING_URI=")
        assert message in line
        assert "secret" not in line
    assert sorted(tmp_path.rglob("*")) == before
