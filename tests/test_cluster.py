"""What a step learns of its own run from Kubernetes, by recorded workflows of a real Argo behind a small API."""

import base64
import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mammogan import cluster
from mammogan.cluster import Presence, Right
from mammogan.document import Document
from mammogan.graph import Step
from mammogan.ledger import Entry, Fate, Ledger, State, Task
from mammogan.probe import rights

RECORDED = Path(__file__).parent / "launch" / "recorded" / "workflows"
WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows/"
PODS = "/api/v1/namespaces/kubeflow/pods/"
TASK = Task(Step.TRAIN, "lambda=3,seed=0")


def recorded(name):
    return json.loads((RECORDED / f"{name}.json").read_text())


@contextmanager
def serve(answers):
    """An API that knows the objects of ``answers`` by their path; a number instead of one is a refusal's status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers.get(self.path, 404)
            status, body = (answer, {"message": "no"}) if isinstance(answer, int) else (200, answer)
            assert self.headers["Authorization"] == "Bearer token"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def do_POST(self):
            """Grant what ``answers["granted"]`` holds of verb, group, resource and name."""
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["spec"]["resourceAttributes"]
            assert self.path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            assert self.headers["Authorization"] == "Bearer token"
            assert asked.pop("namespace") == "kubeflow"
            granted = answers.get("granted")
            self.send_response(201 if granted is not None else 403)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            allowed = granted is not None and Right(**asked) in granted
            self.wfile.write(json.dumps({"spec": {}, "status": {"allowed": allowed}}).encode())

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def api(tmp_path, monkeypatch):
    """Answers of the API around this process, which is taken to be a pod of namespace kubeflow."""
    from kubernetes import client, config

    (tmp_path / "namespace").write_text("kubeflow")
    (tmp_path / "token").write_text("token\n")
    answers = {}
    with serve(answers) as port:
        monkeypatch.setattr(cluster, "ACCOUNT", tmp_path)

        def load():
            settings = client.Configuration()
            settings.host = f"http://127.0.0.1:{port}"
            client.Configuration.set_default(settings)

        monkeypatch.setattr(config, "load_incluster_config", load)
        yield answers
    client.Configuration.set_default(None)


def ledger(pod):
    return Ledger({TASK: Entry(TASK, State.RUNNING, 1, pod=pod)})


def fate_of(api, name, pod=""):
    workflow = recorded(name)
    api[WORKFLOWS + "w"] = workflow
    return cluster.fate("kubeflow/w", ledger(pod))


def test_a_terminated_run_is_known_by_its_workflow(api):
    assert fate_of(api, "terminated").terminated is True
    assert fate_of(api, "train-pod-evicted").terminated is False
    assert fate_of(api, "nothing-to-train").terminated is False


def test_a_deleted_pod_is_reported_by_its_node(api):
    fate = fate_of(api, "train-pod-evicted", "mammogan-p0zgb-metadata-0-2-system-container-impl-242455134")
    assert fate.causes == {TASK: "its pod was deleted more often than a step is tried again"}


def test_a_pod_that_was_killed_for_memory_says_so_itself(api):
    ended = {"name": "main", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    sizes = [{"name": "wait"}, {"name": "main", "resources": {"limits": {"memory": "11Gi"}}}]
    api[PODS + "p-1"] = {"spec": {"containers": sizes}, "status": {"containerStatuses": [ended]}}
    reason = "out of memory: the kernel ended it at its limit of 11Gi"
    assert fate_of(api, "train-pod-evicted", "p-1").causes == {TASK: reason}
    api[PODS + "w-retry-system-container-impl-1849566795"] = api[PODS + "p-1"]
    assert fate_of(api, "smoke-retried-defaults-on").not_begun == f"fail: {reason}", "before it could say that it began"


def test_compressed_nodes_are_read_alike(api):
    workflow = recorded("train-pod-evicted")
    nodes = json.dumps(workflow["status"].pop("nodes")).encode()
    workflow["status"]["compressedNodes"] = base64.b64encode(gzip.compress(nodes)).decode()
    api[WORKFLOWS + "w"] = workflow
    fate = cluster.fate("kubeflow/w", ledger("mammogan-p0zgb-metadata-0-2-system-container-impl-242455134"))
    assert TASK in fate.causes


@pytest.mark.parametrize(
    ("packed", "largest"),
    [
        (gzip.compress(b"[" * 100_000), cluster.LARGEST_NODES),
        (gzip.compress(b"{"), cluster.LARGEST_NODES),
        (gzip.compress(b" " * 1000 + b'{"a": {}}'), 1000),
        (b"no gzip", cluster.LARGEST_NODES),
    ],
    ids=["nested", "half", "large", "other"],
)
def test_packed_nodes_that_are_no_run_s_are_none(monkeypatch, caplog, packed, largest):
    """A gigabyte of blanks is packed into 1 MB, and would be the step's memory."""
    monkeypatch.setattr(cluster, "LARGEST_NODES", largest)
    with caplog.at_level("INFO"):
        workflow = cluster._parse(Document({"status": {"compressedNodes": base64.b64encode(packed).decode()}}))
    assert workflow.nodes == {}
    assert "packed nodes cannot be read" in caplog.text


