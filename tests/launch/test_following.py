"""Following a run to its end and stopping it: Kubeflow's recorded answers, and records in a real MLflow."""

import io
import json
import shutil
import stat
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kfp_server_api as api
import pytest
from kubeflow import RECORDED, Kubeflow, recorded, serve

from mammogan import config, shell, tracking
from mammogan.config import Trial
from mammogan.document import Document
from mammogan.graph import Step
from mammogan.launch import following
from mammogan.launch.following import follow, rows, run_pods, show_links, table, termination, waiting, watch
from mammogan.launch.following.links import links
from mammogan.launch.following.termination import stop
from mammogan.launch.following.waiting import Waiting
from mammogan.launch.following.watch import View
from mammogan.launch.server import Forward, RefusedError, Server
from mammogan.ledger import Entry, Fate, Ledger, State, Task
from mammogan.tracking import ledger, saved_view
from mammogan.tracking.server import GIVEN_UP, STOP_ASKED
from mammogan.tracking.standing import Losses, Standing, UnreadableError, find_standing

RUNS = sorted(path.stem for path in (RECORDED / "runs").glob("*.json"))
TRAIN = Task(Step.TRAIN, "lambda=3,seed=0")
BEFORE = (Step.START, Step.INGEST, Step.FILTER_MINORITY)
NOW_MS = 0  # when the test began; not the import, which is minutes away on a slow machine

pytestmark = pytest.mark.usefixtures("quick", "alone")


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """No kubectl but the one that a test plays, no addresses from outside, no pauses, and its own beginning as now."""
    monkeypatch.setattr(sys.modules[__name__], "NOW_MS", int(time.time() * 1000))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    if shutil.which("kubectl"):
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for name in ("MLFLOW_UI_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    for module in (following, termination):
        monkeypatch.setattr(module, "GRACE_S", 0.0)
    monkeypatch.setattr(termination, "POLL_S", 0.0)
    monkeypatch.setattr("mammogan.tracking.runs.SETTLE_S", 0.0)


@pytest.fixture
def play_kubectl(tmp_path):
    """A kubectl that has these pods and settings and nothing else, and notes what it was asked."""

    def play(*pods, settings=None):
        (tmp_path / "pods.json").write_text(json.dumps({"items": pods}))
        (tmp_path / "configmap.json").write_text(json.dumps({"data": settings or {}}))
        script = tmp_path / "bin" / "kubectl"
        script.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncase "$2" in pods) exec cat {tmp_path}/pods.json;; '
            f'configmap) exec cat {tmp_path}/configmap.json;; esac\necho "no $2 here" >&2; exit 1\n'
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return tmp_path / "asked"

    return play


@pytest.fixture
def uri(empty_database, tmp_path):
    return f"sqlite:///{shutil.copyfile(empty_database, tmp_path / 'mlflow.db')}"


@pytest.fixture
def record(uri):
    """Make the parent run of a run of Kubeflow, with the record of its steps; its id."""

    def record(run_id, *entries, lambdas="3", status="RUNNING", reason=""):
        settings = config.resolve("demo", f"lambdas={lambdas}")
        parent = tracking.open_parent("mammogan", run_id, settings, {"kfp.pipeline_run_id": run_id}, uri)
        for item in entries:
            ledger.write(parent, item, uri)
        if status != "RUNNING":
            tracking.close(parent, status, reason, uri)
        return parent

    return record


def done(*steps, trial="", goes_on=None):
    return [Entry(Task(step, trial), State.DONE, NOW_MS - 200_000, NOW_MS - 190_000, goes_on=goes_on) for step in steps]


def whole():
    """Record of a run that had nothing to train, to its end."""
    return [*done(*BEFORE[:-1]), *done(BEFORE[-1], goes_on=False)]


def status(uri, parent):
    run = tracking.client(uri).get_run(parent)
    return run.info.status, run.data.tags.get("mammogan.reason", "")


def parsed(name):
    """A recorded answer through the official client's own models."""
    return deserialised(recorded("runs", name), "V2beta1Run")


def deserialised(body, model):
    response = type("Response", (), {"data": json.dumps(body)})
    return api.ApiClient().deserialize(response, model)


def pod(name="train-pod", step="train", phase="Running", **more):
    """A pod with the fields of Kubernetes' API that are looked at."""
    meta = {"name": name, "labels": {"app.kubernetes.io/component": step, "pipeline/runid": "x"}}
    sizes = [{"name": "wait"}, {"name": "main", "resources": {"limits": {"memory": "1Gi"}}}]
    return {"metadata": meta, "spec": {"containers": sizes}, "status": {"phase": phase, **more}}


def ended(reason, code):
    """Status of a pod whose main container ended, as the kubelet writes it; what ended beside it tells nothing."""
    beside = {"name": "wait", "state": {"terminated": {"exitCode": 143, "reason": "Error"}}}
    return {
        "containerStatuses": [beside, {"name": "main", "state": {"terminated": {"exitCode": code, "reason": reason}}}]
    }


