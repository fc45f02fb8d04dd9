"""The exit step: the run's true status, its branches closed, and a report whatever happened before."""

import pytest
from sample_run import evaluation, measured

from mammogan import report, tracking
from mammogan.config import PRESETS, Branch
from mammogan.selection import select

CONFIG = PRESETS["demo"]
BRANCHES = [Branch(0.5, 0), Branch(3.0, 0)]


@pytest.fixture(autouse=True)
def mlflow(database, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "spool"))
    tracking.ensure_experiment(tmp_path.name, str(tmp_path / "artifacts"))
    return tracking.client()


@pytest.fixture
def parent(tmp_path):
    """A run whose first branch was evaluated and whose second was left running."""
    parent = tracking.open_parent(tmp_path.name, "key", CONFIG, {})
    records = [measured(1, "kid", 0.2), measured(1, "fid", 90.0), measured(1, "lpips_fake_fake", 0.3)]
    item = {**evaluation(BRANCHES[0], []), "records": records}
    for step, result in (("train", {"status": "finished", "train_s": 7200.0, "device": "cuda:0"}), ("evaluate", item)):
        with tracking.branch_log(parent, BRANCHES[0], CONFIG, step=step) as log:
            log.finish(result)
    tracking.open_branch(parent, BRANCHES[1], CONFIG)
    tracking.log_decision(parent, select([item], CONFIG.select))
    return parent


def test_success_is_finished_and_the_report_is_an_artifact(mlflow, parent, tmp_path):
    report.close_with_report(tmp_path.name, "key", True, "", tmp_path / "page.html")
    assert mlflow.get_run(parent).info.status == "FINISHED"
    assert "2 h 00 min" in (tmp_path / "page.html").read_text()
    assert "7200 GPU seconds" in (tmp_path / "page.html").read_text()
    names = {item.path for item in mlflow.list_artifacts(parent, "report")}
    assert {"report/report.html", "report/metrics.png"} <= names
    states = {item.branch: (item.status, item.reason) for item in tracking.read_run(parent).branches}
    assert states[BRANCHES[0]][0] == "FINISHED"
    assert states[BRANCHES[1]] == ("KILLED", "the run ended before this branch did")


def test_a_failed_step_fails_the_run_with_its_message(mlflow, parent, tmp_path):
    report.close_with_report(tmp_path.name, "key", False, "register: disk full", tmp_path / "page.html")
    run = mlflow.get_run(parent)
    assert run.info.status == "FAILED"
    assert run.data.tags["mammogan.reason"] == "register: disk full"
    assert "The run failed: register: disk full" in (tmp_path / "page.html").read_text()


def test_no_accepted_decision_fails_the_run_with_the_reasons(mlflow, tmp_path):
    parent = tracking.open_parent(tmp_path.name, "none", CONFIG, {})
    lost = {**evaluation(BRANCHES[0], []), "status": "diverged", "reason": "epoch 2: nan"}
    tracking.log_decision(parent, select([lost], CONFIG.select))
    report.close_with_report(tmp_path.name, "none", True, "", tmp_path / "page.html")
    run = mlflow.get_run(parent)
    assert run.info.status == "FAILED"
    assert "epoch 2: nan" in run.data.tags["mammogan.reason"]


def test_a_run_that_never_opened_still_gets_a_page(tmp_path):
    report.close_with_report(tmp_path.name, "unknown", False, "no such server", tmp_path / "page.html")
    assert "no such server" in (tmp_path / "page.html").read_text()


def test_costs_follow_the_hour_price(parent, tmp_path):
    record = tracking.read_run(parent)
    priced = {**record.config, "hour_price": 2.5}
    object.__setattr__(record, "config", priced)
    page = report.build(record, tmp_path / "report").read_text()
    assert "<td>5.00</td>" in page
