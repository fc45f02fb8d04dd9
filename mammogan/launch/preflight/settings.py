"""The ConfigMap and the Secrets that a step reads, in the namespace of its pods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mammogan.launch import compiled, kubectl
from mammogan.probe.finding import masked

if TYPE_CHECKING:
    from mammogan.launch.pods import Pods

IDENTITIES = (
    "eks.amazonaws.com/role-arn",
    "iam.gke.io/gcp-service-account",
    "azure.workload.identity/client-id",
)
"""Annotations by which a cloud gives a service account an identity, with which no key is needed."""


def addresses(namespace: str, pods: Pods) -> str:
    """What the ConfigMap holds. Raises LookupError where it is missing or lacks a key."""
    apply = f"kubectl apply -n {namespace} -k k8s/steps"
    try:
        data = kubectl.ask("get", "configmap", pods.settings, "--namespace", namespace).texts("data")
    except LookupError as error:
        raise LookupError(f"{error.args[0]}; {apply}, or name it with --pods settings=NAME") from error
    for key in compiled.REQUIRED_SETTINGS:
        if not data.get(key):
            raise LookupError(f"ConfigMap {pods.settings} has no {key}; write it to k8s/steps and {apply}")
    return masked(", ".join(f"{key}={value}" for key, value in sorted(data.items())))


def secrets(namespace: str, account: str, pods: Pods, store_works: bool) -> str:
    """Which Secrets there are; only the names of their keys are looked at.

    ``store_works`` is what was found from inside a pod: then nothing is missing, whether there is a Secret or not.
    Raises LookupError for one that is missing and needed.
    """
    if pods.pull_secret:
        _require(pods.pull_secret, namespace, "--pods pull_secret names the sign-in at the registry: make it there")
    missing = _missing(pods.s3_secret, compiled.S3_KEYS, namespace)
    missing_of_source = _missing(pods.source_secret, compiled.SOURCE_KEYS, namespace)
    if missing_of_source and set(missing_of_source) != set(compiled.SOURCE_KEYS):
        raise LookupError(
            f"Secret {pods.source_secret} lacks {', '.join(missing_of_source)}; give both halves, or leave it out"
        )
    own = f"{pods.source_secret} has {', '.join(compiled.SOURCE_KEYS)}"
    source = (
        own if not missing_of_source else f"{pods.source_secret}: none, so that this key has to read the source too"
    )
    if not missing:
        return f"{pods.s3_secret} has {', '.join(compiled.S3_KEYS)}; {source}"
    if store_works:
        return f"{pods.s3_secret}: none, and none needed: the object store works from inside without it"
    identity = _identity(account, namespace)
    if identity:
        return f"{pods.s3_secret}: none; service account {account} has an identity by {identity}"
    raise LookupError(
        f"Secret {pods.s3_secret} lacks {', '.join(missing)}; fill in k8s/secrets.template.yaml and "
        f"kubectl apply -n {namespace} -l app.kubernetes.io/component=steps -f k8s/secrets.yaml, "
        f"or give service account {account} an identity"
    )


def _missing(name: str, keys: Sequence[str], namespace: str) -> list[str]:
    try:
        data = kubectl.ask("get", "secret", name, "--namespace", namespace).texts("data")
    except LookupError:
        data = {}
    return [key for key in keys if key not in data]


def _require(name: str, namespace: str, fix: str) -> None:
    try:
        kubectl.ask("get", "secret", name, "--namespace", namespace)
    except LookupError as error:
        raise LookupError(f"{error.args[0]}; {fix}") from error


def _identity(account: str, namespace: str) -> str:
    if not account:
        return ""
    try:
        service_account = kubectl.ask("get", "serviceaccount", account, "--namespace", namespace)
    except LookupError:
        return ""
    annotations = service_account.texts("metadata", "annotations")
    return next((name for name in IDENTITIES if annotations.get(name)), "")
