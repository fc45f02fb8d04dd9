"""What Kubernetes tells a step of its own run: whether the run was terminated, and why a pod was lost.

Asked with the pod's own account, which k8s/steps allows to read workflows and pods and no more. Outside a cluster, and
where that account may not ask, nothing is known, which is not the same as nothing having happened.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mammogan.ledger import Fate, Ledger, State

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

logger = logging.getLogger(__name__)

POD = "KFP_POD_NAME"
"""Variable in which Kubeflow tells a step the name of its pod."""
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
TIMEOUT_S = 10
OVER = ("Succeeded", "Failed", "Error")
MAIN = "main"
"""Container of the step itself."""
DELETED = "pod deleted"
"""Argo's word for a pod that is gone before its end."""


@dataclass(frozen=True)
class Workflow:
    """Argo's workflow of a run, as far as it decides anything here."""

    over: bool
    terminated: bool
    """Whether someone ended it: Kubeflow sets a deadline of 0 seconds, Argo a shutdown."""
    nodes: Mapping[str, Mapping[str, Any]]
    """Its nodes by their id."""


@dataclass(frozen=True)
class Right:
    """One thing that an account may do in its own namespace."""

    verb: str
    """Such as get or create."""
    group: str
    """API group; empty is Kubernetes' own."""
    resource: str
    """Kind of the object, in the plural."""
    name: str = ""
    """One object alone; empty is all."""

    def __str__(self) -> str:
        """As kubectl spells it: ``get workflows.argoproj.io``."""
        kind = ".".join(filter(None, (self.resource, self.group)))
        return f"{self.verb} {'/'.join(filter(None, (kind, self.name)))}"


def this_pod() -> str:
    """Name of the pod around this process; empty outside Kubeflow."""
    return os.environ.get(POD, "")


def own_workflow() -> str:
    """``namespace/name`` of the workflow that this pod belongs to; empty where that cannot be known."""
    pod = _ask(f"/api/v1/namespaces/{_namespace()}/pods/{this_pod()}") if this_pod() else None
    name = (pod or {}).get("metadata", {}).get("labels", {}).get(WORKFLOW_LABEL, "")
    return f"{_namespace()}/{name}" if name else ""


def identity() -> str:
    """What tells this cluster from others, by the CA of its API; empty outside one."""
    path = ACCOUNT / "ca.crt"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def beside(workflow: str) -> str:
    """``namespace/name`` of a workflow in this pod's own namespace."""
    return f"{_namespace()}/{workflow}"


class Presence(StrEnum):
    """Whether a workflow is still there."""

    RUNS = "runs"
    OVER = "over"
    GONE = "gone"
    ELSEWHERE = "elsewhere"
    """In another cluster or another namespace than this pod's, where a janitor of its own may ask."""
    UNKNOWN = "unknown"
    """Nobody can be asked: outside a cluster, or without the right to."""


def state_of(workflow: str, at: str = "") -> Presence:
    """Whether the workflow ``namespace/name`` is still there; ``at`` is its cluster's ``identity``, where known."""
    if at and identity() not in ("", at):
        return Presence.ELSEWHERE
    if workflow and _namespace() not in ("", workflow.partition("/")[0]):
        return Presence.ELSEWHERE
    found = _ask_for(workflow)
    if found is None:
        return Presence.UNKNOWN
    if not found:
        return Presence.GONE
    return Presence.OVER if _parse(found).over else Presence.RUNS


def fate(workflow: str, ledger: Ledger) -> Fate:
    """What can be known of the run of ``namespace/name`` beside its record, when it is over or about to be."""
    found = _ask_for(workflow)
    if not found:
        return Fate()
    parsed, name = _parse(found), workflow.partition("/")[2]
    unended = [entry for entry in ledger.entries.values() if entry.state in (State.RUNNING, State.STOPPED)]
    causes = {entry.task: cause for entry in unended if (cause := _cause(entry.pod, parsed))}
    return Fate(parsed.terminated, causes, _not_begun(parsed, name))


def _cause(pod: str, workflow: Workflow) -> str:
    """Why a pod of the run ended, by its own status, else by its node's message; empty where neither tells."""
    if told := _told_by(pod):
        return told
    message = str(_node_of(pod, workflow.nodes).get("message", ""))
    return "its pod was deleted more often than a step is tried again" if message == DELETED else message


def _told_by(pod: str) -> str:
    """What a pod's own status says of its end; empty where it says nothing, or the pod is gone."""
    found = (_ask(f"/api/v1/namespaces/{_namespace()}/pods/{pod}") if pod else None) or {}
    return out_of_memory(found) or " ".join(str(found.get("status", {}).get("message", "")).split())