def test_the_reason_of_a_step_that_could_not_begin_names_it(api):
    assert fate_of(api, "smoke-retried-defaults-on").not_begun == "fail: main: Error (exit code 1)"
    assert fate_of(api, "nothing-to-train").not_begun == ""


@pytest.mark.parametrize(
    ("answer", "presence"),
    [("terminated", Presence.OVER), (404, Presence.GONE), (403, Presence.UNKNOWN), (500, Presence.UNKNOWN)],
)
def test_whether_a_workflow_is_still_there(api, answer, presence):
    api[WORKFLOWS + "w"] = recorded(answer) if isinstance(answer, str) else answer
    assert cluster.state_of("kubeflow/w") is presence


def test_a_workflow_that_runs_and_one_of_another_namespace(api):
    running = recorded("terminated")
    running["status"]["phase"] = "Running"
    api[WORKFLOWS + "w"] = running
    assert cluster.state_of("kubeflow/w") is Presence.RUNS
    assert cluster.state_of("elsewhere/w") is Presence.ELSEWHERE
    assert cluster.state_of("") is Presence.UNKNOWN


def test_who_may_not_ask_knows_nothing(api):
    api[WORKFLOWS + "w"] = 403
    assert cluster.fate("kubeflow/w", ledger("p")) == Fate()


def test_outside_a_cluster_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ACCOUNT", tmp_path / "none")
    assert cluster.fate("/mammogan-x", ledger("")) == Fate()
    assert cluster.own_workflow() == ""


def test_the_workflow_of_this_pod_is_known_by_its_label(api, monkeypatch):
    monkeypatch.setenv(cluster.POD, "p-1")
    api[PODS + "p-1"] = {"metadata": {"labels": {cluster.WORKFLOW_LABEL: "mammogan-x"}}}
    assert cluster.own_workflow() == "kubeflow/mammogan-x"


def test_an_account_with_every_right_passes(api):
    api["granted"] = set(rights.NEEDED)
    assert rights.probe() == "the pod's account may do all 6 things that a step's pod does"


@pytest.mark.parametrize("missing", rights.NEEDED, ids=str)
def test_a_right_that_is_missing_is_named(api, missing):
    api["granted"] = set(rights.NEEDED) - {missing}
    with pytest.raises(RuntimeError, match=rf"^the pod's account may not {missing}: .* apply k8s/steps in this namesp"):
        rights.probe()


def test_rights_that_nobody_tells_of_have_not_passed(api, monkeypatch, tmp_path):
    with pytest.raises(RuntimeError, match="Kubernetes cannot be asked from here"):
        rights.probe()  # the API refuses to say
    monkeypatch.setattr(cluster, "ACCOUNT", tmp_path / "nowhere")
    with pytest.raises(RuntimeError, match="Kubernetes cannot be asked from here"):
        rights.probe()
