"""The exit step: the run's true status, its trials closed, and a report whatever happened before."""

import dataclasses

import pytest
from sample_run import evaluation, snapshot_evaluation, training

from mammogan import cluster, tracking
from mammogan.cluster import Presence
from mammogan.config import PRESETS, override
from mammogan.document import Document
from mammogan.graph import AFTER_A_WINNER, Step
from mammogan.ledger import Fate, Task
from mammogan.reporting import report
from mammogan.selection.ranking import select
from mammogan.steps import finish
from mammogan.tracking import janitor, ledger
from mammogan.tracking.ledger import begun
from mammogan.tracking.server import CLUSTER, GIVEN_UP, STOP_ASKED, WORKFLOW

CONFIG = PRESETS["demo"]
TRIALS = CONFIG.trials


@pytest.fixture(autouse=True)
def mlflow(database, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "spool"))
    tracking.ensure_experiment(tmp_path.name, str(tmp_path / "artifacts"))
    return tracking.client()


@pytest.fixture(autouse=True)
def _no_charts(request, monkeypatch):
    """A chart takes a second to draw, and one test alone looks for it."""
    if request.node.originalname != "test_success_is_finished_and_the_report_is_an_artifact":
        monkeypatch.setattr("mammogan.reporting.figures.metrics_figure", lambda *_: None)


@pytest.fixture
def parent(tmp_path):
    """A run whose first trial was evaluated and whose second was left running."""
    parent = tracking.begin(tmp_path.name, tmp_path.name, CONFIG, {})
    record(parent, Step.INGEST)
    record(parent, Step.FILTER_MINORITY, goes_on=True)
    trained, evaluated = training(TRIALS[0], train_s=7200.0, device="cuda:0"), snapshot_evaluation(TRIALS[0], 1, 0.2)
    for step, result in ((Step.TRAIN, trained), (Step.EVALUATE, evaluated)):
        with tracking.trial_log(parent, TRIALS[0], CONFIG, step=step) as log:
            log.finish(result)
    tracking.open_trial(parent, TRIALS[1], CONFIG)
    tracking.log_decision(parent, select([evaluated], CONFIG.select))
    return parent


def record(parent, *steps, goes_on=None):
    for step in steps:
        with tracking.step(parent, step) as progress:
            progress.goes_on = goes_on


def train(parent, *trials):
    for trial in trials:
        for step, result in ((Step.TRAIN, training(trial)), (Step.EVALUATE, evaluation(trial, []))):
            with tracking.trial_log(parent, trial, CONFIG, step=step) as log:
                log.finish(result)


def close(tmp_path):
    finish.run(tmp_path.name, "", tmp_path / "page.html")
    return (tmp_path / "page.html").read_text()


def test_success_is_finished_and_the_report_is_an_artifact(mlflow, parent, tmp_path):
    train(parent, *TRIALS[1:])
    record(parent, Step.SELECT, goes_on=True)
    record(parent, *AFTER_A_WINNER)
    page = close(tmp_path)
    assert mlflow.get_run(parent).info.status == "FINISHED"
    assert mlflow.get_run(parent).data.tags["mammogan.reason"] == ""
    assert "2 h 00 min" in page
    assert "7200 GPU seconds" in page
    names = {item.path for item in mlflow.list_artifacts(parent, "report")}
    assert {"report/report.html", "report/metrics.png"} <= names
    assert {item.status for item in tracking.read_run(parent).trials} == {"FINISHED"}


def test_no_winner_is_a_verdict_and_the_run_is_finished(mlflow, parent, tmp_path):
    train(parent, *TRIALS[1:])
    record(parent, Step.SELECT, goes_on=False)
    close(tmp_path)
    assert mlflow.get_run(parent).info.status == "FINISHED"


def test_nothing_to_train_is_finished(mlflow, tmp_path):
    parent = tracking.begin(tmp_path.name, tmp_path.name, CONFIG, {})
    record(parent, Step.INGEST)
    record(parent, Step.FILTER_MINORITY, goes_on=False)
    close(tmp_path)
    assert mlflow.get_run(parent).info.status == "FINISHED"


def test_a_failed_step_fails_the_run_with_its_message(mlflow, parent, tmp_path):
    train(parent, *TRIALS[1:])
    record(parent, Step.SELECT, goes_on=True)
    with pytest.raises(OSError, match="disk full"), tracking.step(parent, Step.REGISTER):
        raise OSError("disk full")
    page = close(tmp_path)
    run = mlflow.get_run(parent)
    assert run.info.status == "FAILED"
    assert run.data.tags["mammogan.reason"] == "register: disk full"
    assert "The run failed: register: disk full" in page


