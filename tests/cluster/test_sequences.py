"""Whatever a gateway does: never two of anything, never a traceback, never a secret, and every wait comes back.

A third of all requests go wrong, at random: lost, refused, cut, late or hanging, before or after the server acted.
"""

import random
import time
from collections import Counter

import pytest
from faulty import faulty
from kubeflow import Kubeflow, serve

import pipeline
from launch import following, schedule
from launch import server as server_module
from launch.arguments import graph_arguments
from launch.following import termination, watch
from launch.pods import Pods
from launch.schedule import reconciliation
from launch.schedule.entries import File, Schedule
from launch.server import Server, SignIn
from launch.submit import submit

PODS = Pods(image="registry.example.org/mammogan@sha256:" + "c" * 64)
SECRET = "geheim-0123456789"
PATIENCE_S = 0.3
LONGEST_S = 60.0

pytestmark = pytest.mark.usefixtures("quick", "hurried")


@pytest.fixture
def hurried(monkeypatch):
    """The same patience as ever, in a fraction of the time."""
    for module, name, value in (
        (server_module, "CONNECT_S", PATIENCE_S),
        (server_module, "ANSWER_S", PATIENCE_S),
        (server_module, "PAUSE_S", 0.01),
        (following, "GRACE_S", 0.0),
        (following, "POLL_S", 0.01),
        (termination, "GRACE_S", 0.0),
        (termination, "POLL_S", 0.01),
        (watch, "AWAY_S", 2.0),
        (reconciliation, "AWAY_S", 2.0),
        (reconciliation, "SETTLE_S", 0.02),
        (reconciliation, "POLL_S", 0.01),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")


class Session:
    """A person who submits, follows, stops and schedules through the gateway, and what came of it."""

    def __init__(self, kubeflow, address, seed):
        self.kubeflow, self.rng, self.seed = kubeflow, random.Random(seed), seed
        self.server = Server(address, sign_in=SignIn(token=SECRET))
        found = graph_arguments("demo", {"lambdas": "0.5"}, source="s3://bucket/cbis", labels="s3://bucket/csv")
        self.arguments = {**found, "store": "s3://bucket/store"}
        self.runs, self.said = [], []

    def act(self, capfd):
        """One command; what it raised, in words."""
        command = self.rng.choice([self.submit, self.submit, self.follow, self.stop, self.schedule, self.schedule])
        before, began = len(self.kubeflow.runs), time.monotonic()
        told = ""
        try:
            command()
        except (RuntimeError, ValueError) as error:
            told = str(error)
        assert "\n" not in told, told
        took_s = time.monotonic() - began
        assert took_s < LONGEST_S, f"{command.__name__} took {took_s:.0f} s"
        shown = told + "".join(capfd.readouterr())
        assert SECRET not in shown
        assert "Traceback" not in shown
        made = len(self.kubeflow.runs) - before
        assert made <= (command == self.submit), f"{command.__name__} made {made} runs"
        if command == self.submit and not told:
            assert made == 1
        self.never_two()

    def never_two(self):
        kubeflow = self.kubeflow
        for place in (kubeflow.experiments, kubeflow.pipelines, kubeflow.versions):
            names = Counter(item["display_name"] for item in place.values())
            assert not [name for name, count in names.items() if count > 1], names
        entries = Counter(item["display_name"] for item in kubeflow.recurring.values() if item["mode"] == "ENABLE")
        assert not [name for name, count in entries.items() if count > 1], entries

    def submit(self):
        self.runs.append(submit(self.server, pipeline.experiment, self.arguments, PODS))

    def follow(self):
        self.kubeflow.script = [self.rng.choice(["smoke-good", "smoke-failed", "terminated"])]
        if self.runs:
            following.follow(self.server, self.rng.choice(self.runs), poll_s=0.01)

    def stop(self):
        self.kubeflow.script = []
        if self.runs:
            termination.stop(self.server, self.rng.choice(self.runs), poll_s=0.01)

    def schedule(self):
        names = self.rng.sample(["daily", "weekly", "monthly"], self.rng.randrange(4))
        entries = [self.entry(name) for name in names]
        now = self.rng.random() < 0.5
        for run in self.kubeflow.runs.values():
            run["state"] = "SUCCEEDED"  # nothing in flight that would have to be waited for
        schedule.reconcile(self.server, pipeline.experiment, File("imaging", entries), now=now, show=lambda _: None)
        made = sorted(item["display_name"] for item in self.kubeflow.recurring.values())
        assert made == sorted(names), "what an earlier command left half done is mended by one that says it is through"

    def entry(self, name):
        return Schedule(
            name=name,
            cron=self.rng.choice(["0 0 3 * * 1", "@daily"]),
            store="s3://bucket/store",
            source="s3://bucket/cbis",
            labels="s3://bucket/csv",
            pods={"image": PODS.image},
            enabled=self.rng.random() < 0.7,
        )


def go_through(seed, capfd):
    kubeflow = Kubeflow(token=SECRET)
    with serve(kubeflow) as host, faulty(host, seed, patience_s=PATIENCE_S) as gateway:
        session = Session(kubeflow, gateway.address, seed)
        for _ in range(6):
            session.act(capfd)


@pytest.mark.parametrize("seed", range(12))
def test_a_random_sequence(seed, capfd):
    go_through(seed, capfd)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(0, 200, 20))
def test_two_hundred_random_sequences(first, capfd):
    for seed in range(first, first + 20):
        go_through(seed, capfd)
