"""Whatever a gateway does: never two of anything, never a traceback, never a secret, and every wait comes back.

A third of all requests go wrong, at random: lost, refused, cut, late or hanging, before or after the server acted.
"""

import random
from dataclasses import replace

import pytest
from faulty import faulty
from kubeflow import Kubeflow, serve
from sequences import SECRET, Session

from mammogan.launch import following
from mammogan.launch import server as server_module
from mammogan.launch.arguments import graph_arguments
from mammogan.launch.following import termination, watch
from mammogan.launch.pods import Pods
from mammogan.launch.schedule import reconciliation
from mammogan.launch.server import Server, SignIn

PODS = Pods(image="registry.example.org/mammogan@sha256:" + "c" * 64)
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
        (termination, "GRACE_S", 0.0),
        (watch, "AWAY_S", 2.0),
        (reconciliation, "AWAY_S", 2.0),
        (reconciliation, "SETTLE_S", 0.02),
        (reconciliation, "POLL_S", 0.01),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")


class Double:
    """What the double holds; a test knows of one session on it alone."""

    def __init__(self, kubeflow, seed):
        self.kubeflow, self.rng = kubeflow, random.Random(seed)

    def names(self):
        places = (self.kubeflow.experiments, self.kubeflow.pipelines, self.kubeflow.versions)
        return [[item["display_name"] for item in place.values()] for place in places]

    def runs(self):
        return list(self.kubeflow.runs)

    def recurring(self):
        return [(item["display_name"], item["mode"] == "ENABLE") for item in self.kubeflow.recurring.values()]

    def let_end(self, run_id, stopped):
        self.kubeflow.script = [] if stopped else [self.rng.choice(["smoke-good", "smoke-failed", "terminated"])]

    def let_all_end(self):
        for run in self.kubeflow.runs.values():
            run["state"] = "SUCCEEDED"


def go_through(seed, capfd):
    kubeflow = Kubeflow(token=SECRET)
    defaults = graph_arguments("demo", {"lambdas": "0.5"}, source="s3://bucket/cbis", labels="s3://bucket/csv")
    with serve(kubeflow) as host, faulty(host, seed, patience_s=PATIENCE_S) as gateway:
        server = Server(gateway.address, sign_in=SignIn(token=SECRET))
        arguments = replace(defaults, store="s3://bucket/store")
        session = Session(Double(kubeflow, seed), server, arguments, PODS, seed, LONGEST_S, poll_s=0.01)
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
