"""Recurring runs become what the file says, from any state, in one pass."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kubeflow import Kubeflow
from mlflow import MlflowClient
from typer.testing import CliRunner
from walk import BEFORE, Walk

import pipeline
from launch.schedule import OWNED, Recurring, list_owned, plan, read, reconcile
from launch.server import RefusedError, Server
from mammogan import tracking
from mammogan.registry.versions import PARENT_RUN

FILE = Path(__file__).resolve().parents[2] / "k8s" / "schedules.yaml"
IMAGE = "registry.example.org/mammogan@sha256:" + "c" * 64

pytestmark = pytest.mark.usefixtures("quick")


def entry(name, cron="0 0 3 * * 1", **more):
    places = {"source": "s3://b/cbis", "labels": "s3://b/csv", "store": "s3://b/store"}
    return {"name": name, "cron": cron, **places, "pods": {"image": IMAGE, "accelerators": 0}, **more}


@pytest.fixture
def write(tmp_path):
    def write(*entries):
        path = tmp_path / "schedules.yaml"
        path.write_text(yaml.safe_dump({"schedules": list(entries)}))
        return path

    return write


@pytest.fixture
def apply(host, write):
    """Reconcile the server with these entries; the changes as text."""

    def apply(*entries, **options):
        changes = reconcile(Server(host), pipeline.experiment, read(write(*entries)), **options)
        return [f"{change.verb} {change.target.name}" for change in changes]

    return apply


# The plan, as a pure function.

names = st.sampled_from(["daily", "weekly", "monthly"])
wanted_ones = st.builds(
    Recurring,
    name=names,
    cron=st.sampled_from(["0 0 3 * * 1", "0 0 4 * * *"]),
    parameters=st.sampled_from([{"preset": "paper"}, {"preset": "modern"}]),
    pipeline_id=st.just("p"),
    version_id=st.sampled_from(["v1", "v2"]),
    experiment_id=st.just("e"),
    service_account=st.just("steps"),
    enabled=st.booleans(),
)


@st.composite
def present_ones(draw):
    found = draw(st.lists(wanted_ones, max_size=6))
    return [
        Recurring(**{**vars(item), "id": str(number), "max_concurrency": draw(st.sampled_from([1, 5]))})
        for number, item in enumerate(found)
    ]


fresh = itertools.count()


def carry_out(changes, present):
    """What the server holds afterwards."""
    state = {item.id: item for item in present}
    for change in changes:
        target = change.target
        if change.verb == "create":
            identity = f"made {next(fresh)}"
            state[identity] = Recurring(**{**vars(target), "id": identity})
        elif change.verb == "remove":
            del state[target.id]
        else:
            state[target.id] = Recurring(**{**vars(target), "enabled": change.verb == "enable"})
    return list(state.values())


def without_id(items):
    return sorted(({**vars(item), "id": ""} for item in items), key=lambda item: item["name"])


@given(st.lists(wanted_ones, max_size=3, unique_by=lambda item: item.name), present_ones())
def test_any_state_becomes_the_files_in_one_pass_and_the_second_does_nothing(wanted, present):
    after = carry_out(plan(wanted, present), present)
    assert without_id(after) == without_id(wanted)
    assert plan(wanted, after) == []


@given(st.lists(wanted_ones, max_size=3, unique_by=lambda item: item.name), present_ones(), st.data())
def test_a_pass_that_was_cut_short_is_finished_by_the_next_and_loses_no_schedule(wanted, present, data):
    changes = plan(wanted, present)
    cut = data.draw(st.integers(0, len(changes)))
    halfway = carry_out(changes[:cut], present)
    both = {item.name for item in wanted} & {item.name for item in present}
    assert both <= {item.name for item in halfway}
    after = carry_out(plan(wanted, halfway), halfway)
    assert without_id(after) == without_id(wanted)


@given(st.lists(wanted_ones, max_size=3, unique_by=lambda item: item.name))
def test_what_is_right_is_not_touched(wanted):
    present = [Recurring(**{**vars(item), "id": item.name}) for item in wanted]
    assert plan(wanted, present) == []


# The same against a server that speaks the API.


def test_create_replace_disable_enable_remove(kubeflow, apply):
    assert apply(entry("weekly"), entry("daily", cron="0 0 4 * * *")) == ["create weekly", "create daily"]
    assert apply(entry("weekly"), entry("daily", cron="0 0 4 * * *")) == []
    assert apply(entry("weekly"), entry("daily", cron="0 0 5 * * *")) == ["create daily", "remove daily"]
    assert apply(entry("weekly", enabled=False), entry("daily", cron="0 0 5 * * *")) == ["disable weekly"]
    assert apply(entry("weekly"), entry("daily", cron="0 0 5 * * *")) == ["enable weekly"]
    assert apply(entry("weekly")) == ["remove daily"]
    assert [item["display_name"] for item in kubeflow.recurring.values()] == ["weekly"]


def test_what_a_schedule_asks_of_kubeflow(kubeflow, apply):
    apply(entry("weekly", settings={"train.epochs": 7}, enabled=False))
    (made,) = kubeflow.recurring.values()
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert (made["max_concurrency"], made["no_catchup"], made["mode"]) == ("1", True, "DISABLE")
    assert made["service_account"] == "mammogan-steps"
    assert made["runtime_config"]["parameters"]["overrides"] == '{"train.epochs": 7}'
    version = kubeflow.versions[made["pipeline_version_reference"]["pipeline_version_id"]]
    assert "enableCache" not in str(version["pipeline_spec"]), "a scheduled run must look at the source again"


def test_a_run_gets_the_arguments_of_the_file(kubeflow, apply):
    apply(entry("weekly", preset="demo", settings={"lambdas": "3"}, experiment="trial"))
    (made,) = kubeflow.recurring.values()
    assert made["runtime_config"]["parameters"] == {
        "branches": ["lambda=3,seed=0"],
        "preset": "demo",
        "overrides": '{"lambdas": "3"}',
        "source": "s3://b/cbis",
        "labels": "s3://b/csv",
        "store": "s3://b/store",
        "experiment": "trial",
        "force": False,
    }
    assert kubeflow.experiments[made["experiment_id"]]["display_name"] == "trial"


def test_force_is_a_change_of_the_schedule(kubeflow, apply):
    apply(entry("weekly"))
    assert apply(entry("weekly", force=True)) == ["create weekly", "remove weekly"]
    (made,) = kubeflow.recurring.values()
    assert made["runtime_config"]["parameters"]["force"] is True


def test_an_account_that_kubeflow_chooses_is_no_difference(kubeflow, apply):
    assert apply(entry("weekly", service_account="")) == ["create weekly"]
    assert apply(entry("weekly", service_account="")) == []
    assert apply(entry("weekly", service_account="mine")) == ["create weekly", "remove weekly"]


@pytest.mark.long
def test_a_scheduled_run_stops_where_nothing_changed_unless_forced(kubeflow, apply, tmp_path, monkeypatch):
    """From the file to the step that decides, by the graph that was uploaded and the arguments that were stored."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MAMMOGAN_IMAGE", IMAGE)
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=":")
    client = MlflowClient()

    def tick(name, **changed):
        """One run of the schedule as far as its decision, and the id of its run in MLflow."""
        apply(entry("weekly", preset="demo", source="phantom", labels="", **changed))
        (made,) = kubeflow.recurring.values()
        version = kubeflow.versions[made["pipeline_version_reference"]["pipeline_version_id"]]
        folder = tmp_path / name
        folder.mkdir()
        arguments = made["runtime_config"]["parameters"]
        walk = Walk(version["pipeline_spec"]["pipeline_spec"], arguments, str(folder), folder, run_command)
        for step in BEFORE:
            walk.step(step, run=name)
        return walk.outputs["check-changes"], tracking.find_parent(name)

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
    assert apply(entry("weekly", pods=pods)) == ["create weekly", "remove weekly"]


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
    assert len(list_owned(Server(host))) == 5


