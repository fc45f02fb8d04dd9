"""Preflight against a played kubectl: no cluster can be reached here, so a script answers from a file of answers."""

import json

import kubernetes_validate
import pytest
from typer.testing import CliRunner

import pipeline
from launch import preflight
from launch.pods import Pods
from launch.server import Server

IMAGE = "registry.example.org/mammogan@sha256:" + "c" * 64
PODS = Pods(image=IMAGE)

pytestmark = pytest.mark.usefixtures("quick")

PLAYER = """#!{python} -IS
import json, pathlib, sys
here = pathlib.Path(__file__).parent
arguments = [item for item in sys.argv[1:] if not item.startswith("--")]
with (here / "calls").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if arguments[0] == "create":
    (here / "pod.json").write_text(sys.stdin.read())
answers = json.loads((here / "answers.json").read_text())
for key, answer in answers.items():
    if " ".join(arguments).startswith(key):
        if isinstance(answer, str):
            sys.exit(answer)
        print(json.dumps(answer))
        break
"""


def api_server(tag, *variables):
    container = {"image": f"ghcr.io/kubeflow/kfp-api-server:{tag}", "env": list(variables)}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


NOT_PULLED = {"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "401"}}}]}}
READY = {
    "version": {"serverVersion": {"gitVersion": "v1.34.1"}},
    "get deployment ml-pipeline": api_server("2.17.0"),
    "get namespace mammogan": {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    "get serviceaccount mammogan-steps": {},
    "get configmap mammogan": {"data": {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}},
    "get secret mammogan-s3": {"data": {"AWS_ACCESS_KEY_ID": "c2VjcmV0", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}},
    "get storageclass": {
        "items": [
            {"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
        ]
    },
    "get nodes": {
        "items": [
            {"metadata": {"labels": {"pool": "gpu"}}, "status": {"allocatable": {"cpu": "8", "nvidia.com/gpu": "2"}}},
            {"metadata": {"labels": {}}, "status": {"allocatable": {"cpu": "8"}}},
        ]
    },
    "create": {},
    "delete": {},
    "get pod mammogan-preflight": {"status": {"phase": "Succeeded"}},
}


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Put a kubectl before the others that answers READY, but for what is given."""

    def play(**changes):
        import sys

        answers = READY | {key.replace("_", " "): value for key, value in changes.items()}
        answers |= changes.get("answers", {})
        (tmp_path / "answers.json").write_text(json.dumps(answers))
        script = tmp_path / "kubectl"
        script.write_text(PLAYER.replace("{python}", sys.executable))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return tmp_path

    monkeypatch.setattr(preflight, "POLL_S", 0.0)
    return play


def findings(host, pods=PODS):
    found = preflight.check(Server(host), pods, "mammogan", "mammogan-steps")
    return {item.what: item for item in found}


def test_a_ready_cluster_has_nothing_to_mend_and_keeps_no_pod(play, host):
    folder = play()
    found = findings(host)
    assert all(item.ok for item in found.values()), found
    assert found["Kubeflow"].said == "Kubeflow Pipelines 2.17"
    assert found["accelerators"].said == "2 x nvidia.com/gpu on 1 nodes"
    calls = [line.split()[0] for line in (folder / "calls").read_text().splitlines()]
    assert calls[-1] == "delete"
    assert "c2VjcmV0" not in str(found)


def test_the_probe_is_a_valid_pod_that_the_restricted_standard_admits(play, host):
    folder = play()
    findings(host, Pods(image=IMAGE, pull_secret="registry"))
    pod = json.loads((folder / "pod.json").read_text())
    kubernetes_validate.validate(pod, "1.34", strict=True)
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "mammogan", "NetworkPolicies find steps by it"
    assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false", "with a sidecar it would never end"


@pytest.mark.parametrize(
    ("what", "answers", "said"),
    [
        ("kubectl", {"version": {}}, "reaches no cluster; choose a context"),
        (
            "namespace",
            {"get namespace mammogan": "Error: not found"},
            "kubectl get namespace mammogan: Error: not found",
        ),
        ("service account", {"get serviceaccount mammogan-steps": "NotFound"}, "NotFound"),
        ("settings", {"get configmap mammogan": {"data": {}}}, "has no MLFLOW_TRACKING_URI; apply k8s/steps"),
        ("secrets", {"get secret mammogan-s3": {"data": {"AWS_ACCESS_KEY_ID": "x"}}}, "lacks AWS_SECRET_ACCESS_KEY"),
        ("storage", {"get storageclass": {"items": []}}, "no default StorageClass; make one the default"),
        ("accelerators", {"get nodes": {"items": []}}, "no node has 1 x nvidia.com/gpu; add one"),
        ("a step's pod", {"create": "violates PodSecurity"}, "violates PodSecurity"),
        (
            "a step's pod",
            {"get pod mammogan-preflight": {"status": {"phase": "Failed"}}},
            "does not reach MLflow; check",
        ),
        (
            "a step's pod",
            {
                "get pod mammogan-preflight": {
                    "status": {
                        "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "401"}}}]
                    }
                }
            },
            "ErrImagePull: 401; check --image, pull_secret",
        ),
    ],
)
def test_each_thing_that_is_wrong_is_told_alone_with_its_mend(play, host, what, answers, said):
    play(answers=answers)
    found = findings(host)
    assert not found[what].ok
    assert said in found[what].said
    assert [item.what for item in found.values() if not item.ok] == [what]


def test_a_pod_that_never_starts_is_given_up_and_removed(play, host, monkeypatch):
    folder = play(answers={"get pod mammogan-preflight": {"status": {"phase": "Pending"}}})
    monkeypatch.setattr(preflight, "PROBE_S", 0.2)
    assert "quota, taints or no node" in findings(host)["a step's pod"].said
    assert (folder / "calls").read_text().splitlines()[-1].startswith("delete pod")


@pytest.mark.parametrize(
    ("tag", "ok", "said"),
    [("2.5.0", False, "upgrade to 2.17"), ("3.0.1", True, "Pipelines 3.0"), ("main", True, "tells no version")],
)
def test_the_version_is_read_from_the_servers_image(play, host, tag, ok, said):
    play(answers={"get deployment ml-pipeline": api_server(tag)})
    found = findings(host)["Kubeflow"]
    assert found.ok is ok
    assert said in found.said


@pytest.mark.parametrize(
    ("variables", "ok", "said"),
    [
        ((), False, "kubectl set env -n kubeflow deployment/ml-pipeline ALLOWEDSERVICEACCOUNTS=mammogan-steps, or"),
        (({"name": "ALLOWEDSERVICEACCOUNTS", "value": "a"},), False, "ALLOWEDSERVICEACCOUNTS=a,mammogan-steps, or"),
        (({"name": "ALLOWEDSERVICEACCOUNTS", "value": "a, mammogan-steps"},), True, "role mammogan-submit"),
        (({"name": "ALLOWEDSERVICEACCOUNTS", "valueFrom": {}},), True, "see to it"),
    ],
)
def test_an_account_that_kubeflow_does_not_list_is_told(play, host, variables, ok, said):
    play(answers={"get deployment ml-pipeline": api_server("2.18.1", *variables)})
    found = findings(host)
    assert found["service account"].ok is ok
    assert said in found["service account"].said
    assert [item.what for item in found.values() if not item.ok] == ([] if ok else ["service account"])


def test_an_api_that_is_away_is_told(play, host, kubeflow):
    play()
    kubeflow.fail("GET", "healthz", 403)
    assert "could not reach Kubeflow Pipelines: this user may not" in findings(host)["Kubeflow"].said


def test_nodes_are_those_of_the_selector(play, host):
    play()
    assert findings(host, Pods(image=IMAGE, node_selector=("pool=gpu",)))["accelerators"].ok
    assert not findings(host, Pods(image=IMAGE, node_selector=("pool=a100",)))["accelerators"].ok
    assert findings(host, Pods(image=IMAGE, accelerators=0))["accelerators"].said == "none asked for"


def test_the_command_prints_all_and_fails_if_one_is_wrong(play, host):
    play()
    command = ["preflight", "--host", host, "--image", IMAGE]
    result = CliRunner().invoke(pipeline.app, command)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("ok ") == 9
    play(answers={"get storageclass": {"items": []}})
    result = CliRunner().invoke(pipeline.app, command)
    assert result.exit_code == 1
    assert "MEND storage: no default StorageClass" in result.stdout
