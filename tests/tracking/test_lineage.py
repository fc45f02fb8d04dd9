"""From the champion to the sha256 of each source file and back; runs compared; dead runs ended."""

import dataclasses
import json
import os
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient
from sample_run import paper_run, rare_class, snapshot_evaluation, training, winner_result, write_result
from typer.testing import CliRunner

from mammogan import codec, registry, results, tracking
from mammogan.command_line import app
from mammogan.config import PRESETS, Trial, override
from mammogan.data import patients, summary
from mammogan.data.patients import Patients
from mammogan.models.generator import Generator, save_snapshot
from mammogan.records import Findings
from mammogan.reporting import runs_table, tables
from mammogan.selection.ranking import select
from mammogan.tracking import heartbeat, janitor
from mammogan.tracking.lineage import lineage
from mammogan.tracking.runs import pipeline_run

CONFIG = PRESETS["demo"]
TRIAL = Trial(3.0, 0)
MANIFEST = """image_id,source,source_uid,source_sha256,patient_id,split
a,a.dcm,1.2.3,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,P1,train
b,b.dcm,1.2.4,bbbb,P2,test
"""


@pytest.fixture(scope="module")
def run(database, little_code, tmp_path_factory):
    """A pipeline run with a data set, a trial and a champion; its id."""
    folder = tmp_path_factory.mktemp("lineage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", database)
        patch.setenv("MAMMOGAN_SPOOL", str(folder / "spool"))
        patch.setenv("MAMMOGAN_GIT_COMMIT", "c0ffee")
        patch.setenv("MAMMOGAN_IMAGE", "registry.example.org/mammogan@sha256:1")
        tracking.ensure_experiment("mammogan", str(folder / "artifacts"))
        parent = tracking.open_parent("mammogan", "key", CONFIG, {"kfp.pipeline_run_id": "job"})
        (folder / "manifest.csv").write_text(MANIFEST)
        summary.write(rare_class("d1g357"), str(folder))
        tracking.log_dataset(parent, folder, rare_class("d1g357"))
        evaluated = snapshot_evaluation(TRIAL, 1, 0.2)
        for step, result in (("train", training(TRIAL)), ("evaluate", evaluated)):
            with tracking.trial_log(parent, TRIAL, CONFIG, step=step) as log:
                log.finish(result)
        save_snapshot(Generator(28, 4, 8), 1, folder / "winner")
        results.write(select([evaluated], CONFIG.select), folder / "decision.json")
        measured = write_result(folder, folder / "winner")
        number = registry.register(folder / "winner", folder / "decision.json", measured, parent, CONFIG)
        registry.promote("mammogan", number, "for the test", force=True)
        yield parent


def test_beside_the_key_the_source_files_are_named(run, tmp_path, monkeypatch, caplog):
    monkeypatch.delenv(patients.VARIABLE, raising=False)
    here = Patients.at(str(tmp_path))
    columns = [patients.PSEUDONYM, "image_id", "patient_id", "source", "source_uid"]
    rows = [columns, ["a", "Jane_1", "Jane", "Jane/1.dcm", "1.2.840.7"]]
    (tmp_path / "index-0123.csv").write_text("".join(f"{','.join(row)}\n" for row in rows))
    (item,) = lineage("models:/mammogan@champion").named(patients.read_index(str(tmp_path))).runs
    assert [(row.patient_id, row.source) for row in item.data.sources] == [("Jane", "Jane/1.dcm"), ("P2", "b.dcm")]
    assert CliRunner().invoke(app, ["lineage", "source:1.2.840.7", "--patients", str(tmp_path)]).exit_code == 2
    assert f"target='source:{here.pseudonym('series', '1.2.840.7')}': no run of any experiment knows it" in caplog.text


def test_from_the_champion_to_each_source_file(run):
    runs = lineage("models:/mammogan@champion").runs
    assert len(runs) == 1
    (item,) = runs
    assert (item.run.run_id, item.run.kfp_run) == (run, "job")
    assert item.image == "registry.example.org/mammogan@sha256:1"
    assert item.code.commit == "c0ffee"
    assert item.data.digest == "d1g357"
    assert [(row.source_uid, row.source_sha256) for row in item.data.sources] == [
        ("1.2.3", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), ("1.2.4", "bbbb"),
    ]  # fmt: skip
    (model,) = item.models
    assert (model.name, model.version, model.aliases) == ("mammogan", "1", ("champion",))
    assert (model.trial, model.epoch) == ("lambda=3,seed=0", "1")


