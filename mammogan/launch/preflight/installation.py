"""What is installed: the cluster, Kubeflow and its kind, the namespace and account of a run's pods, storage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from mammogan.document import Document
from mammogan.launch import kubectl
from mammogan.launch.server import OWN_NAMESPACE

if TYPE_CHECKING:
    from mammogan.launch.server import Server

OLDEST_KUBEFLOW = (2, 17)
LISTS_ACCOUNTS = (2, 18)
"""First release that is expected to run pods only under accounts that the API server's setting below lists
(kubeflow/pipelines#14181, which is not in 2.17.0)."""
ACCOUNTS = "ALLOWEDSERVICEACCOUNTS"
CONTROLLER = "workflow-controller-configmap"
REPLACES_LOST_PODS = ("OnError", "Always")
"""Argo's policies under which a pod that was deleted or whose node is gone is started again."""


@dataclass(frozen=True)
class Home:
    """Where the pods of a run will be."""

    namespace: str
    multi_user: bool
    given: str
    """The namespace that was asked for."""


def cluster() -> str:
    """Version of the cluster. Raises LookupError where kubectl reaches none."""
    version = kubectl.ask("version", timeout_s=kubectl.PATIENT_S).text("serverVersion", "gitVersion")
    if not version:
        raise LookupError("kubectl reaches no cluster; choose a context with kubectl config use-context")
    return f"Kubernetes {version}"


def home(server: Server, namespace: str) -> Home:
    """Where Kubeflow will run the pods: it tells itself whether it is a multi-user one.

    Raises RefusedError where it does not answer, LookupError where a multi-user one was given no namespace.
    """
    if not server.multi_user():
        return Home(OWN_NAMESPACE, False, namespace)
    if not namespace:
        raise LookupError("this Kubeflow is multi-user and --namespace is empty; give that of your profile")
    return Home(namespace, True, namespace)


def kubeflow() -> str:
    """Version of Kubeflow by its image's tag, because the API itself does not tell. Raises LookupError if too old."""
    image = _api_server().text("image")
    version = _version(image)
    if not version:
        return f"its image {image} tells no version: it must be {_dotted(OLDEST_KUBEFLOW)} or later"
    if version < OLDEST_KUBEFLOW:
        raise LookupError(f"{image} is too old: upgrade to {_dotted(OLDEST_KUBEFLOW)} or later")
    return f"Kubeflow Pipelines {_dotted(version)}"


def _api_server() -> Document:
    """Container of Kubeflow Pipelines' API server."""
    deployment = kubectl.ask("get", "deployment", "ml-pipeline", "--namespace", OWN_NAMESPACE)
    return next(deployment.items("spec", "template", "spec", "containers"), Document())


def _version(image: str) -> tuple[int, ...]:
    """Major and minor version by an image's tag; empty if that tells none."""
    match = re.search(r":v?(\d+)\.(\d+)", image)
    return (int(match[1]), int(match[2])) if match else ()


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def described(home: Home) -> str:
    """Where the pods will be, and under which Pod Security. Raises LookupError where that namespace is missing."""
    try:
        namespace = kubectl.ask("get", "namespace", home.namespace)
    except LookupError as error:
        fix = "give --namespace, that of your profile" if home.multi_user else "install Kubeflow Pipelines there"
        raise LookupError(f"{error.args[0]}; {fix}") from error
    level = namespace.text("metadata", "labels", "pod-security.kubernetes.io/enforce") or "no level"
    if home.multi_user:
        return f"{home.namespace} of a multi-user Kubeflow; Pod Security {level}"
    instead = f", not in {home.given}" if home.given not in ("", home.namespace) else ""
    return (
        f"{home.namespace}: a standalone Kubeflow runs every pod in its own namespace{instead}; Pod Security {level}; "
        "account, settings, secrets and limits below are looked for there"
    )


def service_account(namespace: str, name: str) -> str:
    """It is there, and Kubeflow lets runs use it; no name leaves the choice to Kubeflow."""
    if not name:
        return "Kubeflow's own choice"
    try:
        kubectl.ask("get", "serviceaccount", name, "--namespace", namespace)
    except LookupError as error:
        raise LookupError(f"{error.args[0]}; kubectl apply -n {namespace} -k k8s/steps makes it") from error
    container = _api_server()
    if _version(container.text("image")) < LISTS_ACCOUNTS:
        return name
    listed = next((item for item in container.items("env") if item.text("name") == ACCOUNTS), Document())
    if listed.has("valueFrom"):
        return f"{name}; see to it that it stands in what {ACCOUNTS} of deployment ml-pipeline is taken from"
    if name not in re.split(r"[,\s]+", listed.text("value")):
        raise LookupError(
            f"Kubeflow does not let runs use {name}: kubectl set env -n {OWN_NAMESPACE} deployment/ml-pipeline "
            f"{ACCOUNTS}={','.join(filter(None, (listed.text('value'), name)))}, or submit with --service-account ''"
        )
    return f"{name}, which Kubeflow lists; on a multi-user Kubeflow who submits needs role mammogan-submit"


def storage() -> str:
    """The default StorageClass, which PostgreSQL's volume takes. Raises LookupError where there is none."""
    classes = kubectl.ask("get", "storageclass").items("items")
    key = "storageclass.kubernetes.io/is-default-class"
    default = [item for item in classes if item.text("metadata", "annotations", key) == "true"]
    if not default:
        raise LookupError("no default StorageClass; make one the default, or name one in k8s/base/postgres.yaml")
    return f"default StorageClass {default[0].text('metadata', 'name')}"


def retries() -> str:
    """Whether Argo starts a pod again that was lost with its node, which no pipeline of Kubeflow can ask for itself.

    Argo's own policy is to retry what failed, and a lost pod is an error: Kubeflow ships defaults that say otherwise.
    Raises LookupError where they were taken out.
    """
    settings = kubectl.ask("get", "configmap", CONTROLLER, "--namespace", OWN_NAMESPACE)
    try:
        defaults = yaml.safe_load(settings.text("data", "workflowDefaults") or "{}")
        policy = defaults["spec"]["templateDefaults"]["retryStrategy"]["retryPolicy"]
    except (yaml.YAMLError, KeyError, TypeError):
        policy = None
    if policy not in REPLACES_LOST_PODS:
        raise LookupError(
            f"a pod that is lost with its node would not be started again: set retryPolicy: OnError below "
            f"spec.templateDefaults.retryStrategy in workflowDefaults of ConfigMap {CONTROLLER} in {OWN_NAMESPACE}, as "
            f"Kubeflow ships it (there: {policy})"
        )
    return f"lost pods are started again (retryPolicy {policy})"
