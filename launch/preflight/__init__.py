"""Whether a cluster is ready for a run, found out in a minute instead of by the first failed step.

Reads with kubectl, asks Kubeflow for its version, and starts one small pod with a step's settings, which must be
admitted, scheduled and pulled, and reach MLflow from inside. Each finding that is wrong says what to do.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from launch import compiled
from launch.pods import USER
from launch.server import RefusedError

if TYPE_CHECKING:
    from launch.pods import Pods
    from launch.server import Server

OLDEST_KUBEFLOW = (2, 17)
LISTS_ACCOUNTS = (2, 18)
"""From then on only accounts that the API server's setting below lists may run pods (kubeflow/pipelines#14181)."""
ACCOUNTS = "ALLOWEDSERVICEACCOUNTS"
PROBE = "mammogan-preflight"
PROBE_S = 300
POLL_S = 2.0
ASK_MLFLOW = (
    "import os, urllib.request; urllib.request.urlopen(os.environ['MLFLOW_TRACKING_URI'] + '/health', timeout=30)"
)
_PULL_FAILED = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    said: str
    """What was found, and if it is wrong what to do."""


def check(server: Server, pods: Pods, namespace: str, service_account: str) -> list[Finding]:
    """Every finding, in the order in which one would mend them."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("kubectl", lambda: _cluster()),
        ("Kubeflow", lambda: _kubeflow(server)),
        ("namespace", lambda: _namespace(namespace)),
        ("service account", lambda: _service_account(namespace, service_account)),
        ("settings", lambda: _settings(namespace, pods)),
        ("secrets", lambda: _secrets(namespace, pods)),
        ("storage", lambda: _storage()),
        ("accelerators", lambda: _accelerators(pods)),
        ("a step's pod", lambda: _probe(namespace, service_account, pods)),
    ]
    return [_finding(what, look) for what, look in checks]


def _finding(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (LookupError, RefusedError) as error:
        return Finding(what, False, str(error.args[0]))


def kubectl(*arguments: str, stdin: str = "") -> dict[str, Any]:
    """What kubectl answers as JSON. Raises LookupError with kubectl's own words."""
    try:
        done = subprocess.run(  # noqa: S603  (kubectl, with arguments of ours)
            ["kubectl", *arguments, "--output=json"],  # noqa: S607
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except FileNotFoundError as error:
        raise LookupError("kubectl is not installed; install it and point it at the cluster") from error
    except subprocess.TimeoutExpired as error:
        raise LookupError("kubectl had no answer in a minute; check the way to the cluster") from error
    if done.returncode:
        raise LookupError(f"kubectl {' '.join(arguments[:3])}: {' '.join(done.stderr.split())[:300]}")
    return json.loads(done.stdout or "{}")


def _cluster() -> str:
    version = kubectl("version").get("serverVersion", {}).get("gitVersion")
    if not version:
        raise LookupError("kubectl reaches no cluster; choose a context with kubectl config use-context")
    return f"Kubernetes {version}"


def _kubeflow(server: Server) -> str:
    """The API answers, and its image's tag is its version, which the API itself does not tell."""
    server.call("reach Kubeflow Pipelines", server.health.healthz_service_get_healthz)
    image = _api_server()["image"]
    version = _version(image)
    if not version:
        return f"its image {image} tells no version: it must be {_dotted(OLDEST_KUBEFLOW)} or later"
    if version < OLDEST_KUBEFLOW:
        raise LookupError(f"{image} is too old: upgrade to {_dotted(OLDEST_KUBEFLOW)} or later")
    return f"Kubeflow Pipelines {_dotted(version)}"


def _api_server() -> dict[str, Any]:
    """Container of Kubeflow Pipelines' API server."""
    deployment = kubectl("get", "deployment", "ml-pipeline", "--namespace", "kubeflow")
    return deployment["spec"]["template"]["spec"]["containers"][0]


def _version(image: str) -> tuple[int, ...]:
    """Major and minor version by an image's tag; empty if that tells none."""
    match = re.search(r":v?(\d+)\.(\d+)", image)
    return (int(match[1]), int(match[2])) if match else ()


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _namespace(namespace: str) -> str:
    found = kubectl("get", "namespace", namespace)
    level = found["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce", "no level")
    return f"{namespace}, Pod Security {level}"


def _service_account(namespace: str, name: str) -> str:
    """It is there, and Kubeflow lets runs use it; no name leaves the choice to Kubeflow."""
    if not name:
        return "Kubeflow's own choice"
    kubectl("get", "serviceaccount", name, "--namespace", namespace)
    container = _api_server()
    if _version(container["image"]) < LISTS_ACCOUNTS:
        return name
    listed = next((item for item in container.get("env", ()) if item["name"] == ACCOUNTS), {})
    if "valueFrom" in listed:
        return f"{name}; see to it that it stands in what {ACCOUNTS} of deployment ml-pipeline is taken from"
    if name not in re.split(r"[,\s]+", listed.get("value", "")):
        raise LookupError(
            f"Kubeflow does not let runs use {name}: kubectl set env -n kubeflow deployment/ml-pipeline "
            f"{ACCOUNTS}={','.join(filter(None, (listed.get('value'), name)))}, or submit with --service-account ''"
        )
    return f"{name}, which Kubeflow lists; who submits needs role mammogan-submit"


def _settings(namespace: str, pods: Pods) -> str:
    data = kubectl("get", "configmap", pods.settings, "--namespace", namespace).get("data", {})
    for key in compiled.REQUIRED_SETTINGS:
        if not data.get(key):
            raise LookupError(f"ConfigMap {pods.settings} has no {key}; apply k8s/steps")
    return ", ".join(f"{key}={value}" for key, value in sorted(data.items()))


def _secrets(namespace: str, pods: Pods) -> str:
    """Only the names of the keys are looked at."""
    data = kubectl("get", "secret", pods.s3_secret, "--namespace", namespace).get("data", {})
    missing = [key for key in compiled.S3_KEYS if key not in data]
    if missing:
        raise LookupError(f"Secret {pods.s3_secret} lacks {', '.join(missing)}; see k8s/secrets.template.yaml")
    return f"{pods.s3_secret} has {', '.join(compiled.S3_KEYS)}"


def _storage() -> str:
    found = kubectl("get", "storageclass")["items"]
    key = "storageclass.kubernetes.io/is-default-class"
    default = [item for item in found if item["metadata"].get("annotations", {}).get(key) == "true"]
    if not default:
        raise LookupError("no default StorageClass; make one the default, or name one in k8s/base/postgres.yaml")
    return f"default StorageClass {default[0]['metadata']['name']}"


def _accelerators(pods: Pods) -> str:
    if not pods.accelerators:
        return "none asked for"
    nodes = kubectl("get", "nodes")["items"]
    selector = dict(item.split("=", 1) for item in pods.node_selector)
    chosen = [node for node in nodes if selector.items() <= node["metadata"].get("labels", {}).items()]
    having = [int(node["status"]["allocatable"].get(pods.accelerator, 0)) for node in chosen]
    if max(having, default=0) < pods.accelerators:
        raise LookupError(
            f"no node has {pods.accelerators} x {pods.accelerator}; add one or install its device plugin, "
            "or compile with --pods accelerators=0 (a node pool that scales from zero shows none until it is needed)"
        )
    return f"{sum(having)} x {pods.accelerator} on {sum(1 for count in having if count)} nodes"


def _probe(namespace: str, service_account: str, pods: Pods) -> str:
    """Start a pod like a step's, wait for its end, remove it."""
    if not pods.image:
        raise LookupError("no --image was given: pull and way to MLflow were not tried")
    delete = ("delete", "pod", PROBE, "--namespace", namespace, "--ignore-not-found", "--wait=true")
    _run_quietly(delete)
    kubectl("create", "--namespace", namespace, "--filename=-", stdin=json.dumps(_pod(service_account, pods)))
    try:
        return _wait(namespace)
    finally:
        _run_quietly(delete)


def _run_quietly(arguments: Sequence[str]) -> None:
    subprocess.run(["kubectl", *arguments], capture_output=True, timeout=120)  # noqa: S603, S607


def _pod(service_account: str, pods: Pods) -> dict[str, Any]:
    sources = [{"configMapRef": {"name": pods.settings}}, {"secretRef": {"name": pods.s3_secret, "optional": True}}]
    size = {"cpu": "500m", "memory": "1Gi"}
    container = {
        "name": "probe",
        "image": pods.image,
        "command": ["python3", "-c", ASK_MLFLOW],
        "envFrom": sources,
        "resources": {"requests": size, "limits": size},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    user = {"runAsUser": USER, "runAsGroup": 0, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": service_account,
        "securityContext": user,
        "containers": [container],
    }
    if pods.pull_secret:
        spec["imagePullSecrets"] = [{"name": pods.pull_secret}]
    labels = {"app.kubernetes.io/name": "mammogan", "app.kubernetes.io/component": "preflight"}
    labels["sidecar.istio.io/inject"] = "false"  # as Kubeflow does for a step's: a sidecar would never end
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": PROBE, "labels": labels}, "spec": spec}


def _wait(namespace: str) -> str:
    deadline = time.monotonic() + PROBE_S
    while time.monotonic() < deadline:
        status = kubectl("get", "pod", PROBE, "--namespace", namespace)["status"]
        if status.get("phase") == "Succeeded":
            return "admitted, pulled, and it reaches MLflow"
        if status.get("phase") == "Failed":
            raise LookupError(
                "it does not reach MLflow; check MLFLOW_TRACKING_URI, the server's hosts, NetworkPolicies"
            )
        waiting = [item.get("state", {}).get("waiting", {}) for item in status.get("containerStatuses", ())]
        for state in waiting:
            if state.get("reason") in _PULL_FAILED:
                raise LookupError(f"{state['reason']}: {state.get('message', '')[:200]}; check --image, pull_secret")
        time.sleep(POLL_S)
    raise LookupError(f"it did not run within {PROBE_S} s; kubectl describe pod says why: quota, taints or no node")
