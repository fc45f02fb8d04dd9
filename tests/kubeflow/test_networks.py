"""The random sequences of tests/launch against a real Kubeflow: hours, and hundreds of runs that are stopped at once.

``KUBEFLOW_HOST=... python -m pytest tests/kubeflow/test_networks.py -m long``, with the variables that
``make test-kubeflow`` sets. The image may be one whose steps fail at once.
"""

import contextlib
import threading
from dataclasses import replace

import pytest
from faulty import faulty
from sequences import SECRET, Session

from mammogan.launch import following, schedule
from mammogan.launch import server as server_module
from mammogan.launch.arguments import graph_arguments
from mammogan.launch.following import termination, watch
from mammogan.launch.pods import Pods
from mammogan.launch.schedule import reconciliation, recurring
from mammogan.launch.schedule.entries import File
from mammogan.launch.server import RefusedError, Server, SignIn

pytestmark = [pytest.mark.kubeflow, pytest.mark.long, pytest.mark.timeout(12 * 3600)]

PATIENCE_S = 8.0
"""A gateway that hangs does so for one and a half times as long."""
LONGEST_S = 900.0
SEQUENCES, EACH = 200, 5


@pytest.fixture
def hurried(monkeypatch):
    """Less patience, as each lost answer costs it."""
    for module, name, value in (
        (server_module, "CONNECT_S", PATIENCE_S),
        (server_module, "ANSWER_S", PATIENCE_S),
        (server_module, "PAUSE_S", 0.2),
        (following, "GRACE_S", 2.0),
        (termination, "GRACE_S", 2.0),
        (watch, "AWAY_S", 60.0),
        (reconciliation, "AWAY_S", 60.0),
        (reconciliation, "SETTLE_S", 3.0),
        (reconciliation, "POLL_S", 1.0),
    ):
        monkeypatch.setattr(module, name, value)


class Real:
    """What a real Kubeflow holds, seen past the gateway; one session after the other in one experiment."""

    def __init__(self, cluster, seed):
        self.cluster, self.server, self.owner = cluster, cluster.server, f"imaging-{seed}"

    def names(self):
        listing = self.server.experiments.experiment_service_list_experiments
        experiments = self.server.all_items("list experiments", listing, "experiments", **self.server.scope())
        pipelines = self.server.pipelines.pipeline_service_list_pipelines
        return [
            [item.display_name for item in experiments],
            [item.display_name for item in self.server.all_items("list pipelines", pipelines, "pipelines")],
            list(self.cluster.versions().values()),
        ]

    def runs(self):
        return [run.run_id for run in self.cluster.runs()]

    def recurring(self):
        return [(have.name, have.enabled) for have in recurring.listed(self.server, self.owner)]

    def let_end(self, run_id, stopped):
        if not stopped:  # somebody else ends it while it is followed
            other = Server(self.cluster.host, self.cluster.namespace)
            threading.Timer(2.0, other.terminate, [run_id]).start()

    def let_all_end(self):
        pass  # none of its schedules has fired


def go_through(cluster, seed, capfd):
    given = SignIn.from_environment()
    carried = "; ".join(part for part in (given.cookie, f"secret={SECRET}") if part)
    defaults = graph_arguments("demo", {"lambdas": "0.5"}, source="s3://bucket/cbis", labels="s3://bucket/csv")
    arguments = replace(defaults, store="s3://bucket/store", experiment=cluster.name)
    world = Real(cluster, seed)
    with faulty(cluster.host, seed, patience_s=PATIENCE_S) as gateway:
        server = Server(gateway.address, cluster.namespace, SignIn(given.token, carried, given.user))
        session = Session(world, server, arguments, Pods(cluster.image, accelerators=0), seed, LONGEST_S, poll_s=1.0)
        did = [session.act(capfd) for _ in range(6)]
    nothing = File(world.owner, [])
    schedule.reconcile(cluster.server, None, nothing, now=True, show=lambda _: None)
    for run in cluster.runs():  # a listing holds all of each run, so that many of them would outlast its patience
        cluster.server.terminate(run.run_id)
        with contextlib.suppress(RefusedError):  # where a slow first request has removed it
            cluster.server.call("delete the run", cluster.server.runs.run_service_delete_run, run.run_id)
    return did


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("first", range(0, SEQUENCES, EACH))
def test_random_sequences(cluster, first, capfd):
    if cluster.host.startswith("https"):
        pytest.skip("the gateway speaks no TLS; name a port-forward")
    for seed in range(first, first + EACH):
        did = go_through(cluster, seed, capfd)
        with capfd.disabled():
            print(
                f"\n{seed}: " + "; ".join(f"{command}{': ' + error[:160] if error else ''}" for command, error in did)
            )