def stuck(reason, message):
    """Status of a pod whose main container waits, as the kubelet writes it."""
    return {"containerStatuses": [{"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}]}


# What Kubeflow lists, and what of it is ours.


@pytest.mark.parametrize("name", RUNS)
def test_of_every_recorded_run_only_the_own_steps_are_shown_each_once(name):
    tasks = [row.task for row in rows.from_kubeflow(parsed(name))]
    assert len(tasks) == len(set(tasks))
    assert {task.step for task in tasks} <= set(Step)
    assert all(task.trial.isdigit() == (task.step in (Step.TRAIN, Step.EVALUATE)) for task in tasks)


def test_a_nameless_task_and_a_tasks_twin_are_no_rows():
    shown = rows.from_kubeflow(parsed("demo-nameless-task"), datetime(2026, 11, 26, 13, 50, 50, tzinfo=UTC))
    assert [(str(row.task), row.state, row.seconds) for row in shown] == [
        ("start", State.DONE, 10.0),
        ("ingest", State.DONE, 10.0),
        ("filter-minority", State.RUNNING, 6.0),
    ]


def test_trials_that_kubeflow_does_not_name_are_numbered_and_stand_together():
    tasks = [str(row.task) for row in rows.from_kubeflow(parsed("demo-frozen-at-end"))]
    assert tasks[:3] == list(BEFORE), "the recorded graph had a step more, which is none of today's"
    assert tasks[3:9] == [f"{step} of {number}" for number in (1, 2, 3) for step in ("train", "evaluate")]
    assert tasks[9:] == ["select", "register"]


def test_a_step_that_kubeflow_left_out_is_no_row():
    """Behind a trial that was lost: evaluate and select, without a state."""
    tasks = [str(row.task) for row in rows.from_kubeflow(parsed("train-pod-evicted"))]
    assert tasks == [*BEFORE, "train of 1", "finish"]


def test_a_step_counts_as_waiting_by_its_pod_not_by_the_task_around_it():
    assert rows.waits(parsed("demo-nameless-task"))
    assert not rows.waits(parsed("terminating"))
    assert not rows.waits(parsed("terminated"))


def test_the_record_gives_names_order_what_is_due_and_how_far_a_training_is():
    trials = ["lambda=0.5,seed=0", "lambda=3,seed=0"]
    running = Entry(TRAIN, State.RUNNING, NOW_MS - 60_000)
    failed = Entry(Task(Step.TRAIN, trials[0]), State.FAILED, NOW_MS - 9000, NOW_MS - 8000, "no such file")
    entries = [*done(*BEFORE), running, failed]
    held = Ledger({entry.task: entry for entry in entries})
    standing = Standing("r", "1", "RUNNING", "", held, 400, {TRAIN.trial: Losses(12, 0.25, -1.5)})
    shown = rows.from_record(standing, trials)
    assert [str(row.task) for row in shown] == [
        *BEFORE,
        *(f"{step} of {trial}" for trial in trials for step in ("train", "evaluate")),
        "select",
    ]
    by_task = {row.task: row for row in shown}
    assert by_task[TRAIN].note == "epoch 12 of 400, W 0.25, generator -1.5"
    assert 60 <= by_task[TRAIN].seconds < 600
    assert (by_task[failed.task].note, by_task[failed.task].seconds) == ("no such file", 1.0)
    assert by_task[Task(Step.SELECT)].state is None


def test_epoch_and_losses_are_read_from_the_trials_own_run(uri, record):
    parent = record("key", *done(*BEFORE))
    settings = config.resolve("demo", "lambdas=3 train.epochs=7")
    child = tracking.open_trial(parent, Trial(3, 0), settings, uri)
    client = tracking.client(uri)
    for epoch, value in ((1, 4.0), (2, 3.0)):
        client.log_metric(child, "train/wasserstein", value, step=epoch)
        client.log_metric(child, "train/generator_loss", -value, step=epoch)
    assert find_standing("key", uri).losses == {"lambda=3,seed=0": Losses(2, 3.0, -3.0)}
    assert find_standing("another", uri) is None


def test_a_line_for_each_change_and_a_note_at_most_once_a_minute(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(table.time, "monotonic", lambda: now[0])
    show = table.Lines()
    for epoch in range(1, 5):
        now[0] += 25
        show(
            [rows.Row(TRAIN, State.RUNNING, 1.0, f"epoch {epoch}"), rows.Row(Task(Step.SELECT), None)],
            ["MLflow is away"],
        )
    show([rows.Row(TRAIN, State.DONE, 75.0)], [])
    assert capsys.readouterr().err.splitlines() == [
        f"{TRAIN}: running: epoch 1",
        "MLflow is away",
        f"{TRAIN}: running: epoch 4",
        f"{TRAIN}: done after 75 s",
    ]


def test_the_table_shows_words_of_others_as_they_are():
    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table._drawn([rows.Row(TRAIN, State.FAILED, 3.2, "bad [red]tag[/]")], ["more"]))
    assert "bad [red]tag[/]" in console.export_text()


def test_the_table_on_a_terminal_shows_no_sign_in():
    """The lines of a pipe go through the log, which masks them; this goes straight to the terminal."""
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    failed = rows.Row(TRAIN, State.FAILED, 3.2, "no file at https://host/w.pt?X-Amz-Signature=c0ffee")
    console.print(table._drawn([failed], ["MLflow at http://me:pa55word@host:5000 cannot be read"]))
    text = console.export_text()
    assert "http://***@host:5000 cannot be read" in text
    assert "https://host/w.pt?***" in text
    assert not [secret for secret in ("pa55word", "c0ffee") if secret in text]


def test_why_mlflow_cannot_be_read_names_no_password():
    with pytest.raises(UnreadableError, match=r"^MLflow at http://\*\*\*@127\.0\.0\.1:9 cannot be read"):
        find_standing("run", "http://me:pa55word@127.0.0.1:9")


# How it ends, without MLflow: Kubeflow's word.


def test_a_run_is_followed_from_tasks_without_a_name_to_its_end(kubeflow, host, capsys):
    run_id = kubeflow.play("demo-nameless-task", "demo-nameless-task", "nothing-to-train-cached-ingest")
    follow(Server(host), run_id, poll_s=0.0)
    lines = capsys.readouterr().err.splitlines()
    assert following.NO_RECORD in lines
    shown = [line for line in lines if line.split(":")[0] in set(Step)]
    assert shown[:3] == ["start: done after 10 s", "ingest: done after 10 s", "filter-minority: running"]
    assert len(shown) == len(set(shown)) == 5
    assert lines[-1].startswith("the run ended SUCCEEDED; see")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["train-pod-evicted"], "FAILED: step train failed; kubectl describe pods -n kubeflow -l pipeline/runid="),
        (["smoke-failed"], "FAILED: Kubeflow shows no step that failed; kubectl describe pods"),
        (["smoke-retried-defaults-off"], "FAILED: Kubeflow shows no step that failed; kubectl describe pods"),
        (["terminating", "terminated"], "FAILED: it was terminated; see"),
    ],
)
def test_every_bad_end_has_a_reason_or_the_command_that_tells(kubeflow, host, names, reason):
    run_id = kubeflow.play(*names)
    with pytest.raises(RuntimeError, match=f"the run ended {reason}"):
        follow(Server(host), run_id, poll_s=0.0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ended("OOMKilled", 137), "train: out of memory: the kernel ended it at its limit of 1Gi"),
        (ended("Error", 1), "train: it ended with exit code 1; kubectl logs -n kubeflow train-pod -c main tells more"),
        ({"reason": "Evicted", "message": "node was low"}, "train: Evicted node was low"),
    ],
)
def test_the_reason_comes_from_the_pod_where_it_can_be_asked(kubeflow, host, play_kubectl, answer, reason):
    run_id = kubeflow.play("train-pod-evicted")
    later = pod("x-finish", "finish", "Failed", startTime="2026-11-26T14:14:12Z", **ended("Error", 1))
    play_kubectl(later, pod(phase="Failed", startTime="2026-11-26T14:12:49Z", **answer))
    with pytest.raises(RuntimeError, match=f"step train failed: {reason}"):
        follow(Server(host), run_id, poll_s=0.0)