def test_every_target_leads_to_the_same_run(run):
    child = tracking.find_trial(run, TRIAL)
    for target in (
        run,
        child,
        "models:/mammogan/1",
        "data:d1g3",
        "source:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "source:1.2.4",
    ):
        assert [item.run.run_id for item in lineage(target).runs] == [run], target


def test_back_from_a_source_file_to_the_models(run):
    (item,) = lineage("source:bbbb").runs
    assert [row.image_id for row in item.data.sources] == ["b"]
    assert [model.aliases for model in item.models] == [("champion",)]


@pytest.mark.parametrize(
    "target", ["nonsense", "models:/mammogan@nobody", "models:/mammogan/7", "data:zzz", "data:", "source:cccc"]
)
def test_an_unknown_target_is_a_value_error(run, target):
    with pytest.raises(ValueError, match=r"target=|run="):
        lineage(target)


@pytest.mark.parametrize("loop", [1, 2])
def test_runs_that_are_their_own_parents_end_the_search(run, loop, monkeypatch):
    """Whoever may write a tag can do that."""
    answers = iter([MlflowClient.get_run] * 6)
    monkeypatch.setattr(MlflowClient, "get_run", lambda self, run_id: next(answers)(self, run_id))
    mlflow = tracking.client()
    experiment = mlflow.get_experiment_by_name("mammogan").experiment_id
    ids = [mlflow.create_run(experiment).info.run_id for _ in range(loop)]
    for one, other in zip(ids, ids[1:] + ids[:1], strict=True):
        mlflow.set_tag(one, "mlflow.parentRunId", other)
    with pytest.raises(ValueError, match="it is no run of this experiment's graph"):
        pipeline_run(ids[0])
    mlflow.set_tag(ids[0], "mlflow.parentRunId", "0" * 32)
    with pytest.raises(ValueError, match=f"run='{ids[0]}': the run above it, {'0' * 32}, is gone"):
        pipeline_run(ids[0])


def test_a_trial_s_id_is_as_good_as_its_pipeline_run_s(run, tmp_path):
    child = tracking.find_trial(run, TRIAL)
    assert tracking.read_run(child) == tracking.read_run(run)
    for index, target in enumerate((run, child)):
        assert CliRunner().invoke(app, ["report", target, "--out", str(tmp_path / str(index))]).exit_code == 0
    pages = [(tmp_path / str(index) / "report.html").read_text() for index in range(2)]
    assert f"{TRIAL.name}" in pages[1]
    assert "No snapshot was evaluated" not in pages[1]
    done = CliRunner().invoke(app, ["compare", child, run, "--json"])
    assert list(json.loads(done.stdout)["lambdas"]) == [run]


@pytest.mark.parametrize("command", [["report"], ["compare"], ["lineage"]])
def test_a_run_of_another_program_or_in_the_trash_is_refused(run, tmp_path, command):
    client = tracking.client()
    experiment = client.get_run(run).info.experiment_id
    foreign = client.create_run(experiment).info.run_id
    nested = client.create_run(experiment, tags={"mlflow.parentRunId": foreign}).info.run_id
    trashed = tracking.open_parent("mammogan", f"trash {command[0]}", CONFIG, {})
    client.delete_run(trashed)
    out = ["--out", str(tmp_path / "out")] if command == ["report"] else []
    for target, message in ((foreign, "no run of this"), (nested, "no run of this"), (trashed, "in MLflow's trash")):
        done = CliRunner().invoke(app, [*command, target, *out])
        assert done.exit_code == 2
        assert message in done.stderr
    assert not (tmp_path / "out").exists()
    for run_id in (foreign, nested):
        client.delete_run(run_id)


def test_the_command_shows_a_tree_and_json(run):
    tree = CliRunner().invoke(app, ["lineage", "models:/mammogan@champion"])
    assert tree.exit_code == 0
    assert "model mammogan version 1 @champion: lambda=3,seed=0, epoch 1" in tree.stdout
    assert "1.2.3 sha256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" in tree.stdout
    as_json = CliRunner().invoke(app, ["lineage", run, "--json"])
    assert json.loads(as_json.stdout) == codec.encode(lineage(run))