def out_of_memory(pod: Mapping[str, Any]) -> str:
    """That a pod, as Kubernetes gives it, was ended for memory, with its limit; empty where it was not."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        ended = status.get("state", {}).get("terminated") or {}
        if status.get("name") == MAIN and ended.get("reason") == "OOMKilled":
            return f"out of memory: the kernel ended it at its limit of {_memory_limit(pod)}"
    return ""


def _memory_limit(pod: Mapping[str, Any]) -> str:
    own = [item for item in pod.get("spec", {}).get("containers", ()) if item.get("name") == MAIN]
    limits = [item.get("resources", {}).get("limits", {}).get("memory") for item in own]
    return next(filter(None, limits), "memory")


def _node_of(pod: str, nodes: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The node of a pod: both names end in the same number."""
    number = pod.rpartition("-")[2]
    return next((node for key, node in nodes.items() if number and key.endswith(f"-{number}")), {})


def _not_begun(workflow: Workflow, name: str) -> str:
    """Why the last pod failed or cannot start, a driver's among them."""
    pods = [node for node in workflow.nodes.values() if node.get("type") == "Pod" and node.get("message")]
    failed = [node for node in pods if node.get("phase") in ("Failed", "Error", "Pending")]
    failed.sort(key=lambda node: str(node.get("finishedAt") or node.get("startedAt") or ""))
    if not failed:
        return ""
    last = failed[-1]
    pod = f"{name}-{last.get('templateName', '')}-{str(last.get('id', '')).rpartition('-')[2]}"
    return f"{_task_name(last)}: {_told_by(pod) or last['message']}"


def _task_name(node: Mapping[str, Any]) -> str:
    """Name of the task whose pod a node is: ``mammogan-x.root.train.executor(0)`` is train's."""
    parts = [part.partition("(")[0] for part in str(node.get("name", "")).split(".")]
    named = [part for part in parts if part != "executor"]
    return named[-1] if named else str(node.get("displayName", "a pod"))


def _ask_for(workflow: str) -> dict[str, Any] | None:
    """The workflow ``namespace/name``; empty where it is gone, None where nobody can be asked."""
    namespace, _, name = workflow.partition("/")
    if not name or namespace != _namespace():
        return None
    return _ask(f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows/{name}")


def _parse(workflow: Mapping[str, Any]) -> Workflow:
    spec, status = workflow.get("spec", {}), workflow.get("status", {})
    nodes = status.get("nodes") or {}
    if packed := status.get("compressedNodes"):
        nodes = json.loads(gzip.decompress(base64.b64decode(packed)))
    terminated = spec.get("activeDeadlineSeconds") == 0 or bool(spec.get("shutdown"))
    return Workflow(status.get("phase") in OVER, terminated, nodes)


def _namespace() -> str:
    path = ACCOUNT / "namespace"
    return path.read_text().strip() if path.is_file() else ""


def _ask(path: str) -> dict[str, Any] | None:
    """Object at a path of Kubernetes' API; empty where there is none, None where nobody can be asked."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    client = _client()
    if client is None:
        return None
    try:
        answer, *_ = client.call_api(
            path, "GET", header_params=_sign_in(), response_type="object", _request_timeout=TIMEOUT_S
        )
    except ApiException as error:
        if error.status == 404:
            return {}
        logger.info(f"Kubernetes does not tell of this run (status {error.status}); its record in MLflow must do")
        return None
    except HTTPError as error:
        logger.info(f"Kubernetes does not answer ({type(error).__name__}); the record in MLflow must do")
        return None
    return dict(answer)


def may(right: Right) -> bool | None:
    """Whether the pod's own account has that right; None where nobody can be asked."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    client = _client()
    if client is None:
        return None
    asked = {"namespace": _namespace(), "verb": right.verb, "group": right.group, "resource": right.resource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**asked, **({"name": right.name} if right.name else {})}},
    }
    try:
        answer, *_ = client.call_api(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "POST",
            header_params={**_sign_in(), "Content-Type": "application/json"},
            body=body,
            response_type="object",
            _request_timeout=TIMEOUT_S,
        )
    except (ApiException, HTTPError):
        return None
    allowed = dict(answer).get("status", {}).get("allowed")
    return allowed if isinstance(allowed, bool) else None


def _sign_in() -> dict[str, str]:
    """The pod's own account; the scheme as RFC 6750 spells it, which the client's own configuration does not."""
    return {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}"}


def _client() -> ApiClient | None:
    """Client with the pod's own account; None outside a cluster."""
    from kubernetes import client, config

    if not ACCOUNT.is_dir():
        return None
    try:
        config.load_incluster_config()
    except config.ConfigException:
        return None
    return client.ApiClient()