# How it ends, with MLflow: the record's word.


def test_a_run_whose_record_is_finished_has_ended_well_whatever_kubeflow_says(kubeflow, host, record, uri, capsys):
    run_id = kubeflow.play("train-pod-evicted")
    parent = record(run_id, *whole(), status="FINISHED")
    follow(Server(host), run_id, uri, poll_s=0.0)
    stderr = capsys.readouterr().err
    assert "Kubeflow says FAILED; by the run's record every step that was due did its work" in stderr
    assert stderr.splitlines()[-1].startswith(f"the run ended FINISHED; see {shell.command('mammogan')} ui --out ")
    assert status(uri, parent) == ("FINISHED", "")


@pytest.mark.parametrize("word", ["FAILED", "KILLED"])
def test_a_run_whose_record_is_not_has_not_and_says_why(kubeflow, host, record, uri, word):
    run_id = kubeflow.play("demo-frozen-at-end")
    record(run_id, *done(*BEFORE), status=word, reason="train of lambda=3,seed=0: no such file")
    with pytest.raises(
        RuntimeError, match=f"the run ended {word}: train of lambda=3,seed=0: no such file; see .*mammogan ui --out"
    ):
        follow(Server(host), run_id, uri, poll_s=0.0)


def test_a_record_that_nobody_ended_is_ended_here_with_what_the_pods_tell(kubeflow, host, record, uri, play_kubectl):
    run_id = kubeflow.play("train-pod-evicted")
    lost = Entry(TRAIN, State.RUNNING, NOW_MS - 50_000, pod="train-pod", memory_limit=2**30)
    parent = record(run_id, *done(*BEFORE), lost)
    play_kubectl(pod(phase="Failed", **ended("OOMKilled", 137)))
    with pytest.raises(
        RuntimeError, match=r"the run ended FAILED: train of lambda=3,seed=0: lost with its pod train-pod: "
    ):
        follow(Server(host), run_id, uri, poll_s=0.0)
    word, reason = status(uri, parent)
    assert word == "FAILED"
    assert "out of memory" in reason
    assert "at its limit of 1Gi" in reason


