"""A folder of runs that was moved or copied: found again where it is, or named; never a report of nothing."""

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from sample_run import rare_class, snapshot_evaluation, training, write_result
from snapshots import write_snapshot
from typer.testing import CliRunner
from warm_interpreter import warm_python

from mammogan import registry, results, tracking
from mammogan.command_line import app
from mammogan.config import PRESETS, Trial
from mammogan.data import summary
from mammogan.results import Network
from mammogan.selection.ranking import select
from mammogan.steps import finish
from mammogan.tracking import relocation

CONFIG = PRESETS["demo"]
TRIAL = Trial(3.0, 0)
FROZEN = Network("random DenseNet121", "0" * 64)


@pytest.fixture(scope="module")
def finished_run(empty_database, little_code, tmp_path_factory):
    """A folder of runs with one finished run and its model, and the run's id."""
    root = tmp_path_factory.mktemp("moves")
    out, work = root / "R1", root / "work"
    for folder in (out, work):
        folder.mkdir()
    shutil.copyfile(empty_database, out / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{out / 'mlflow.db'}")
        patch.setenv("MAMMOGAN_SPOOL", str(root / "spool"))
        tracking.ensure_experiment("mammogan", (out / "artifacts").as_uri())
        parent = tracking.open_parent("mammogan", "key", CONFIG, {})
        (work / "manifest.csv").write_text(
            "image_id,source,source_uid,source_sha256,patient_id,split\na,a,1,aa,P,train\n"
        )
        summary.write(rare_class("d1g357"), str(work))
        tracking.log_dataset(parent, work, rare_class("d1g357"))
        evaluated = snapshot_evaluation(TRIAL, 1, 0.2)
        for step, result in (("train", training(TRIAL, frozen=FROZEN)), ("evaluate", evaluated)):
            with tracking.trial_log(parent, TRIAL, CONFIG, step=step) as log:
                log.finish(result)
        decision = select([evaluated], CONFIG.select)
        tracking.log_decision(parent, decision)
        results.write(decision, work / "decision.json")
        snapshot = write_snapshot(work / "winner", 56, 32)
        registry.register(snapshot, work / "decision.json", write_result(work, snapshot), parent, CONFIG)
        tracking.close(parent, "FINISHED")
    return out, parent


@pytest.fixture
def moved(finished_run, tmp_path):
    """The same folder where another one was."""
    out, parent = finished_run
    shutil.copytree(out, tmp_path / "R 100%?")
    gone = tmp_path / "gone"
    with sqlite3.connect(tmp_path / "R 100%?" / "mlflow.db") as connection:
        for table, columns in relocation.ADDRESSES.items():
            for column in columns:
                connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(out), str(gone)))
    connection.close()
    return tmp_path / "R 100%?", parent, gone


def address(out):
    return tracking.address_of(out / "mlflow.db")


def commands(out, parent):
    given = ["--tracking-uri", address(out)]
    yield ["report", parent, "--out", str(out.parent / "report"), *given]
    yield ["lineage", "models:/mammogan/1", *given]
    yield ["compare", parent, *given]
    yield ["lineage", "source:aa", *given]
    yield ["generate", "--model", "models:/mammogan/1", "--count", "1", "--out", str(out.parent / "g"), *given]
    yield ["export", "--model", "models:/mammogan/1", "--out", str(out.parent / "e"), *given]


def test_what_lost_its_artifacts_is_an_error_that_names_them(moved):
    out, parent, gone = moved
    for command in commands(out, parent):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1, command
        (line,) = done.stderr.splitlines()
        assert "gone from" in line, command
        assert str(gone / "artifacts") in line, command
        assert "mammogan relocate" in line, command
    assert {path.name for path in out.parent.iterdir()} == {out.name}