def test_a_trial_that_was_lost_is_failed_and_its_siblings_keep_what_they_have(mlflow, parent, tmp_path):
    train(parent, TRIALS[2])
    ledger.write(parent, begun(Task(Step.TRAIN, TRIALS[1].name)))
    close(tmp_path)
    run = mlflow.get_run(parent)
    assert run.info.status == "FAILED"
    assert run.data.tags["mammogan.reason"] == "train of lambda=3,seed=0: its process ended without a word"
    states = {item.trial: (item.status, item.reason) for item in tracking.read_run(parent).trials}
    assert states[TRIALS[0]][0] == "FINISHED"
    assert states[TRIALS[1]] == ("FAILED", "its process ended without a word")
    assert states[TRIALS[2]][0] == "FINISHED"


def test_a_run_that_someone_asked_to_stop_is_killed_between_two_steps(mlflow, parent, tmp_path):
    tracking.set_tags(parent, {STOP_ASKED: "anna"})
    page = close(tmp_path)
    run = mlflow.get_run(parent)
    assert run.info.status == "KILLED"
    assert (
        run.data.tags["mammogan.reason"]
        == "terminated after evaluate of lambda=0.5,seed=0, before train of lambda=3,seed=0"
    )
    assert "The run was stopped: terminated after" in page
    (left,) = [item for item in tracking.read_run(parent).trials if item.trial == TRIALS[1]]
    assert left.status == "KILLED"


def test_a_report_that_cannot_be_built_leaves_the_run_with_its_true_status(mlflow, parent, tmp_path, monkeypatch):
    train(parent, *TRIALS[1:])
    record(parent, Step.SELECT, goes_on=False)
    monkeypatch.setattr(finish, "rebuild", lambda *_: (_ for _ in ()).throw(RuntimeError("no fonts")))
    with pytest.raises(RuntimeError, match="no fonts"):
        close(tmp_path)
    assert mlflow.get_run(parent).info.status == "FINISHED"
    assert tracking.read_ledger(parent).entries[Task(Step.FINISH)].reason == "no fonts"


def test_a_run_that_never_opened_still_gets_a_page_and_fails(tmp_path):
    with pytest.raises(RuntimeError, match="has no parent run in MLflow"):
        finish.run("unknown", "", tmp_path / "page.html")
    assert "has no parent run in MLflow" in (tmp_path / "page.html").read_text()


def test_the_page_of_a_run_that_never_opened_holds_text_and_no_sign_in(tmp_path, monkeypatch):
    def refuse(_):
        raise RuntimeError("no run <img src=x onerror=alert(1)> at http://me:geheim@host/x?token=geheim")

    monkeypatch.setattr(tracking, "parent_of", refuse)
    with pytest.raises(RuntimeError):
        finish.run("unknown", "", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "no run &lt;img src=x onerror=alert(1)&gt; at http://***@host/x?***" in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("presence", "status", "reason"),
    [
        (
            Presence.GONE,
            "KILLED",
            "its workflow is no longer there: the run, or the schedule that started it, was deleted; terminated after",
        ),
        (Presence.OVER, "FAILED", "train of lambda=3,seed=0 never began"),
        (Presence.RUNS, "RUNNING", ""),
        (Presence.UNKNOWN, "RUNNING", ""),
    ],
)
def test_the_next_run_closes_what_nobody_closed(mlflow, parent, tmp_path, monkeypatch, presence, status, reason):
    tracking.set_tags(parent, {WORKFLOW: "kubeflow/mammogan-x"})
    monkeypatch.setattr(cluster, "state_of", lambda workflow, at: presence)
    monkeypatch.setattr(cluster, "fate", lambda *_: Fate(terminated=False))
    own = tracking.begin(tmp_path.name, "next", CONFIG, {})
    run = mlflow.get_run(parent)
    assert run.info.status == status
    assert run.data.tags.get("mammogan.reason", "").startswith(reason)
    assert mlflow.get_run(own).info.status == "RUNNING"


def test_costs_follow_the_hour_price(parent, tmp_path):
    record = tracking.read_run(parent)
    priced = dataclasses.replace(record, config=override(record.config, {"hour_price": 2.5}))
    page = report.build(priced, tmp_path / "report").read_text()
    assert "<td>5.00</td>" in page


def test_a_run_that_was_given_up_keeps_its_reason_when_its_exit_step_comes_late(mlflow, parent, tmp_path, monkeypatch):
    """Ending it sets the same deadline in its workflow as somebody who stops it does."""
    why = "nothing of it could run for 60 minutes, so it was ended: no node has a GPU"
    tracking.set_tags(parent, {GIVEN_UP: why})
    tracking.close(parent, "FAILED", why)
    monkeypatch.setattr(cluster, "fate", lambda *_: Fate(terminated=True))
    close(tmp_path)
    run = mlflow.get_run(parent)
    assert run.info.status == "FAILED"
    assert run.data.tags["mammogan.reason"].startswith(why)