def test_a_pod_that_is_gone_is_reported_as_deleted_only_where_others_are_there(
    kubeflow, host, record, uri, play_kubectl
):
    run_id = kubeflow.play("train-pod-evicted")
    lost = Entry(TRAIN, State.RUNNING, NOW_MS, pod="train-pod")
    record(run_id, *done(*BEFORE), lost)
    view = watch.Watch(Server(host), run_id, uri).look()
    play_kubectl(pod("finish-pod", "finish", "Succeeded"))
    assert following.verdict.fate(view, "kubeflow").causes == {TRAIN: "its pod is no longer there: it was deleted"}
    play_kubectl()
    assert following.verdict.fate(view, "kubeflow") == Fate(terminated=False)


def test_a_terminated_run_whose_exit_step_never_ran_is_killed(kubeflow, host, record, uri):
    run_id = kubeflow.play("terminating", "terminated")
    parent = record(run_id, *done(*BEFORE), Entry(TRAIN, State.STOPPED, NOW_MS, NOW_MS, ledger.STOPPED))
    with pytest.raises(RuntimeError, match="the run ended KILLED: terminated in train of lambda=3,seed=0"):
        follow(Server(host), run_id, uri, poll_s=0.0)
    assert status(uri, parent)[0] == "KILLED"


def test_the_exit_step_has_time_to_write_its_last_word(kubeflow, host, record, uri, monkeypatch):
    monkeypatch.setattr(following, "GRACE_S", 60.0)
    monkeypatch.setattr(following.verdict, "close", lambda *_: pytest.fail("it was closed here"))
    run_id = kubeflow.play("nothing-to-train-cached-ingest")
    parent = record(run_id, *whole())
    looks, real = [], watch.Watch.look

    def look(self):
        looks.append(1)
        if len(looks) == 5:
            tracking.close(parent, "FINISHED", "", uri)
        return real(self)

    monkeypatch.setattr(watch.Watch, "look", look)
    follow(Server(host), run_id, uri, poll_s=0.0)
    assert len(looks) == 5


def test_a_run_that_never_opened_its_record_has_kubeflows_word(kubeflow, host, uri, capsys):
    run_id = kubeflow.play("nothing-to-train-cached-ingest")
    follow(Server(host), run_id, uri, poll_s=0.0)
    assert f"has no run {run_id}; that it ended well is Kubeflow's word" in capsys.readouterr().err
    run_id = kubeflow.play("train-pod-evicted")
    with pytest.raises(RuntimeError, match="the run ended FAILED: step train failed"):
        follow(Server(host), run_id, uri, poll_s=0.0)


def test_a_record_that_has_ended_decides_where_kubeflow_never_does(kubeflow, host, record, uri, monkeypatch):
    """As after the run's schedule was deleted: RUNNING for ever. A record with a step that runs goes on."""
    monkeypatch.setattr(following, "AGREE_S", 0.0)
    run_id = kubeflow.play("demo-nameless-task")
    record(run_id, *whole(), status="KILLED", reason="its workflow is gone")
    with pytest.raises(RuntimeError, match="the run ended KILLED: its workflow is gone"):
        follow(Server(host), run_id, uri, poll_s=0.0)
    view = View(parsed("demo-nameless-task"), find_standing(run_id, uri))
    held = Ledger({TRAIN: Entry(TRAIN, State.RUNNING, NOW_MS)})
    reopened = View(view.run, Standing("r", "1", "KILLED", "", held, 1, {}))
    follower = following._Following(Server(host), run_id, uri, 60, links(Server(host), run_id), "")
    assert follower._is_over(view)
    assert not follower._is_over(reopened)


# A page of Kubeflow's that stands still.


def test_a_page_that_stands_still_is_reported_once_and_the_table_goes_on(kubeflow, host, record, uri, capsys):
    run_id = kubeflow.play(*["demo-frozen-at-end"] * 3)
    trials = [f"lambda={value},seed=0" for value in ("0.5", "3", "5")]
    trained = [entry for trial in trials for entry in done(Step.TRAIN, Step.EVALUATE, trial=trial)]
    record(run_id, *done(*BEFORE, goes_on=True), *trained, *done(Step.SELECT), lambdas="0.5,3,5", status="FINISHED")
    follow(Server(host), run_id, uri, poll_s=0.0)
    assert capsys.readouterr().err.splitlines().count(following.STANDS_STILL) == 1


@pytest.mark.parametrize("name", sorted(set(RUNS) - {"demo-frozen-at-end"}))
def test_a_page_that_does_not_is_not_reported(name):
    assert not View(parsed(name), None).stands_still(60)


def test_a_step_that_was_done_long_ago_and_still_runs_there_shows_it():
    run = parsed("demo-nameless-task")

    def standing(*entries):
        return Standing("r", "1", "RUNNING", "", Ledger({entry.task: entry for entry in entries}), 1, {})

    behind = done(*BEFORE[:3])
    assert View(run, standing(*behind)).stands_still(60)
    assert not View(run, standing(*behind)).stands_still(600), "a minute ago is no proof"
    assert not View(run, standing(*behind[:2])).stands_still(60)


# Servers that are away.


@pytest.mark.parametrize("answer", [429, 500, 502, 503, 504])
def test_an_api_that_is_away_ends_no_wait(kubeflow, host, answer, capsys):
    run_id = kubeflow.play("demo-nameless-task", "nothing-to-train-cached-ingest")
    kubeflow.fail("GET", "runs/", answer, times=12)
    follow(Server(host), run_id, poll_s=0.0)
    assert "could not follow the run" in capsys.readouterr().err


