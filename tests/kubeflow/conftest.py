"""A real Kubeflow, named by the variables that ``make test-kubeflow`` sets; nothing here pretends to be one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from quick_run import QUICK

from mammogan import storage, tracking
from mammogan.launch import submit
from mammogan.launch.server import RefusedError, Server, reach
from mammogan.tracking.server import KIND, PARENT, find_runs

ROOT = Path(__file__).resolve().parents[2]
RUN_ID = re.compile(r"run ([0-9a-f]{8}-[0-9a-f-]{27})")
ANSWER_S = 3600
"""Longest that a toy run may take; each of its dozen pods may have to pull the image first."""
ROWS, LEFT = pytest.StashKey[list](), pytest.StashKey[list]()


@dataclass
class Command:
    """``mammogan ...`` under way, its output in a file."""

    process: subprocess.Popen
    path: Path

    @property
    def output(self):
        return self.path.read_text(errors="replace")

    def run_id(self):
        """Kubeflow's id of the run that it started."""
        return self.until(RUN_ID)[1]

    def until(self, pattern, timeout_s=ANSWER_S):
        """Match of a pattern in what it says, waited for."""
        deadline = time.monotonic() + timeout_s
        while not (match := re.search(pattern, self.output)):
            assert self.process.poll() is None, f"it ended before it said {pattern}:\n{self.output[-3000:]}"
            assert time.monotonic() < deadline, f"it never said {pattern}:\n{self.output[-3000:]}"
            time.sleep(1)
        return match

    def ended(self, timeout_s=ANSWER_S):
        """Its exit status; its last line is ``last``."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:  # whose text is the whole command
            pytest.fail(f"no end after {timeout_s} s: {self.output[-3000:]}", pytrace=False)

    @property
    def last(self):
        return next((line for line in reversed(self.output.splitlines()) if line.strip()), "")


@dataclass
class Cluster:
    """The installation under test, and the names under which this session leaves traces there."""

    host: str
    image: str
    store: str
    namespace: str
    tracking_uri: str
    options: list[str]
    folder: Path
    server: Server
    commands: list[Command] = field(default_factory=list)
    name: str = field(default_factory=lambda: f"acceptance-{uuid.uuid4().hex[:8]}")

    def command(self, verb, *words):
        """Start a command; the sign-in is the environment's."""
        given = [verb, *words, "--host", self.host, *(["--namespace", self.namespace] if self.namespace else [])]
        path = self.folder / f"{len(list(self.folder.iterdir()))}-{verb}.log"
        with path.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mammogan", *given],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "MLFLOW_TRACKING_URI": self.tracking_uri},  # a sign-in in it is nobody's to read
            )
        self.commands.append(Command(process, path))
        return self.commands[-1]

    def settings(self, **changes):
        """Settings of a toy run of this session."""
        return {**QUICK, "select.model_name": self.name, **changes}

    def submit(self, *, source="phantom", **changes):
        """Start a toy run and follow it."""
        sets = [word for name, value in self.settings(**changes).items() for word in ("--set", f"{name}={value}")]
        given = ["--preset", "demo", "--source", source, "--store", self.store, "--image", self.image]
        given += ["--experiment", self.name, "--wait", *self.options, *sets]
        return self.command("submit", *given)

    def schedule_file(self, cron):
        """A file with one entry, of this session as its owner; with none where ``cron`` is empty."""
        pods = dict(option.split("=", 1) for option in self.options[1::2] if "=" in option)
        entry = {
            "name": self.name, "cron": cron, "preset": "demo", "source": "phantom", "store": self.store,
            "experiment": self.name, "settings": self.settings(), "pods": {"image": self.image, **pods},
        }  # fmt: skip
        path = self.folder / f"schedules-{uuid.uuid4().hex[:8]}.yaml"
        path.write_text(yaml.safe_dump({"owner": self.name, "schedules": [entry] if cron else []}))
        return str(path)

    def mlflow(self):
        return tracking.client(self.tracking_uri)

    def parent(self, run_id):
        """The parent run in MLflow of Kubeflow's run."""
        parent_id = tracking.find_parent(run_id, self.tracking_uri)
        assert parent_id, f"run {run_id} never opened its run in MLflow"
        return self.mlflow().get_run(parent_id)

    def children(self, parent):
        return find_runs(self.mlflow(), [parent.info.experiment_id], {PARENT: parent.info.run_id, KIND: "trial"})

    def runs(self):
        """Kubeflow's runs of this session, oldest first."""
        experiment_id = submit.find_experiment(self.server, self.name)
        listing = self.server.runs.run_service_list_runs
        runs = self.server.all_items("list runs", listing, "runs", experiment_id=experiment_id) if experiment_id else ()
        return sorted(runs, key=lambda run: run.created_at)

    def clean_up(self, versions):
        """Remove what this session made; returns what could not be removed."""
        for command in self.commands:
            command.process.kill()
            command.process.wait()
        left = []
        for what, action in (
            ("its schedules", self._remove_schedules),
            ("its runs in Kubeflow", self._remove_runs),
            ("its pipeline versions", lambda: self._remove_versions(versions)),
            ("its runs and its model in MLflow", self._remove_records),
            (f"the files below {self.store}", self._remove_files),
        ):
            try:
                action()
            except Exception as error:  # whatever fails, the rest is still removed
                reason = next(iter(str(error).splitlines()), "")[:150]
                left.append(f"{what} ({type(error).__name__}: {reason})")
        return left

    def _remove_schedules(self):
        assert self.command("schedule", "--file", self.schedule_file(""), "--now").ended(900) == 0

    def _remove_runs(self):
        for run in self.runs():
            if run.state in ("RUNNING", "PENDING"):
                self.server.terminate(run.run_id)
            self.server.call("delete the run", self.server.runs.run_service_delete_run, run.run_id)
        if experiment_id := submit.find_experiment(self.server, self.name):
            deleting = self.server.experiments.experiment_service_delete_experiment
            self.server.call("delete the experiment", deleting, experiment_id)

    def versions(self):
        """Every version of this project's pipeline: its name by its id and its pipeline's."""
        pipelines = self.server.pipelines
        names = {}
        for pipeline in self.server.all_items("list pipelines", pipelines.pipeline_service_list_pipelines, "pipelines"):
            listing_versions = pipelines.pipeline_service_list_pipeline_versions
            if pipeline.display_name == "mammogan":
                listed = self.server.all_items(
                    "list versions", listing_versions, "pipeline_versions", pipeline_id=pipeline.pipeline_id
                )
                names |= {(pipeline.pipeline_id, item.pipeline_version_id): item.display_name for item in listed}
        return names

    def _remove_versions(self, before):
        """Those that this session's commands named, were not there before, and no schedule of anybody names."""
        ours = {name for command in self.commands for name in re.findall(r"of version (\S+)", command.output)}
        listing = self.server.recurring.recurring_run_service_list_recurring_runs
        used = {
            entry.pipeline_version_reference.pipeline_version_id
            for entry in self.server.all_items("list schedules", listing, "recurring_runs", **self.server.scope())
        }
        for (pipeline, version), name in self.versions().items():
            if name in ours and (pipeline, version) not in before and version not in used:
                deleting = self.server.pipelines.pipeline_service_delete_pipeline_version
                self.server.call("delete the version", deleting, pipeline, version)

    def _remove_records(self):
        client = self.mlflow()
        if client.search_registered_models(f"name = '{self.name}'"):
            client.delete_registered_model(self.name)
        if experiment := client.get_experiment_by_name(self.name):
            for run in client.search_runs([experiment.experiment_id]):
                client.delete_run(run.info.run_id)
            client.delete_experiment(experiment.experiment_id)

    def _remove_files(self):
        for name in storage.list_files(self.store):
            storage.remove(storage.join(self.store, name))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory, request):
    given = {name: os.environ.get(f"KUBEFLOW_{name}", "") for name in ("HOST", "IMAGE", "STORE", "TRACKING_URI")}
    if missing := [name for name, value in given.items() if not value]:
        pytest.skip(f"no cluster was named: make test-kubeflow {' '.join(f'{name}=...' for name in missing)}")
    namespace = os.environ.get("KUBEFLOW_NAMESPACE", "")
    options = [word for item in os.environ.get("KUBEFLOW_POD_SETTINGS", "").split() for word in ("--pods", item)]
    options = options or ["--pods", "accelerators=0"]
    with reach(given["HOST"], namespace) as server:
        real_cluster = Cluster(
            server.host, given["IMAGE"], given["STORE"], namespace, given["TRACKING_URI"], options,
            tmp_path_factory.mktemp("kubeflow"), server,
        )  # fmt: skip
        real_cluster.store = storage.join(real_cluster.store, real_cluster.name)
        try:
            before = real_cluster.versions()
        except RefusedError as refusal:
            pytest.fail(str(refusal), pytrace=False)
        yield real_cluster
        os.environ.setdefault("MAMMOGAN_PATIENCE_S", "10")
        request.config.stash[LEFT] = real_cluster.clean_up(before)


@pytest.fixture
def row(request, cluster):
    """Note what one case showed, for the table at the end."""

    def note(case, command, text=""):
        rows = request.config.stash.setdefault(ROWS, [])
        rows.append((case, command.process.returncode, text or command.last))

    return note


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(ROWS, [])
    if rows:
        terminalreporter.section("the cluster")
        for case, code, text in rows:
            terminalreporter.write_line(f"{case:<20} exit {code!s:<4} {text[:200]}")
    for left in config.stash.get(LEFT, []):
        terminalreporter.write_line(f"left behind: {left}")
