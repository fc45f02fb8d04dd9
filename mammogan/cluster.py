"""What Kubernetes tells a step of its own run: whether the run was terminated, and why a pod was lost.

Asked with the pod's own account, which k8s/steps allows to read workflows and pods and no more. Outside a cluster, and
where that account may not ask, nothing is known, which is not the same as nothing having happened.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from mammogan.document import Document
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
LARGEST_NODES = 32 << 20
"""Bytes of a workflow's nodes: etcd takes 1.5 MB of them packed, which a gigabyte of zeros would fit into."""
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
    nodes: Mapping[str, Document]
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
    name = pod.text("metadata", "labels", WORKFLOW_LABEL) if pod else ""
    return f"{_namespace()}/{name}" if name else ""


def identity() -> str:
    """What tells this cluster from others, by the CA of its API; empty outside one."""
    path = ACCOUNT / "ca.crt"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def own_name(workflow: str) -> str:
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
    answer = _ask_for(workflow)
    if answer is None:
        return Presence.UNKNOWN
    if not answer:
        return Presence.GONE
    return Presence.OVER if _parse(answer).over else Presence.RUNS


def fate(workflow: str, ledger: Ledger) -> Fate:
    """What can be known of the run of ``namespace/name`` beside its record, when it is over or about to be."""
    answer = _ask_for(workflow)
    if not answer:
        return Fate()
    parsed, name = _parse(answer), workflow.partition("/")[2]
    unended = [entry for entry in ledger.entries.values() if entry.state in (State.RUNNING, State.STOPPED)]
    causes = {entry.task: cause for entry in unended if (cause := _cause(entry.pod, parsed))}
    return Fate(parsed.terminated, causes, _not_begun(parsed, name))


def _cause(pod: str, workflow: Workflow) -> str:
    """Why a pod of the run ended, by its own status, else by its node's message; empty where neither tells."""
    if message := _message_of(pod):
        return message
    message = _node_of(pod, workflow.nodes).text("message")
    return "its pod was deleted more often than a step is tried again" if message == DELETED else message


def _message_of(pod: str) -> str:
    """What a pod's own status says of its end; empty where it says nothing, or the pod is gone."""
    status = (_ask(f"/api/v1/namespaces/{_namespace()}/pods/{pod}") if pod else None) or Document()
    return out_of_memory(status) or " ".join(status.text("status", "message").split())


def out_of_memory(pod: Document) -> str:
    """That a pod, as Kubernetes gives it, was ended for memory, with its limit; empty where it was not."""
    for status in pod.items("status", "containerStatuses"):
        if status.text("name") == MAIN and status.text("state", "terminated", "reason") == "OOMKilled":
            return f"out of memory: the kernel ended it at its limit of {_memory_limit(pod)}"
    return ""


def _memory_limit(pod: Document) -> str:
    own = [item for item in pod.items("spec", "containers") if item.text("name") == MAIN]
    return next(filter(None, (item.text("resources", "limits", "memory") for item in own)), "memory")


def _node_of(pod: str, nodes: Mapping[str, Document]) -> Document:
    """The node of a pod: both names end in the same number."""
    number = pod.rpartition("-")[2]
    return next((node for key, node in nodes.items() if number and key.endswith(f"-{number}")), Document())


def _not_begun(workflow: Workflow, name: str) -> str:
    """Why the last pod failed or cannot start, a driver's among them."""
    pods = [node for node in workflow.nodes.values() if node.text("type") == "Pod" and node.text("message")]
    failed = [node for node in pods if node.text("phase") in ("Failed", "Error", "Pending")]
    failed.sort(key=lambda node: node.text("finishedAt") or node.text("startedAt"))
    if not failed:
        return ""
    last = failed[-1]
    pod = f"{name}-{last.text('templateName')}-{last.text('id').rpartition('-')[2]}"
    return f"{_task_name(last)}: {_message_of(pod) or last.text('message')}"


def _task_name(node: Document) -> str:
    """Name of the task whose pod a node is: ``mammogan-x.root.train.executor(0)`` is train's."""
    parts = [part.partition("(")[0] for part in node.text("name").split(".")]
    named = [part for part in parts if part != "executor"]
    return named[-1] if named else node.text("displayName") or "a pod"


def _ask_for(workflow: str) -> Document | None:
    """The workflow ``namespace/name``; empty where it is gone, None where nobody can be asked."""
    namespace, _, name = workflow.partition("/")
    if not name or namespace != _namespace():
        return None
    return _ask(f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows/{name}")


def _parse(workflow: Document) -> Workflow:
    nodes = workflow.at("status", "nodes")
    if packed := workflow.text("status", "compressedNodes"):
        nodes = _unpacked(packed)
    terminated = workflow.number("spec", "activeDeadlineSeconds") == 0 or bool(workflow.text("spec", "shutdown"))
    return Workflow(workflow.text("status", "phase") in OVER, terminated, dict(nodes.entries()))


def _unpacked(packed: str) -> Document:
    """The nodes that Argo packs where they are many; none where they inflate to more than any run's, or are no JSON."""
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: gzip's header
    try:
        return Document(json.loads(stream.decompress(base64.b64decode(packed), LARGEST_NODES)))
    except (ValueError, RecursionError, zlib.error) as error:
        logger.info(f"a workflow's packed nodes cannot be read ({type(error).__name__}); the record in MLflow must do")
        return Document()


def _namespace() -> str:
    path = ACCOUNT / "namespace"
    return path.read_text().strip() if path.is_file() else ""


def _ask(path: str) -> Document | None:
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
            return Document()
        logger.info(f"Kubernetes does not tell of this run (status {error.status}); its record in MLflow must do")
        return None
    except HTTPError as error:
        logger.info(f"Kubernetes does not answer ({type(error).__name__}); the record in MLflow must do")
        return None
    return Document(answer)


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
    return Document(answer).flag("status", "allowed")


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