def test_an_api_that_cannot_be_reached_ends_no_wait_within_half_an_hour(kubeflow, host, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    run_id = kubeflow.play("demo-nameless-task")
    looking = watch.Watch(Server(host), run_id)
    assert not looking.look().away
    looking.server = Server("http://127.0.0.1:9")
    for minutes in (0, 10, 29):
        now[0] = minutes * 60.0
        assert "no answer from http://127.0.0.1:9" in looking.look().away
    now[0] = 31 * 60.0
    with pytest.raises(RefusedError, match="no answer"):
        looking.look()


def test_a_refused_sign_in_is_read_anew_once_then_the_run_is_left_with_the_way_back(monkeypatch):
    kubeflow = Kubeflow(token="old")
    run_id = kubeflow.play("demo-nameless-task", "nothing-to-train-cached-ingest")
    with serve(kubeflow) as host:
        monkeypatch.setenv("KFP_TOKEN", "old")
        server = Server(host)
        kubeflow.sign_in["Authorization"] = "Bearer fresh"
        monkeypatch.setenv("KFP_TOKEN", "fresh")
        follow(server, run_id, poll_s=0.0)
        kubeflow.sign_in["Authorization"] = "Bearer another"
        with pytest.raises(
            RefusedError, match=rf"sign-in was refused.*; the run goes on: .*{run_id}.*--follow {run_id}"
        ):
            follow(server, run_id, poll_s=0.0)


def test_ctrl_c_leaves_the_run_alone_and_says_how_to_come_back(kubeflow, host, monkeypatch, capsys):
    def interrupted(self, view):
        raise KeyboardInterrupt

    run_id = kubeflow.play("demo-nameless-task")
    monkeypatch.setattr(Waiting, "look", interrupted)
    with pytest.raises(KeyboardInterrupt):
        follow(Server(host), run_id, poll_s=0.0)
    command = f"{shell.command('mammogan')} submit --host {host} --follow {run_id}"
    assert f"`{command}` comes back to it" in capsys.readouterr().err
    assert not [path for _, path in kubeflow.requests if "terminate" in path]


def test_a_run_that_is_not_there_is_reported_by_the_servers_own_words(host):
    with pytest.raises(RefusedError, match=r"there is no such thing.*Run nothing not found") as caught:
        follow(Server(host), "nothing", poll_s=0.0)
    assert "goes on" not in str(caught.value)


def test_an_mlflow_that_is_away_is_reported_and_kubeflows_states_are_shown(kubeflow, host, capsys, monkeypatch):
    monkeypatch.setattr(following, "RECORD_S", 0.0)
    run_id = kubeflow.play("demo-nameless-task", "nothing-to-train-cached-ingest")
    begun = time.monotonic()
    follow(Server(host), run_id, "http://127.0.0.1:9", poll_s=0.0)
    assert time.monotonic() - begun < 30, "a follower asks once and looks again"
    stderr = capsys.readouterr().err
    assert stderr.count("MLflow at http://127.0.0.1:9 cannot be read: no answer;") == 2, (
        "once while it runs, once for the verdict"
    )
    assert "start: done after 10 s" in stderr


# What a run waits for.

PENDING = recorded("pods", "train-gpu-unschedulable")
GPU = "train cannot begin: Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu"


class Clock:
    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return self.s


@pytest.fixture
def look():
    """What is said of a view at a second, and whether it was too long; one run, an hour at most."""
    clock = Clock()
    watched = Waiting("run", "kubeflow", 3600.0, clock)

    def look(view, at_s):
        clock.s = at_s
        wait = watched.look(view)
        return wait.reason, wait.too_long

    return look


def idle(*entries):
    """A run of which no step runs, by its record."""
    entries = entries or done(*BEFORE)
    held = Ledger({entry.task: entry for entry in entries})
    return View(parsed("demo-nameless-task"), Standing("r", "1", "RUNNING", "", held, 1, {}))


def test_what_the_scheduler_lacks_is_reported_within_three_minutes(look, play_kubectl):
    asked = play_kubectl(PENDING)
    assert look(idle(), 0) == ("", False)
    assert look(idle(), 115) == ("", False)
    reason, too_long = look(idle(), 125)
    assert reason.startswith(GPU)
    assert not too_long
    look(idle(), 130)
    assert len(asked.read_text().splitlines()) == 1, "Kubernetes is not asked at each look"
    assert "get pods --namespace kubeflow --selector pipeline/runid=run" in asked.read_text()


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ErrImagePull", "manifest unknown"),
        ("ImagePullBackOff", "Back-off pulling image"),
        ("CreateContainerConfigError", 'secret "mammogan-s3" not found'),
    ],
)
def test_an_image_or_a_secret_that_is_missing_is_reported(look, play_kubectl, reason, message):
    play_kubectl(pod(phase="Pending", **stuck(reason, message)))
    look(idle(), 0)
    assert look(idle(), 121)[0].startswith(f"train cannot begin: {reason}: {message}")


def test_a_run_that_waits_too_long_is_known_to(look, play_kubectl):
    play_kubectl(PENDING)
    look(idle(), 0)
    assert look(idle(), 3590)[1] is False
    assert look(idle(), 3611)[1] is True