def test_an_interrupted_pass_is_finished_by_the_next(kubeflow, apply):
    apply(entry("weekly"))
    kubeflow.fail("DELETE", "recurringruns", 403)
    with pytest.raises(RefusedError, match="could not remove schedule weekly: this user may not do that"):
        apply(entry("weekly", cron="0 0 9 * * *"))
    assert len(kubeflow.recurring) == 2
    assert apply(entry("weekly", cron="0 0 9 * * *")) == ["remove weekly"]
    (left,) = kubeflow.recurring.values()
    assert left["trigger"]["cron_schedule"]["cron"] == "0 0 9 * * *"
    assert left["description"] == OWNED


# The file.


def test_the_projects_own_file_is_valid_and_starts_nothing_by_itself():
    (weekly,) = read(FILE)
    assert not weekly.enabled


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cron": "0 3 * * 1"}, r"cron='0 3 \* \* 1': give six fields"),
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
def test_a_wrong_entry_is_named_with_its_mend(write, change, said):
    path = write({**entry("weekly"), **change})
    with pytest.raises(ValueError, match=f"schedule weekly: .*{said}"):
        read(path)


@pytest.mark.parametrize("text", ["", "- a", "schedules: {}", "schedules: []\nmore: 1", "{: bad"])
def test_a_file_of_another_kind_is_refused(tmp_path, text):
    path = tmp_path / "schedules.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"--file=.*(give one list named schedules|no YAML)"):
        read(path)


def test_a_name_twice_is_refused(write):
    with pytest.raises(ValueError, match="'weekly' stands there 2 times"):
        read(write(entry("weekly"), entry("weekly")))


def test_an_empty_list_removes_all_but_an_empty_file_does_not(kubeflow, apply, tmp_path):
    apply(entry("weekly"))
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ValueError, match=r"\[\] removes all"):
        read(tmp_path / "empty.yaml")
    assert apply() == ["remove weekly"]


def test_the_command_prints_the_diff(kubeflow, host, write):
    def run(path, *more):
        return CliRunner().invoke(pipeline.app, ["schedule", "--host", host, "--file", str(path), *more])

    assert "+ create weekly (0 0 3 * * 1)" in run(write(entry("weekly")), "--dry-run").stdout
    assert not kubeflow.recurring
    assert "1 changes made, 1 schedules" in run(write(entry("weekly"))).output
    changed = run(write(entry("weekly", cron="0 0 4 * * 1"))).stdout
    assert "+ create weekly (0 0 4 * * 1): cron '0 0 3 * * 1' -> '0 0 4 * * 1'" in changed
    assert "- remove weekly (0 0 3 * * 1): replaced" in changed
    assert run(write(entry("weekly", cron="0 0 4 * * 1"))).stdout == ""
    refused = run(write(entry("weekly", cron="often")))
    assert refused.exit_code == 2
    assert len(refused.output.strip().splitlines()) == 1


def test_the_server_of_these_tests_is_strict():
    """A check that cannot fail is none: a field that the API does not know must be refused."""
    kubeflow = Kubeflow()
    with pytest.raises(Exception, match="unknown field 'cronn'"):
        kubeflow.create_recurring({}, {"trigger": {"cron_schedule": {"cronn": "x"}}})