@pytest.mark.parametrize("name", ["decision.json", "trial.json", "evaluation.json", "summary.json", "config.json"])
def test_a_document_that_somebody_wrote_over_is_no_page_s_content(moved, name):
    out, parent, _ = moved
    assert CliRunner().invoke(app, ["relocate", "--out", str(out)]).exit_code == 0
    (document,) = out.glob(f"artifacts/*/artifacts/{name}")
    document.write_bytes(document.read_bytes().replace(b"0.2", b"0.1") + b" ")
    done = CliRunner().invoke(app, next(commands(out, parent)))
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert f"{name} is not the one that the run recorded" in line


def test_relocate_makes_all_of_them_work_and_leaves_nothing_behind(moved):
    out, parent, gone = moved
    done = CliRunner().invoke(app, ["relocate", "--out", str(out)])
    assert done.exit_code == 0, done.output
    for command in list(commands(out, parent))[:5]:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.stderr
    assert tracking.read_run(parent, address(out)).decision.winner.trial == TRIAL
    assert not gone.exists()
    with sqlite3.connect(out / "mlflow.db") as connection:
        left = "\n".join(connection.iterdump())
    connection.close()
    assert str(gone) not in left
    assert relocation.follow(out / "mlflow.db", out / "artifacts") == []


def test_a_copy_goes_on_in_itself(finished_run, tmp_path):
    out, parent = finished_run
    copy = Path(shutil.copytree(out, tmp_path / "R2"))
    (done,) = relocation.follow(copy / "mlflow.db", copy / "artifacts", "mammogan")
    assert (done.before, done.after) == (out / "artifacts", copy / "artifacts")
    code = (
        "import sys; from mammogan import tracking; tracking.client(sys.argv[1]).log_text(sys.argv[2], 'x', 'new.txt')"
    )
    subprocess.run([warm_python(), "-c", code, address(copy), parent], check=True)  # MLflow remembers a run's place
    assert (copy / "artifacts" / parent / "artifacts" / "new.txt").is_file()
    assert not (out / "artifacts" / parent / "artifacts" / "new.txt").exists()
    assert relocation.follow(out / "mlflow.db", out / "artifacts", "mammogan") == []


def test_artifacts_that_are_nowhere_are_reported_before_anything_starts(moved):
    out, _, gone = moved
    shutil.rmtree(out / "artifacts")
    with pytest.raises(ValueError, match="its artifacts are neither in") as caught:
        relocation.follow(out / "mlflow.db", out / "artifacts", "mammogan")
    assert str(gone) in str(caught.value)
    assert relocation.follow(out / "mlflow.db", out / "artifacts", "another") == []


def test_artifacts_that_are_kept_elsewhere_are_reported_before_anything_starts(finished_run, tmp_path):
    out, _ = finished_run
    shutil.copyfile(out / "mlflow.db", tmp_path / "mlflow.db")
    with pytest.raises(ValueError, match=r"it keeps its artifacts in .*R1/artifacts, outside"):
        relocation.follow(tmp_path / "mlflow.db", tmp_path / "artifacts", "mammogan")


@pytest.mark.parametrize("name", ["config.json", "summary.json", "decision.json"])
def test_one_file_that_the_run_s_tags_tell_of_is_missed(finished_run, tmp_path, name):
    out, parent = finished_run
    copy = Path(shutil.copytree(out, tmp_path / "R2"))
    relocation.follow(copy / "mlflow.db", copy / "artifacts")
    (copy / "artifacts" / parent / "artifacts" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is gone from"):
        finish.rebuild(parent, tmp_path / "report", address(copy))


@pytest.mark.parametrize("name", ["trial.json", "evaluation.json"])
def test_one_file_of_a_trial_is_missed(finished_run, tmp_path, name):
    out, parent = finished_run
    copy = Path(shutil.copytree(out, tmp_path / "R2"))
    relocation.follow(copy / "mlflow.db", copy / "artifacts")
    next((copy / "artifacts").glob(f"*/artifacts/{name}")).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is gone from"):
        tracking.read_run(parent, address(copy))


def test_a_folder_that_holds_no_runs_is_refused(tmp_path):
    done = CliRunner().invoke(app, ["relocate", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "there is no mlflow.db in it" in done.stderr
    assert list(tmp_path.iterdir()) == []