@pytest.mark.parametrize("beside", ["sibling", "progress"])
def test_a_trial_that_waits_while_another_one_trains_is_no_such_wait(look, play_kubectl, beside):
    if beside == "sibling":
        play_kubectl(PENDING, pod(phase="Running"))
    else:
        play_kubectl(PENDING)
    for second in range(0, 8000, 100):
        entry = Entry(TRAIN, State.RUNNING, second if beside == "progress" else 1)
        assert look(idle(entry), second) == ("", False)


def test_without_kubectl_the_command_is_reported_and_the_record_decides(look):
    look(idle(), 0)
    reason, too_long = look(idle(), 121)
    assert reason.startswith(
        "nothing of the run runs; kubectl describe pods -n kubeflow -l pipeline/runid=run tells why"
    )
    assert not too_long
    assert look(idle(), 3700)[1] is True
    training = idle(*done(*BEFORE), Entry(TRAIN, State.RUNNING, 1))
    look(training, 3800)
    assert look(training, 99_000) == ("", False)


def test_a_list_of_tasks_that_stands_still_ends_no_run(look):
    """Neither kubectl nor MLflow can be asked, and a driver is PENDING for ever: the run may be training."""
    view = View(parsed("demo-nameless-task"), None)
    look(view, 0)
    assert look(view, 99_000)[1] is False


def test_a_run_of_which_nothing_can_begin_is_ended_with_the_reason(
    kubeflow, host, record, uri, play_kubectl, monkeypatch
):
    play_kubectl(PENDING)
    monkeypatch.setattr(waiting, "ASK_AFTER_S", 0.0)
    run_id = kubeflow.play("demo-nameless-task")
    parent = record(run_id, *done(*BEFORE))
    with pytest.raises(
        RuntimeError, match=r"the run ended FAILED: nothing of it could run for 0 minutes.*nvidia.com/gpu"
    ):
        follow(Server(host), run_id, uri, pending_minutes=0, poll_s=0.0)
    assert [path for _, path in kubeflow.requests if path.endswith(f"{run_id}:terminate")]
    word, reason = status(uri, parent)
    assert word == "FAILED"
    assert "Insufficient nvidia.com/gpu" in reason
    assert "train of lambda=3,seed=0 never began" in reason
    assert tracking.client(uri).get_run(parent).data.tags[GIVEN_UP] in reason, "for an exit step that comes late"


# Stopping.


def test_stop_ends_the_run_in_kubeflow_and_in_mlflow(kubeflow, host, record, uri):
    run_id = kubeflow.play("demo-nameless-task")
    parent = record(run_id, *done(*BEFORE), Entry(TRAIN, State.RUNNING, NOW_MS))
    line = stop(Server(host), run_id, uri, poll_s=0.0)
    assert line == f"run {run_id} was stopped: KILLED: {termination.STOPPED}; terminated in train of lambda=3,seed=0"
    assert status(uri, parent)[0] == "KILLED"
    assert tracking.client(uri).get_run(parent).data.tags[STOP_ASKED]


def test_a_stop_that_is_refused_leaves_no_word_behind(kubeflow, host, record, uri):
    run_id = kubeflow.play("demo-nameless-task")
    parent = record(run_id, *done(*BEFORE), Entry(TRAIN, State.RUNNING, NOW_MS))
    kubeflow.fail("POST", "terminate", 403)
    with pytest.raises(RefusedError, match="this user may not do that"):
        stop(Server(host), run_id, uri, poll_s=0.0)
    assert not tracking.client(uri).get_run(parent).data.tags.get(STOP_ASKED)
    assert status(uri, parent)[0] == "RUNNING"


def test_a_run_that_ends_already_is_not_a_refusal(kubeflow, host):
    run_id = kubeflow.play("demo-nameless-task")
    kubeflow.lose("POST", "terminate")
    assert stop(Server(host), run_id, poll_s=0.0).endswith("was stopped: FAILED, terminated in Kubeflow")
    asked = [path for method, path in kubeflow.requests if method == "POST" and "terminate" in path]
    assert len(asked) == 2, "the second one gets the recorded refusal"
    run_id = kubeflow.play("terminating", "terminating", "terminating", "terminated")
    assert stop(Server(host), run_id, poll_s=0.0).endswith("was stopped: FAILED, terminated in Kubeflow")


def test_a_run_that_goes_on_was_not_stopped(kubeflow, host):
    run_id = kubeflow.play("demo-nameless-task")
    kubeflow.fail("POST", "terminate", 400)
    with pytest.raises(RefusedError, match="could not stop the run: the request was refused"):
        stop(Server(host), run_id, poll_s=0.0)


def test_stop_leaves_the_last_word_to_the_exit_step(kubeflow, host, record, uri, monkeypatch):
    run_id = kubeflow.play("demo-nameless-task")
    parent = record(run_id, *done(*BEFORE))
    real = Server.terminate

    def terminate(server, run_id):
        assert tracking.client(uri).get_run(parent).data.tags[STOP_ASKED], "the exit step must know before it runs"
        real(server, run_id)
        tracking.close(parent, "KILLED", "by the exit step", uri)

    monkeypatch.setattr(Server, "terminate", terminate)
    assert stop(Server(host), run_id, uri, poll_s=0.0).endswith("KILLED: by the exit step")