def test_a_run_that_goes_on_after_it_was_stopped_is_no_longer_a_stopped_one(mlflow, parent, tmp_path):
    """Kubeflow can retry a run that ended; what ended it the first time says nothing of the second."""
    tracking.set_tags(parent, {STOP_ASKED: "anna", GIVEN_UP: "no node"})
    tracking.close(parent, "KILLED", "terminated")
    with pytest.raises(OSError, match="disk full"), tracking.step(parent, Step.SELECT):
        raise OSError("disk full")
    close(tmp_path)
    run = mlflow.get_run(parent)
    assert (run.info.status, run.data.tags["mammogan.reason"]) == ("FAILED", "select: disk full")


@pytest.mark.parametrize("text", ["\N{PILE OF POO}" * 3000, '"\\' * 3000, "caf\udce9.dcm: no DICOM", "\x00\x1b" * 999])
def test_no_reason_breaks_its_own_record(mlflow, parent, tmp_path, text):
    with pytest.raises(OSError, match=r".*"), tracking.step(parent, Step.SELECT):
        raise OSError(text)
    assert tracking.read_ledger(parent).entries[Task(Step.SELECT)].reason
    close(tmp_path)
    assert mlflow.get_run(parent).info.status == "FAILED"


def test_a_record_of_another_version_stops_neither_the_next_run_nor_the_janitor(mlflow, parent, tmp_path, monkeypatch):
    other = tracking.begin(tmp_path.name, "other", CONFIG, {})
    for run_id in (parent, other):
        tracking.set_tags(run_id, {WORKFLOW: "kubeflow/mammogan-x"})
    tracking.set_tags(parent, {"mammogan.step.calibrate": '{"task": ["calibrate", ""], "state": "done"}'})
    monkeypatch.setattr(cluster, "state_of", lambda workflow, at: Presence.GONE)
    monkeypatch.setattr("mammogan.tracking.janitor.close", tracking.close)
    own = tracking.begin(tmp_path.name, "next", CONFIG, {})
    assert mlflow.get_run(own).info.status == "RUNNING"
    assert mlflow.get_run(other).info.status == "KILLED"
    assert mlflow.get_run(parent).info.status == "RUNNING"
    janitor.sweep(tmp_path.name, 3600)
    assert mlflow.get_run(parent).info.status == "KILLED"
    assert mlflow.get_run(parent).data.tags["mammogan.reason"] == "janitor: its workflow is gone"


def test_a_run_of_another_cluster_is_judged_by_its_silence_alone(mlflow, parent, tmp_path, monkeypatch):
    """Two clusters, one MLflow: a workflow that is not here may go on over there."""
    (tmp_path / "account").mkdir()
    for name, content in (("namespace", "kubeflow"), ("ca.crt", "one")):
        (tmp_path / "account" / name).write_text(content)
    monkeypatch.setattr(cluster, "ACCOUNT", tmp_path / "account")
    monkeypatch.setattr(cluster, "_ask", lambda path: Document())
    tracking.set_tags(parent, {WORKFLOW: "kubeflow/mammogan-x", CLUSTER: "another"})
    tracking.begin(tmp_path.name, "next", CONFIG, {})
    assert mlflow.get_run(parent).info.status == "RUNNING"
    assert [item.run_id for item in janitor.dead_runs(tmp_path.name, 3600) if item.run_id == parent] == []
    monkeypatch.setattr(janitor, "_last_sign_ms", lambda run: 0)
    reasons = {item.run_id: item.why for item in janitor.dead_runs(tmp_path.name, 3600)}
    assert reasons[parent].startswith("silent for ")
    tracking.set_tags(parent, {CLUSTER: cluster.identity()})
    assert {item.run_id: item.why for item in janitor.dead_runs(tmp_path.name, 3600)}[parent] == "its workflow is gone"


def test_a_run_of_another_namespace_is_judged_by_its_silence(parent, tmp_path, monkeypatch):
    tracking.set_tags(parent, {WORKFLOW: "team-a/mammogan-x"})
    monkeypatch.setattr(cluster, "_namespace", lambda: "team-b")
    assert janitor.dead_runs(tmp_path.name, 3600) == []
    monkeypatch.setattr(janitor, "_last_sign_ms", lambda run: 0)
    assert parent in {item.run_id for item in janitor.dead_runs(tmp_path.name, 3600)}


def test_the_run_is_found_among_more_experiments_than_a_page_holds(mlflow, parent, tmp_path, monkeypatch):
    real = type(mlflow).search_experiments
    monkeypatch.setattr(
        type(mlflow),
        "search_experiments",
        lambda self, *given, **more: real(self, *given, **{"max_results": 1, **more}),
    )
    tracking.ensure_experiment(f"{tmp_path.name} newer", str(tmp_path / "artifacts"))
    assert tracking.find_parent(tmp_path.name) == parent