def test_compare_puts_a_trial_in_a_row_with_its_best_snapshot(run):
    table = runs_table.compare([paper_run(), paper_run(diverged=5.0)])
    assert len(table) == 6
    best = table.loc[table["trial"] == "lambda=3,seed=0"].iloc[0]
    assert (best["epoch"], best["inception/kid_train"], best["inception/fid_train"]) == (1000, 0.1765, 179.35)
    assert list(table["status"])[-1] == "FAILED"
    by_kid = paper_run()
    by_fid = dataclasses.replace(by_kid, config=override(by_kid.config, {"select.metrics": "fid,kid"}))
    best = runs_table.compare([by_fid]).set_index("trial")["epoch"]
    fid = {gp_lambda: min(rows, key=lambda row: row["fid"]) for gp_lambda, rows in tables.paper_tables().items()}
    assert dict(best) == {f"lambda={gp_lambda:g},seed=0": row["epoch"] for gp_lambda, row in fid.items()}
    assert not [name for name in table if name.startswith("cfg.")]


def test_compare_shows_the_winner_s_figures_on_test_images_beside_what_selected_it():
    record = paper_run()
    result = winner_result(None, record.decision.winner, looks=3)
    table = runs_table.compare([dataclasses.replace(record, findings=Findings(result=result))]).set_index("trial")
    row = table.loc["lambda=3,seed=0"]
    assert (row["inception/kid_train"], row["result/inception/kid_test"], row["test_looks"]) == (0.1765, 0.21, 3)
    assert table["result/inception/kid_test"].count() == 1


def test_compare_command(run, tmp_path):
    done = CliRunner().invoke(app, ["compare", run, "--json", "--plot", str(tmp_path / "plot.png")])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    (row,) = answer["trials"]
    assert answer["lambdas"] == {run: []}  # one trial alone cannot be compared
    assert row["inception/kid_train"] == 0.2
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert CliRunner().invoke(app, ["compare", "nonsense"]).exit_code == 2


def test_janitor_ends_what_a_killed_process_left(run, tmp_path, monkeypatch):
    name = tmp_path.name
    tracking.ensure_experiment(name, str(tmp_path / "artifacts"))
    parents = {key: tracking.open_parent(name, key, CONFIG, {}) for key in ("dead", "alive", "between", "silent")}
    children = {key: tracking.open_trial(parent, TRIAL, CONFIG) for key, parent in parents.items()}
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    machine = heartbeat.sign_on()[heartbeat.PROCESS].rpartition(":")[0]
    tracking.set_tags(children["dead"], {**heartbeat.beat(), heartbeat.PROCESS: f"{machine}:{gone.stdout.strip()}"})
    tracking.set_tags(children["alive"], {**heartbeat.beat(), heartbeat.PROCESS: f"{machine}:{os.getpid()}"})
    tracking.set_tags(children["between"], heartbeat.sign_off())
    long_ago = str(int((time.time() - 9000) * 1000))
    client = tracking.client()
    for run_id in (parents["silent"], children["silent"]):
        tracking.set_tags(run_id, {heartbeat.HEARTBEAT: long_ago, heartbeat.PROCESS: "elsewhere:1"})
    monkeypatch.setattr(janitor, "_last_sign_ms", lambda run: int(run.data.tags[heartbeat.HEARTBEAT]))

    reasons = {item.run_id: item.why for item in janitor.dead_runs(name, 3600)}
    assert set(reasons) == {children["dead"], children["silent"], parents["silent"]}
    assert "is gone" in reasons[children["dead"]]
    assert {client.get_run(run_id).info.status for run_id in reasons} == {"RUNNING"}  # a dry run ends nothing

    client.rename_experiment(client.get_experiment_by_name(name).experiment_id, f"{name} renamed")
    assert {item.run_id for item in janitor.dead_runs("", 3600)} >= set(reasons), "wherever they are"
    with pytest.raises(ValueError, match="there is none of that name"):
        janitor.dead_runs(name, 3600)
    name = f"{name} renamed"
    assert {item.run_id for item in janitor.sweep(name, 3600)} == set(reasons)
    assert {client.get_run(run_id).info.status for run_id in reasons} == {"KILLED"}
    assert client.get_run(children["alive"]).info.status == "RUNNING"
    assert janitor.sweep(name, 3600) == []