def test_stop_of_a_run_that_has_ended_only_tells(kubeflow, host, record, uri):
    run_id = kubeflow.play("train-pod-evicted")
    record(run_id, *whole(), status="FAILED", reason="lost")
    assert stop(Server(host), run_id, uri, poll_s=0.0) == f"run {run_id} had ended already: FAILED: lost"
    assert stop(Server(host), run_id, poll_s=0.0) == f"run {run_id} had ended already: FAILED in Kubeflow"
    assert not [path for _, path in kubeflow.requests if "terminate" in path]


def test_stop_without_mlflow_and_with_one_that_is_away(kubeflow, host, capsys):
    run_id = kubeflow.play("demo-nameless-task")
    assert stop(Server(host), run_id, poll_s=0.0).endswith("was stopped: FAILED, terminated in Kubeflow")
    run_id = kubeflow.play("demo-nameless-task")
    stop(Server(host), run_id, "http://127.0.0.1:9", poll_s=0.0)
    assert "cannot be read" in capsys.readouterr().err


def test_a_run_that_does_not_end_is_reported_after_a_while(kubeflow, host, monkeypatch):
    monkeypatch.setattr(termination, "LIMIT_S", 0.0)
    kubeflow.after_stop = ["terminating"]
    run_id = kubeflow.play("demo-nameless-task")
    with pytest.raises(RuntimeError, match=f"run {run_id} is still CANCELING in Kubeflow; .*kubectl delete workf"):
        stop(Server(host), run_id, poll_s=0.0)


@pytest.mark.parametrize("is_noted", [True, False])
def test_a_run_whose_exit_step_cannot_begin_either_is_given_up_with_its_reason(
    kubeflow, host, record, uri, play_kubectl, monkeypatch, capsys, is_noted
):
    """Nobody stopped it, also where MLflow could not be told so beforehand."""
    play_kubectl(PENDING)
    if not is_noted:
        monkeypatch.setattr("mammogan.tracking.standing.tell_given_up", lambda *_: None)
    monkeypatch.setattr(waiting, "ASK_AFTER_S", 0.0)
    monkeypatch.setattr(following, "GIVE_UP_S", 0.0)
    kubeflow.after_stop = ["terminating"]
    run_id = kubeflow.play("demo-nameless-task")
    parent = record(run_id, *done(*BEFORE))
    with pytest.raises(RuntimeError, match=r"the run ended FAILED: nothing of it could run.*nvidia.com/gpu"):
        follow(Server(host), run_id, uri, pending_minutes=0, poll_s=0.0)
    assert status(uri, parent)[0] == "FAILED"
    assert f"kubectl delete workflows -n kubeflow -l pipeline/runid={run_id}" in capsys.readouterr().err


# Where to look.


def test_an_address_without_pages_gives_no_link(kubeflow, host):
    assert links(Server(host), "run-1").kubeflow.startswith("run run-1 (kubectl port-forward -n kubeflow")
    kubeflow.ui = True
    assert links(Server(host), "run-1").kubeflow == f"{host}/#/runs/details/run-1"
    assert links(Server(host, forward=Forward()), "run-1").kubeflow.startswith("run run-1 (kubectl port-forward")
    assert "run-1" in links(Server("http://127.0.0.1:9"), "run-1").kubeflow


def test_mlflows_address_is_the_persons_then_the_clusters_then_the_tracking_uri(host, play_kubectl, monkeypatch):
    def mlflow(tracking_uri=""):
        return links(Server(host), "run-1", tracking_uri).mlflow

    assert mlflow() == ""
    opened = f"{shell.command('mammogan')} ui --out runs"
    assert mlflow("sqlite:///runs/mlflow.db") == opened
    assert mlflow("https://anna:secret@mlflow.example.org/") == "https://mlflow.example.org"
    asked = play_kubectl(settings={"MLFLOW_UI_URL": "https://ui.example.org"})
    assert mlflow("http://localhost:5000") == "https://ui.example.org"
    assert "get configmap mammogan --namespace kubeflow" in asked.read_text()
    monkeypatch.setenv("MLFLOW_UI_URL", "https://mine.example.org")
    assert mlflow("http://localhost:5000") == "https://mine.example.org"


