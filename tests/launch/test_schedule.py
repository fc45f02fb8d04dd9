"""Recurring runs become what the file says, from any state, in one pass."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kfp import dsl
from kubeflow import Kubeflow, recorded
from mlflow import MlflowClient
from typer.testing import CliRunner
from walk import BEFORE, Walk

from mammogan import pipeline, tracking
from mammogan.command_line import app
from mammogan.launch.schedule import entries, read, reconcile, reconciliation, recurring
from mammogan.launch.schedule.ownership import BEFORE_OWNERS, Kind, describe, mark
from mammogan.launch.schedule.plan import Change, Verb, plan, unadopted
from mammogan.launch.schedule.recurring import Recurring, listed
from mammogan.launch.server import LOOKS, RefusedError, Server
from mammogan.registry.versions import PARENT_RUN

FILE = Path(__file__).resolve().parents[2] / "k8s" / "schedules.yaml"
IMAGE = "registry.example.org/mammogan@sha256:" + "c" * 64

OWNER = "imaging-group"

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(autouse=True)
def _brisk(monkeypatch):
    """No time between the looks at runs in flight."""
    monkeypatch.setattr(reconciliation, "POLL_S", 0.0)
    monkeypatch.setattr(reconciliation, "SETTLE_S", 0.0)


def entry(name, cron="0 0 3 * * 1", **more):
    places = {"source": "s3://b/cbis", "labels": "s3://b/csv", "store": "s3://b/store"}
    return {"name": name, "cron": cron, **places, "pods": {"image": IMAGE, "accelerators": 0}, **more}


@pytest.fixture
def write(tmp_path):
    def write(*entries, owner=OWNER):
        path = tmp_path / "schedules.yaml"
        path.write_text(yaml.safe_dump({"owner": owner, "schedules": list(entries)}))
        return path

    return write


@pytest.fixture
def apply(host, write):
    """Reconcile the server with these entries; the changes as text."""

    def apply(*entries, owner=OWNER, **options):
        file = read(write(*entries, owner=owner))
        changes = reconcile(Server(host), pipeline.experiment, file, **options)
        return [f"{change.verb} {change.target.name}" for change in changes]

    return apply


# The plan, as a pure function.

names = st.sampled_from(["daily", "weekly", "monthly"])
wanted_ones = st.builds(
    Recurring,
    name=names,
    cron=st.sampled_from(["0 0 3 * * 1", "0 0 4 * * *"]),
    parameters=st.sampled_from([{"settings": "preset=paper"}, {"settings": "preset=modern"}]),
    pipeline_id=st.just("p"),
    version_id=st.sampled_from(["v1", "v2"]),
    experiment_id=st.just("e"),
    service_account=st.just("steps"),
    enabled=st.booleans(),
    owner=st.just(OWNER),
)
files = st.lists(wanted_ones, max_size=3, unique_by=lambda item: item.name)


@st.composite
def present_ones(draw):
    """What may be there: the owner's, of another owner, of before owners were recorded."""
    drawn = draw(st.lists(wanted_ones, max_size=6))
    owners = st.sampled_from([OWNER, OWNER, "radiology", ""])
    return [
        replace(item, id=str(number), max_concurrency=draw(st.sampled_from([1, 5])), owner=draw(owners))
        for number, item in enumerate(drawn)
    ]


fresh = itertools.count()


def requests(changes):
    """What is asked of the server one after the other: what ends is switched off first, all of it."""
    for change in changes:
        if not change.ends:
            yield change.verb, change.target
    for change in changes:
        if change.ends:
            yield Verb.DISABLE, change.target
    for change in changes:
        if change.ends and change.wanted:
            yield Verb.CREATE, change.wanted
        if change.ends:
            yield Verb.REMOVE, change.target


def carry_out(asked, present):
    """What the server holds afterwards."""
    state = {item.id: item for item in present}
    for verb, target in asked:
        if verb is Verb.CREATE:
            identity = f"made {next(fresh)}"
            state[identity] = replace(target, id=identity)
        elif verb is Verb.REMOVE:
            del state[target.id]
        else:
            state[target.id] = replace(state[target.id], enabled=verb is Verb.ENABLE)
    return list(state.values())


def changes_for(wanted, present):
    """As reconcile asks: the server's listing leaves out other owners'."""
    return plan(OWNER, wanted, [item for item in present if item.owner in (OWNER, "")])


