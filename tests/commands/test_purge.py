"""``purge`` lists what runs left of patients, and removes it when told so, and nothing else."""

import contextlib
import errno
import os
import shutil
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from mammogan import config, tracking
from mammogan.command_line import app
from mammogan.launch import local
from mammogan.tracking import purge
from mammogan.tracking.server import KIND

KEPT = ("config.json", "decision.json")


def invoke(*arguments, status=0):
    result = CliRunner().invoke(app, ["purge", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def runs(empty_database, tmp_path, monkeypatch):
    """A folder of runs as two of them leave it, the second in MLflow's trash."""
    out = tmp_path / "runs"
    uri = f"sqlite:///{out / 'mlflow.db'}"
    for name in (
        "data/9e06/Jane.png", "data/patients/key", "store/trials/a/x.pt", "run-1/steps/ingest/dataset/manifest.csv",
        "run-1/report/report.html", "run-1/log.txt", "spool/x", ".set.abcdefgh/new/images/1.png",
    ):  # fmt: skip
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("a patient")
    shutil.copyfile(empty_database, out / "mlflow.db")
    tracking.ensure_experiment("mammogan", (out / "artifacts").as_uri(), uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for key in ("one", "two"):
        run_id = tracking.open_parent("mammogan", key, config.PRESETS["demo"], {})
        for name in ("manifest.csv", *KEPT):
            (tmp_path / name).write_text("a patient")
            tracking.client().log_artifact(run_id, str(tmp_path / name))
        tracking.client().log_artifact(run_id, str(tmp_path / "manifest.csv"), "findings/audit")
        tracking.client().log_artifact(run_id, str(tmp_path / "manifest.csv"), "report")
        tracking.client().log_artifact(run_id, str(tmp_path / "manifest.csv"), "tracebacks")
    tracking.client().delete_run(run_id)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    return out


def test_it_lists_first_and_removes_by_yes_what_tells_of_patients(runs, caplog):
    before = files(runs)
    invoke("--out", runs)
    assert files(runs) - {".lock", ".steps"} == before - {".lock", ".steps"}
    assert "would remove" in caplog.text
    assert "nothing was removed; --yes removes it for good" in caplog.text
    assert caplog.text.count("manifest.csv of run") == 2
    invoke("--out", runs, "--yes")
    left = files(runs) - {".lock", ".steps"}
    assert {name for name in left if not name.startswith(("artifacts/", "mlflow.db"))} == {"run-1/log.txt"}
    assert {name.rpartition("/")[2] for name in left if name.startswith("artifacts/")} == {*KEPT, "environment.txt"}
    assert "mlflow gc" in caplog.text
    caplog.clear()
    invoke("--out", runs, "--dry-run")
    assert "nothing is left of patients' data there" in caplog.text


def test_one_run_alone(runs):
    uri = f"sqlite:///{runs / 'mlflow.db'}"
    one = purge.held("mammogan", (), uri).items[0].run_id
    invoke("--mlflow", uri, "--run", one, "--yes")
    assert one not in {item.run_id for item in purge.held("", (), uri).items}
    assert len(purge.held("", (), uri).items) == 4
    assert (runs / "data/patients/key").exists()


def test_a_copy_is_purged_and_not_what_it_was_copied_from(runs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(runs, copy)
    before = files(runs)
    invoke("--out", copy, "--yes")
    assert files(runs) == before
    assert not [name for name in files(copy) if name.endswith("manifest.csv")]


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_what_is_only_listed_changes_nothing_even_after_a_move(runs, tmp_path, caplog, arguments):
    moved = runs.rename(tmp_path / "moved")
    before = {name: (moved / name).read_bytes() for name in files(moved)}
    invoke("--out", moved, *arguments)
    assert caplog.text.count("would remove manifest.csv of run") == 2
    assert {name: (moved / name).read_bytes() for name in before} == before
    assert files(moved) - set(before) == {".steps"}


def test_artifacts_that_were_moved_away_are_not_called_none(runs, tmp_path, caplog):
    moved = runs.rename(tmp_path / "moved")
    uri = f"sqlite:///{moved / 'mlflow.db'}"
    told = invoke("--mlflow", uri, "--yes", status=1)
    assert f"artifacts of 2 runs are gone from {runs / 'artifacts'}" in told
    assert "nothing is left" not in caplog.text
    invoke("--out", moved, "--yes")
    assert not [name for name in files(moved) if name.endswith("manifest.csv")]


def test_a_run_that_never_stored_anything_keeps_nobody_waiting(runs, caplog):
    uri = f"sqlite:///{runs / 'mlflow.db'}"
    mlflow = tracking.client(uri)
    mlflow.create_run(mlflow.get_experiment_by_name("mammogan").experiment_id, tags={KIND: "pipeline"})
    invoke("--out", runs, "--yes")
    caplog.clear()
    invoke("--out", runs)
    assert "nothing is left of patients' data there" in caplog.text


def test_what_another_purge_removes_meanwhile_is_no_error(runs, monkeypatch):
    """As of a store that two purge at once: whatever this one removes, the other has just removed."""
    uri = f"sqlite:///{runs / 'mlflow.db'}"
    with monkeypatch.context() as patch:
        for name in ("unlink", "rmdir"):
            real = getattr(os, name)

            def late(path, *given, real=real, **named):
                real(path, *given, **named)
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

            patch.setattr(os, name, late)
        invoke("--store", runs / "store", "--mlflow", uri, "--yes")
    assert not files(runs / "store")
    assert purge.held("", (), uri).items == ()


def test_artifacts_that_are_gone_since_they_were_listed_are_no_error(runs):
    items = purge.held("", (), f"sqlite:///{runs / 'mlflow.db'}").items
    for _ in range(2):
        purge.remove(items)


def test_what_may_not_be_removed_is_an_error(runs, monkeypatch):
    monkeypatch.setattr(os, "unlink", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied", "x.pt")))
    assert "Permission denied" in invoke("--store", runs / "store", "--yes", status=1)
    assert (runs / "store/trials/a/x.pt").exists()


def test_nothing_is_removed_while_a_run_is_at_work(runs):
    with local.exclusive(runs.resolve()):
        invoke("--out", runs, "--yes", status=1)
    assert (runs / "data/patients/key").exists()


@pytest.mark.parametrize("arguments", [(), ("--out", "/nowhere"), ("--out", ".", "--yes", "--dry-run")])
def test_what_cannot_be_meant_is_refused(arguments, tmp_path):
    with contextlib.chdir(tmp_path):
        invoke(*arguments, status=2)


def test_a_folder_that_no_run_wrote_keeps_its_data(tmp_path, caplog):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").touch()
    invoke("--out", tmp_path, "--yes", status=2)
    assert "give a folder of runs" in caplog.text
    assert files(tmp_path) == {"data/thesis.txt"}