def test_links_are_reported_at_once_the_runs_own_when_it_is_open(kubeflow, host, record, uri, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_UI_URL", "https://ui.example.org")
    run_id = kubeflow.play("nothing-to-train-cached-ingest")
    show_links(Server(host), run_id, uri)
    assert "MLflow: https://ui.example.org/#/experiments\n" in capsys.readouterr().err
    experiment = tracking.ensure_experiment("mammogan", tracking_uri=uri)
    show_links(Server(host), run_id, uri)
    link = f"https://ui.example.org/{saved_view.address(experiment, run_id)}"
    assert f"MLflow: {link}\n" in capsys.readouterr().err
    record(run_id, *whole(), status="FINISHED")
    follow(Server(host), run_id, uri, poll_s=0.0)
    assert capsys.readouterr().err.count(f"MLflow: {link}\n") == 1


@pytest.mark.parametrize(
    ("multi_user", "namespace", "where"),
    [(False, "", "kubeflow"), (False, "team", "kubeflow"), (True, "team", "team")],
)
def test_the_pods_are_in_kubeflows_own_namespace_on_a_standalone_installation(multi_user, namespace, where):
    with serve(Kubeflow(multi_user=multi_user)) as host:
        assert Server(host, namespace).pods_namespace() == where


# The server of these tests is as the real one.


@pytest.mark.parametrize("name", RUNS)
def test_the_doubles_answers_are_read_as_the_real_ones(kubeflow, host, name):
    real, server = parsed(name), Server(host)
    run_id = kubeflow.play(name)
    double = server.call("read", server.runs.run_service_get_run, run_id)
    assert double == real


def test_what_surprised_the_first_user_is_still_in_the_recordings():
    nameless = parsed("demo-nameless-task").run_details.task_details
    names = {task.display_name for task in nameless}
    assert {None, "ingest", "ingest(0)", "executor(0)", "root-driver"} <= names
    assert any(task.state is None for task in nameless)
    assert any(task.end_time.year == 1 for task in nameless)
    frozen = parsed("demo-frozen-at-end")
    assert frozen.state == "SUCCEEDED"
    assert any(task.state == "RUNNING" for task in frozen.run_details.task_details)
    assert [status.state for status in parsed("terminated").state_history][-2:] == ["CANCELING", "FAILED"]
    assert not any(task.error for name in RUNS for task in parsed(name).run_details.task_details)


def test_the_doubles_refusals_and_lists_have_the_real_ones_fields(kubeflow, host):
    server = Server(host)
    for name, call in {
        "run-missing": lambda: server.call("x", server.runs.run_service_get_run, "nothing"),
        "filter-bad": lambda: list(
            server.all_items(
                "x",
                server.pipelines.pipeline_service_list_pipelines,
                "pipelines",
                filter='{"predicates":[{"operation":"EQUALS","key":"k","stringValue":"v"}]}',
            )
        ),
    }.items():
        kubeflow.keep(kubeflow.pipelines, "pipeline_id", {"display_name": "a"})
        with pytest.raises(RefusedError) as caught:
            call()
        assert caught.value.status == recorded("api", name)["status"]
    real = recorded("api", "recurring-list")["body"]
    assert deserialised(real, "V2beta1ListRecurringRunsResponse").next_page_token is None
    kubeflow.keep(kubeflow.recurring, "recurring_run_id", real["recurringRuns"][0])
    assert kubeflow.list_recurring({}, None).keys() == real.keys()
    assert recorded("api", "healthz")["body"].keys() == kubeflow.healthz({}, None).keys()


def test_the_recorded_pod_is_read_by_kubernetes_own_codes():
    parsed_pod = run_pods.parse(Document(PENDING))
    assert (parsed_pod.step, parsed_pod.phase, parsed_pod.obstacle.reason) == (
        "train",
        run_pods.Phase.PENDING,
        "Unschedulable",
    )
    bad = json.loads(json.dumps(PENDING))
    bad["status"]["conditions"][0]["reason"] = "SomethingElse"
    assert run_pods.parse(Document(bad)).obstacle is None


def test_a_pod_whose_own_container_has_not_begun_waits_whatever_runs_beside_it():
    beside = {"name": "wait", "state": {"running": {"startedAt": "2026-11-26T16:53:49Z"}}}
    own = {"name": "main", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    parsed_pod = run_pods.parse(Document(pod(containerStatuses=[beside, own])))
    assert (parsed_pod.phase, parsed_pod.obstacle.reason) == (run_pods.Phase.PENDING, "ErrImagePull")
    own["state"] = {"running": {"startedAt": "2026-11-26T16:53:50Z"}}
    assert run_pods.parse(Document(pod(containerStatuses=[beside, own]))).phase is run_pods.Phase.RUNNING


class Refusing(BaseHTTPRequestHandler):
    def refuse(self):
        self.send_response(401)
        self.end_headers()

    do_GET = do_POST = refuse  # noqa: N815

    def log_message(self, *arguments):
        pass


def test_an_mlflow_that_refuses_is_not_waited_for(kubeflow, host, monkeypatch, capsys):
    """One that is away is, for a while that is said."""
    monkeypatch.setattr(following, "GRACE_S", 0.0)
    run_id = kubeflow.play("train-pod-evicted")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setattr(following, "RECORD_S", 600.0)
        with pytest.raises(RuntimeError, match="the run ended FAILED"):
            follow(Server(host), run_id, f"http://127.0.0.1:{server.server_address[1]}", poll_s=0.0)
    finally:
        server.shutdown()
        server.server_close()
    assert "is waited for" not in capsys.readouterr().err
    monkeypatch.setattr(following, "RECORD_S", 0.5)
    with pytest.raises(RuntimeError, match="the run ended FAILED"):
        follow(Server(host), run_id, "http://127.0.0.1:9", poll_s=0.0)
    assert "its record is waited for, for 0 minutes" in capsys.readouterr().err


def test_a_run_that_is_not_there_is_named(host):
    with pytest.raises(RefusedError, match="run nothing: there is none in Kubeflow; it was deleted, or check the id"):
        follow(Server(host), "nothing", poll_s=0.0)