def in_order(items):
    return sorted((vars(replace(item, id="")) for item in items), key=lambda item: item["name"])


@given(files, present_ones())
def test_any_state_becomes_the_files_in_one_pass_and_the_second_does_nothing(wanted, present):
    after = carry_out(requests(changes_for(wanted, present)), present)
    assert in_order(item for item in after if item.owner == OWNER) == in_order(wanted)
    assert changes_for(wanted, after) == []


@given(files, present_ones(), st.data())
def test_a_pass_that_was_cut_short_is_finished_by_the_next_and_loses_no_schedule(wanted, present, data):
    asked = list(requests(changes_for(wanted, present)))
    halfway = carry_out(asked[: data.draw(st.integers(0, len(asked)))], present)
    both = {item.name for item in wanted} & {item.name for item in present if item.owner in (OWNER, "")}
    assert both <= {item.name for item in halfway}
    after = carry_out(requests(changes_for(wanted, halfway)), halfway)
    assert in_order(item for item in after if item.owner == OWNER) == in_order(wanted)


@given(files, present_ones())
def test_what_is_of_another_owner_or_nobodys_and_not_named_is_not_touched(wanted, present):
    names = {item.name for item in wanted}
    asked = list(requests(changes_for(wanted, present)))
    touched = {target.id for _, target in asked}
    assert not touched & {item.id for item in present if item.owner == "radiology"}
    assert not touched & {item.id for item in present if not item.owner and item.name not in names}


@given(files)
def test_what_is_right_is_not_touched(wanted):
    present = [replace(item, id=item.name) for item in wanted]
    assert changes_for(wanted, present) == []


def test_beside_its_own_an_owner_takes_only_what_an_adoption_left_over():
    own = Recurring("weekly", "0 0 3 * * 1", {}, "p", "v", "e", "steps", owner=OWNER, id="own")
    left = replace(own, owner="", id="old", enabled=False)
    alive = replace(left, enabled=True)
    assert plan(OWNER, [own], [own, left]) == [Change(Verb.REMOVE, left, "left over from its adoption")]
    assert plan(OWNER, [own], [own, alive]) == []
    assert unadopted([own, alive], []) == ["weekly"]


# The same against a server that speaks the API.


def test_create_replace_disable_enable_remove(kubeflow, apply):
    assert apply(entry("weekly"), entry("daily", cron="0 0 4 * * *")) == ["create weekly", "create daily"]
    assert apply(entry("weekly"), entry("daily", cron="0 0 4 * * *")) == []
    assert apply(entry("weekly"), entry("daily", cron="0 0 5 * * *")) == ["replace daily"]
    assert apply(entry("weekly", enabled=False), entry("daily", cron="0 0 5 * * *")) == ["disable weekly"]
    assert apply(entry("weekly"), entry("daily", cron="0 0 5 * * *")) == ["enable weekly"]
    assert apply(entry("weekly")) == ["remove daily"]
    assert [item["display_name"] for item in kubeflow.recurring.values()] == ["weekly"]


def test_what_a_schedule_asks_of_kubeflow(kubeflow, apply):
    apply(entry("weekly", settings={"train.epochs": 7}, enabled=False))
    (recurring_run,) = kubeflow.recurring.values()
    assert recurring_run["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert (recurring_run["max_concurrency"], recurring_run["no_catchup"], recurring_run["mode"]) == (
        "1",
        True,
        "DISABLE",
    )
    assert recurring_run["service_account"] == "mammogan-steps"
    assert recurring_run["runtime_config"]["parameters"]["settings"] == "preset=paper train.epochs=7"
    version = kubeflow.versions[recurring_run["pipeline_version_reference"]["pipeline_version_id"]]
    assert "enableCache" not in str(version["pipeline_spec"]), "a scheduled run must look at the source again"


def test_a_run_gets_the_arguments_of_the_file(kubeflow, apply):
    apply(entry("weekly", preset="demo", settings={"lambdas": "3"}, experiment="trial"))
    (recurring_run,) = kubeflow.recurring.values()
    assert recurring_run["runtime_config"]["parameters"] == {
        "trials": ["lambda=3,seed=0"],
        "settings": "preset=demo lambdas=3",
        "source": "s3://b/cbis",
        "labels": "s3://b/csv",
        "store": "s3://b/store",
        "experiment": "trial",
        "force": False,
    }
    assert kubeflow.experiments[recurring_run["experiment_id"]]["display_name"] == "trial"


def test_force_is_a_change_of_the_schedule(kubeflow, apply):
    apply(entry("weekly"))
    assert apply(entry("weekly", force=True)) == ["replace weekly"]
    (recurring_run,) = kubeflow.recurring.values()
    assert recurring_run["runtime_config"]["parameters"]["force"] is True


def test_an_account_that_kubeflow_chooses_is_no_difference(kubeflow, apply):
    assert apply(entry("weekly", service_account="")) == ["create weekly"]
    assert apply(entry("weekly", service_account="")) == []
    assert apply(entry("weekly", service_account="mine")) == ["replace weekly"]


@pytest.mark.long
def test_a_scheduled_run_stops_where_nothing_changed_unless_forced(kubeflow, apply, tmp_path, monkeypatch):
    """From the file to the step that decides, by the graph that was uploaded and the arguments that were stored."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MAMMOGAN_IMAGE", IMAGE)
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=":")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")

    def tick(name, **changed):
        """One run of the schedule as far as its decision, and the id of its run in MLflow."""
        apply(entry("weekly", preset="demo", source="phantom", labels="", **changed))
        (recurring_run,) = kubeflow.recurring.values()
        version = kubeflow.versions[recurring_run["pipeline_version_reference"]["pipeline_version_id"]]
        folder = tmp_path / name
        folder.mkdir()
        arguments = recurring_run["runtime_config"]["parameters"]
        walk = Walk(version["pipeline_spec"]["pipeline_spec"], arguments, str(folder), folder, run_command)
        for step in BEFORE:
            walk.step(step, run=name)
        return walk.outputs["filter-minority"], tracking.find_parent(name)

    trains, first = tick("first")
    assert trains is True
    client.create_registered_model("mammogan")
    version = client.create_model_version("mammogan", str(tmp_path), tags={PARENT_RUN: first})
    client.set_registered_model_alias("mammogan", "champion", version.version)
    assert tick("again")[0] is False
    assert tick("forced", force=True)[0] is True
    assert tick("changed", settings={"train.epochs": 3})[0] is True


def run_command(name, command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"


def test_a_new_image_replaces_the_schedule(kubeflow, apply):
    apply(entry("weekly"))
    pods = {"image": IMAGE.replace("c" * 64, "e" * 64), "accelerators": 0}
    assert apply(entry("weekly", pods=pods)) == ["replace weekly"]


def test_a_dry_run_shows_the_same_and_changes_nothing(kubeflow, apply):
    assert apply(entry("weekly"), dry_run=True) == ["create weekly"]
    assert {method for method, _ in kubeflow.requests} == {"GET"}
    apply(entry("weekly"))
    assert apply(entry("weekly"), dry_run=True) == []
    kubeflow.requests.clear()
    assert apply(dry_run=True) == ["remove weekly"]
    assert {method for method, _ in kubeflow.requests} == {"GET"}


def test_schedules_of_others_are_left_alone(kubeflow, apply):
    apply(entry("weekly"))
    (ours,) = kubeflow.recurring.values()
    kubeflow.keep(kubeflow.recurring, "recurring_run_id", {**ours, "description": "anna's own"})
    assert apply() == ["remove weekly"]
    assert [item["description"] for item in kubeflow.recurring.values()] == ["anna's own"]


def test_what_someone_switched_off_in_the_ui_is_switched_on_again(kubeflow, apply):
    apply(entry("weekly"))
    (ours,) = kubeflow.recurring.values()
    ours.update(mode="DISABLE", status="DISABLED")
    assert apply(entry("weekly")) == ["enable weekly"]


def test_many_are_read_to_the_last_page(kubeflow, apply, host):
    kubeflow.page_limit = 2
    entries = [entry(f"schedule {number}") for number in range(5)]
    assert len(apply(*entries)) == 5
    assert apply(*entries) == []
    assert len(listed(Server(host), OWNER)) == 5


def test_an_interrupted_pass_is_finished_by_the_next(kubeflow, apply):
    apply(entry("weekly"))
    kubeflow.fail("DELETE", "recurringruns", 403)
    with pytest.raises(RefusedError, match="could not remove schedule weekly: this user may not do that"):
        apply(entry("weekly", cron="0 0 9 * * *"))
    assert len(kubeflow.recurring) == 2
    assert apply(entry("weekly", cron="0 0 9 * * *")) == ["remove weekly"]
    (left,) = kubeflow.recurring.values()
    assert left["trigger"]["cron_schedule"]["cron"] == "0 0 9 * * *"
    assert left["description"] == describe(OWNER)


# The file.


def test_the_projects_own_file_is_valid_and_starts_nothing_by_itself():
    (weekly,) = read(FILE).schedules
    assert not weekly.enabled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cron": "3 * * 1"}, r"cron='3 \* \* 1': it has 4 fields; give six fields"),
        ({"cron": "0 0 3 * * 7"}, r"cron='0 0 3 \* \* 7': day of the week '7': values go from 0 up to 6; give six"),
        ({"cron": "0 0 0 30 2 *"}, "no such time comes"),
        ({"service_account": "My_Steps"}, "service_account='My_Steps': give a Kubernetes name"),
        ({"name": " "}, "name=' ': give 1 to 128 plain characters"),
        ({"experiment": ""}, "experiment='': give a name"),
        ({"crom": "x"}, "unknown field 'crom'; the fields are cron, enabled"),
        ({"store": "/data"}, "--store='/data': give s3://bucket/prefix"),
        ({"enabled": "yes"}, "enabled='yes': give a value of type bool"),
        ({"force": "yes"}, "force='yes': give a value of type bool"),
        ({"settings": {"train.epoch": 3}}, "did you mean train.epochs"),
        ({"pods": {"image": "mammogan:latest"}}, "pods.image='mammogan:latest': give it by digest"),
        ({"pods": {}}, "pods.image='': give the project's image by digest"),
        ({"preset": "papper"}, "preset='papper': choose one of"),
    ],
)
def test_a_wrong_entry_is_named_with_its_fix(write, change, message):
    path = write({**entry("weekly"), **change})
    with pytest.raises(ValueError, match=f"schedule .*: .*{message}"):
        read(path)


@pytest.mark.parametrize(
    "text", ["", "- a", "owner: a\nschedules: {}", "owner: a\nschedules: []\nmore: 1", "{: bad", "owner: a"]
)
def test_a_file_of_another_kind_is_refused(tmp_path, text):
    path = tmp_path / "schedules.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"--file=.*(give an owner and one list named schedules|no YAML)"):
        read(path)


def test_a_key_twice_is_refused(tmp_path):
    """YAML would take the last one without a word."""
    path = tmp_path / "schedules.yaml"
    path.write_text("owner: a\nschedules:\n- name: weekly\n  cron: '0 0 3 * * 1'\n  cron: '0 0 4 * * 1'\n")
    with pytest.raises(ValueError, match=r"it is no YAML.*cron stands 2 times in one place"):
        read(path)


def test_a_name_twice_is_refused(write):
    with pytest.raises(ValueError, match="'weekly' stands there 2 times"):
        read(write(entry("weekly"), entry("weekly")))


def test_an_empty_list_removes_all_but_an_empty_file_does_not(kubeflow, apply, tmp_path):
    apply(entry("weekly"))
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ValueError, match=r"\[\] removes all of the owner's"):
        read(tmp_path / "empty.yaml")
    assert apply() == ["remove weekly"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schedules: []", "no owner; say at its top whose schedules these are, such as 'owner: imaging-group'"),
        ("owner: 7\nschedules: []", "owner=7: give 1 to 63 letters"),
        ("owner: ''\nschedules: []", "owner='': give 1 to 63 letters"),
        ("owner: a;b\nschedules: []", "owner='a;b': give 1 to 63 letters"),
        (f"owner: {'a' * 64}\nschedules: []", "give 1 to 63 letters"),
    ],
)
def test_a_file_says_whose_it_is(tmp_path, text, message):
    path = tmp_path / "schedules.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read(path)


@pytest.fixture
def command(host, write):
    def run(*entries, more=(), owner=OWNER):
        path = write(*entries, owner=owner)
        return CliRunner().invoke(app, ["schedule", "--host", host, "--file", str(path), *more])

    return run


def diff(result):
    return [line for line in result.stdout.splitlines() if line[:2] in ("+ ", "- ", "~ ")]


def test_the_command_prints_the_diff(kubeflow, command):
    assert diff(command(entry("weekly"), more=["--dry-run"])) == ["+ create weekly (0 0 3 * * 1)"]
    assert not kubeflow.recurring
    assert "1 changes made, 1 schedules" in command(entry("weekly")).output
    changed = command(entry("weekly", cron="0 0 4 * * 1"))
    assert diff(changed) == ["~ replace weekly (0 0 4 * * 1): cron '0 0 3 * * 1' -> '0 0 4 * * 1'"]
    assert diff(command(entry("weekly", cron="0 0 4 * * 1"))) == []
    refused = command(entry("weekly", cron="often"))
    assert refused.exit_code == 2
    assert len(refused.output.strip().splitlines()) == 1


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_the_command_shows_the_next_times_and_what_five_fields_mean(command, more):
    result = command(entry("weekly", enabled=False), entry("odd", cron="0 3 * * 1"), more=more)
    weekly, odd = (line for line in result.stdout.splitlines() if line.startswith("  "))
    assert weekly.count("Mon 20") == weekly.count(" 03:00:00") == 3
    assert weekly.endswith(" UTC; switched off")
    assert odd.count("-01-01 0") == 3
    assert "minute 3, hour *, day *, month 1" in result.stderr
    assert "weekly" not in result.stderr


def test_a_change_is_printed_when_it_is_made_not_at_the_end(kubeflow, command):
    """Row 11: the second entry is refused by the server, the first was made and is told."""
    kubeflow.fail("POST", "recurringruns", 200, body={"recurring_run_id": "made elsewhere"})
    kubeflow.fail("POST", "recurringruns", 403)
    result = command(entry("first"), entry("second"))
    assert diff(result) == ["+ create first (0 0 3 * * 1)"]
    assert result.exit_code == 1
    assert "could not create schedule second" in result.stderr


# A run in flight.


def the_one(kubeflow):
    (identity,) = kubeflow.recurring
    return identity


def test_a_change_waits_for_the_run_in_flight(kubeflow, apply, capsys):
    apply(entry("weekly"))
    run_id = kubeflow.fire(the_one(kubeflow), looks=3)
    kubeflow.requests.clear()
    assert apply(entry("weekly", cron="0 0 9 * * *")) == ["replace weekly"]
    assert kubeflow.killed == []
    assert kubeflow.runs[run_id]["state"] == "SUCCEEDED"
    assert kubeflow.recurring[the_one(kubeflow)]["trigger"]["cron_schedule"]["cron"] == "0 0 9 * * *"
    asked = [(method, path.rpartition("/")[2].rpartition(":")[2]) for method, path in kubeflow.requests]
    disabled, created = asked.index(("POST", "disable")), asked.index(("POST", "recurringruns"))
    looks = [number for number, what in enumerate(asked) if what == ("GET", "runs")]
    assert disabled < looks[0] < looks[-1] < created
    stderr = capsys.readouterr().err
    assert f"to replace weekly, its run in flight {run_id} (RUNNING) is waited for; Ctrl-C leaves" in stderr


def test_a_removal_waits_too_and_an_idle_one_goes_meanwhile(kubeflow, apply, capsys):
    apply(entry("busy"), entry("idle"))
    busy = next(iter(kubeflow.recurring))
    kubeflow.fire(busy, looks=4)
    apply()
    assert kubeflow.killed == []
    assert kubeflow.recurring == {}
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == [
        "- remove idle (0 0 3 * * 1): not in the file",
        "- remove busy (0 0 3 * * 1): not in the file",
    ]


def test_switching_on_and_off_waits_for_nothing(kubeflow, apply):
    apply(entry("weekly"))
    kubeflow.fire(the_one(kubeflow))
    assert apply(entry("weekly", enabled=False)) == ["disable weekly"]
    assert apply(entry("weekly")) == ["enable weekly"]
    assert kubeflow.killed == []


def test_a_run_that_kubeflow_learns_of_late_is_seen(kubeflow, apply, monkeypatch):
    monkeypatch.setattr(reconciliation, "POLL_S", 0.05)
    monkeypatch.setattr(reconciliation, "SETTLE_S", 0.2)
    apply(entry("weekly"))
    kubeflow.fire(the_one(kubeflow), looks=2, unseen=2)
    apply(entry("weekly", cron="0 0 9 * * *"))
    assert kubeflow.killed == []


def test_ctrl_c_leaves_it_switched_off_and_the_same_command_goes_on(kubeflow, command, monkeypatch):
    command(entry("weekly"))
    old = the_one(kubeflow)
    run_id = kubeflow.fire(old)

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(reconciliation.time, "sleep", interrupt)
    result = command(entry("weekly", cron="0 0 9 * * *"))
    assert result.exit_code == 130
    assert "switched off until the change is made: weekly; the same command resumes" in result.stderr
    assert kubeflow.recurring[old]["mode"] == "DISABLE"
    assert the_one(kubeflow) == old
    monkeypatch.undo()
    kubeflow.runs[run_id]["state"] = "SUCCEEDED"
    monkeypatch.setattr(reconciliation, "SETTLE_S", 0.0)
    assert len(diff(command(entry("weekly", cron="0 0 9 * * *")))) == 1
    assert the_one(kubeflow) != old
    assert kubeflow.recurring[the_one(kubeflow)]["mode"] == "ENABLE"


def test_now_ends_the_run_before_it_replaces(kubeflow, command):
    command(entry("weekly"))
    run_id = kubeflow.fire(the_one(kubeflow))
    result = command(entry("weekly", cron="0 0 9 * * *"), more=["--now"])
    assert result.exit_code == 0, result.output
    assert f"run {run_id} was stopped: FAILED, terminated in Kubeflow" in result.stderr
    assert kubeflow.killed == []
    paths = [path for method, path in kubeflow.requests if method in ("POST", "DELETE")]
    (terminated,) = (number for number, path in enumerate(paths) if path.endswith(f"{run_id}:terminate"))
    (deleted,) = (number for number, path in enumerate(paths) if "/recurringruns/" in path and ":" not in path)
    assert terminated < deleted


def test_now_ends_the_record_in_mlflow_too(kubeflow, command, monkeypatch):
    """How a record is closed as KILLED is tested beside ``stop``; here, that it is asked for."""
    asked = []
    monkeypatch.setattr(reconciliation.termination, "stop", lambda _, *given: asked.append(given) or "stopped")
    command(entry("weekly"))
    run_id = kubeflow.fire(the_one(kubeflow))
    command(entry("weekly", cron="0 0 9 * * *"), more=["--now", "--tracking-uri", "http://mlflow:5000"])
    assert [given[:2] for given in asked] == [(run_id, "http://mlflow:5000")]


def test_now_goes_on_where_kubeflow_has_lost_the_workflow(kubeflow, apply, capsys):
    """Terminating it fails for ever; the person said that it may go."""
    apply(entry("weekly"))
    run_id = kubeflow.fire(the_one(kubeflow))
    kubeflow.fail("POST", "terminate", 500, times=99)
    assert apply(entry("weekly", cron="0 0 9 * * *"), now=True) == ["replace weekly"]
    assert kubeflow.killed == [run_id]
    assert "it goes with its schedule" in capsys.readouterr().err


def test_now_does_not_go_on_where_the_run_may_not_be_ended(kubeflow, apply):
    apply(entry("weekly"))
    kubeflow.fire(the_one(kubeflow))
    kubeflow.fail("POST", "terminate", 403)
    with pytest.raises(RefusedError, match="could not stop the run: this user may not"):
        apply(entry("weekly", cron="0 0 9 * * *"), now=True)
    assert kubeflow.killed == []
    assert len(kubeflow.recurring) == 1


def test_a_server_that_is_away_while_a_run_is_waited_for_is_waited_for(kubeflow, apply, capsys):
    apply(entry("weekly"))
    kubeflow.fire(the_one(kubeflow), looks=1)
    kubeflow.fail("GET", "v2beta1/runs", 502, times=12)
    assert apply(entry("weekly", cron="0 0 9 * * *")) == ["replace weekly"]
    assert kubeflow.killed == []
    assert "waiting for it" in capsys.readouterr().err


# Owners.


def test_two_owners_on_one_kubeflow_do_not_touch_each_other(kubeflow, host, apply):
    assert apply(entry("weekly"), entry("ours")) == ["create weekly", "create ours"]
    assert apply(entry("weekly", cron="0 0 5 * * *"), owner="radiology") == ["create weekly"]
    assert apply(entry("weekly"), entry("ours")) == []
    assert [have.name for have in listed(Server(host), "radiology")] == ["weekly"]
    assert apply(owner="radiology") == ["remove weekly"]
    assert sorted(item["display_name"] for item in kubeflow.recurring.values()) == ["ours", "weekly"]


def before_owners(kubeflow):
    for item in kubeflow.recurring.values():
        item["description"] = BEFORE_OWNERS


def test_what_was_made_before_owners_is_adopted_by_name_and_the_rest_left_alone_and_reported(kubeflow, apply, capsys):
    apply(entry("weekly"), entry("theirs"))
    before_owners(kubeflow)
    run_id = kubeflow.fire(next(iter(kubeflow.recurring)), looks=2)
    assert apply(entry("weekly")) == ["replace weekly"]
    assert kubeflow.runs[run_id]["state"] == "SUCCEEDED"
    output = capsys.readouterr()
    assert "~ replace weekly (0 0 3 * * 1): made before owners were recorded, adopted by imaging-group\n" in output.out
    assert "left alone, made before owners were recorded: theirs; a file that names one adopts it" in output.err
    descriptions = {item["display_name"]: item["description"] for item in kubeflow.recurring.values()}
    assert descriptions == {"weekly": describe(OWNER), "theirs": BEFORE_OWNERS}
    assert apply(entry("weekly")) == []


def test_the_recorded_entry_of_a_real_kubeflow_is_one_from_before_owners(kubeflow, host):
    (real,) = recorded("api", "recurring-list")["body"]["recurringRuns"]
    kubeflow.recurring[real["recurring_run_id"]] = real
    (have,) = listed(Server(host), OWNER)
    assert (have.name, have.owner, have.enabled) == ("idle", "", False)
    assert have.created_at.isoformat() == "2026-11-26T14:02:12+00:00"


def test_an_owner_is_read_back_as_it_was_written():
    assert mark(describe("a.b-c_9")).owner == "a.b-c_9"
    assert mark("mammogan").kind is Kind.FOREIGN
    assert mark("").kind is Kind.FOREIGN
    assert mark(describe("ab")) != mark(describe("a"))


def test_what_a_later_version_made_is_not_replaced(kubeflow, apply):
    apply(entry("weekly"))
    kubeflow.recurring[the_one(kubeflow)]["description"] = describe(OWNER).replace("v1", "v2")
    with pytest.raises(RuntimeError, match="schedule weekly: a later version of this project made it"):
        apply(entry("weekly"))
    assert apply(entry("weekly"), owner="radiology") == ["create weekly"]


# Lost answers, and what a dry run finds.


@pytest.mark.parametrize("loss", [{}, {"status": 503}, {"status": 504}, {"done": False}])
@pytest.mark.parametrize("times", [1, 2])
def test_a_creation_whose_answer_was_lost_is_looked_for_before_it_is_asked_for_again(kubeflow, apply, loss, times):
    kubeflow.lose("POST", "recurringruns$", times=times, **loss)
    assert apply(entry("weekly")) == ["create weekly"]
    assert len(kubeflow.recurring) == 1
    asked = kubeflow.requests.count(("POST", "/apis/v2beta1/recurringruns"))
    assert asked == (1 if loss.get("done", True) else times + 1)
    assert apply(entry("weekly")) == []


def test_what_was_made_but_is_found_late_is_removed_again(kubeflow, apply, monkeypatch):
    equal, looks = recurring._equal, iter(range(10**6))
    monkeypatch.setattr(recurring, "_equal", lambda *given: equal(*given) if next(looks) >= LOOKS else [])
    kubeflow.lose("POST", "recurringruns$")
    assert apply(entry("weekly")) == ["create weekly"]
    assert kubeflow.requests.count(("POST", "/apis/v2beta1/recurringruns")) == 2
    assert len(kubeflow.recurring) == 1


def test_a_removal_whose_answer_was_lost_is_done(kubeflow, apply):
    apply(entry("weekly"))
    kubeflow.lose("DELETE", "recurringruns")
    assert apply() == ["remove weekly"]
    assert kubeflow.recurring == {}


def test_another_owners_of_the_same_name_is_not_taken_for_the_lost_one(kubeflow, apply):
    apply(entry("weekly"), owner="radiology")
    kubeflow.lose("POST", "recurringruns$", done=False)
    apply(entry("weekly"))
    assert {item["description"] for item in kubeflow.recurring.values()} == {describe("radiology"), describe(OWNER)}


@dsl.component(base_image="python:3.11")
def smallest():
    pass


@pytest.mark.parametrize("dry_run", [True, False])
def test_arguments_that_the_pipeline_does_not_take_are_refused_before_anything_is_made(kubeflow, host, write, dry_run):
    @dsl.pipeline(name="mammogan")
    def other(trials: list[str], preset: str, needed: str):
        smallest()

    with pytest.raises(ValueError, match=r"schedule weekly: .* unknown: experiment, force, .*, missing: needed"):
        reconcile(Server(host), other, read(write(entry("weekly"))), dry_run=dry_run)
    assert kubeflow.requests == []


def test_an_archived_experiment_is_refused_by_a_dry_run_too(kubeflow, apply):
    kubeflow.keep(kubeflow.experiments, "experiment_id", {"display_name": "mammogan", "storage_state": "ARCHIVED"})
    for dry_run in (True, False):
        with pytest.raises(ValueError, match="archived"):
            apply(entry("weekly"), dry_run=dry_run)
    assert kubeflow.recurring == {}


def test_the_server_of_these_tests_is_strict():
    """A check that cannot fail is none: a field that the API does not know must be refused."""
    kubeflow = Kubeflow()
    with pytest.raises(Exception, match="unknown field 'cronn'"):
        kubeflow.create_recurring({}, {"trigger": {"cron_schedule": {"cronn": "x"}}})


@pytest.mark.parametrize("place", ["schedules", "settings", "owner", "name"])
def test_aliases_that_unfold_to_gigabytes_are_refused_at_once(tmp_path, place):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    bomb = "owner: {owner}\nschedules: {schedules}\n".format(
        owner="*a8" if place == "owner" else "me",
        schedules="*a8" if place == "schedules" else f"[{{{'name: *a8' if place == 'name' else 'settings: *a8'}}}]",
    )
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join([*lines, bomb]))
    with pytest.raises(ValueError, match=r"bomb\.yaml: it is no YAML \(its aliases unfold to more than 100000 values"):
        read(path)


@pytest.mark.parametrize("text", ["schedules: &a [*a]", "schedules: &a {x: *a}"])
def test_an_alias_within_itself_is_refused(tmp_path, text):
    (tmp_path / "loop.yaml").write_text(f"owner: me\n{text}\n")
    with pytest.raises(ValueError, match=r"loop\.yaml: it is no YAML \(its aliases unfold"):
        read(tmp_path / "loop.yaml")


def test_deep_nesting_is_refused_in_one_line(tmp_path):
    (tmp_path / "deep.yaml").write_text("owner: me\nschedules: " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ValueError, match=r"deep\.yaml: it is nested too deeply"):
        read(tmp_path / "deep.yaml")


def test_a_large_value_of_a_wrong_type_is_reported_in_short(tmp_path):
    (tmp_path / "long.yaml").write_text(f"owner: me\nschedules: [{{name: x, cron: [{', '.join(['y'] * 9999)}]}}]\n")
    with pytest.raises(ValueError, match=r"schedule x: cron=.*give a value of type str") as refused:
        read(tmp_path / "long.yaml")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "value", [":".join(["1"] * 20000), ":".join(["1"] * 20000) + ".5", "9" * 5000, "0x" + "f" * 20000, 2**53 + 1]
)
@pytest.mark.parametrize("text", ["owner: {}\nschedules: []\n", "owner: me\nschedules: [{{{}: x}}]\n",
                                  "owner: me\nschedules: [{{name: x, settings: {{train.epochs: {}}}}}]\n"])  # fmt: skip
def test_a_number_beyond_all_bounds_is_refused_in_one_line(tmp_path, text, value):
    (tmp_path / "number.yaml").write_text(text.format(value))
    with pytest.raises(ValueError, match=r"number\.yaml: it is no YAML \(") as refused:
        read(tmp_path / "number.yaml")
    assert len(str(refused.value)) < 600
    assert "\n" not in str(refused.value)


def test_aliases_that_save_typing_are_read(tmp_path):
    path, image = tmp_path / "shared.yaml", f"r/mammogan@sha256:{'0' * 64}"
    path.write_text(
        f"""owner: me
schedules:
- {{name: a, cron: 0 0 3 * * 1, source: s3://b/c, store: s3://b/s, pods: &pods {{image: '{image}'}}}}
- {{name: b, cron: 0 0 3 * * 2, source: s3://b/c, store: s3://b/s, pods: *pods}}
"""
    )
    assert [schedule.pods["image"] for schedule in read(path).schedules] == [image, image]


@pytest.mark.parametrize("value", ["!!bool 3", "!!int x", "!!float x", "!!timestamp 2026-13-99", "{<<: [1]}"])
def test_a_value_that_its_tag_does_not_admit_is_no_yaml(tmp_path, value):
    path = tmp_path / "schedules.yaml"
    path.write_text(f"owner: a\nschedules: []\nmore: {value}\n")
    with pytest.raises(ValueError, match=r"schedules\.yaml: it is no YAML"):
        entries.read(path)
