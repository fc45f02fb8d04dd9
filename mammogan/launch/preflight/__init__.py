"""Whether a cluster is ready for a run, found out in minutes instead of by the first failed step.

Reads with kubectl, asks Kubeflow which kind it is, compares every step's pod with nodes, quota and limits, and starts a
small pod as a step's would be, and one with the accelerator, from inside which object store, MLflow and accelerator are
tried. Each finding that is wrong says what to do; what could not be looked at has not passed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mammogan.launch.preflight import installation, probe_pod, room, settings
from mammogan.launch.server import RefusedError
from mammogan.probe import Finding
from mammogan.storage import is_remote

if TYPE_CHECKING:
    from mammogan.launch.pods import Pods
    from mammogan.launch.server import Server

__all__ = ["Finding", "check"]


def check(
    server: Server, pods: Pods, namespace: str, service_account: str, store: str = "", source: str = ""
) -> list[Finding]:
    """Every finding, in the order in which one would fix them.

    ``namespace`` counts on a multi-user Kubeflow only; ``store`` is the run's, ``s3://bucket/prefix``, and without one
    the object store has not passed. ``source`` is looked at where it is an S3 address.
    """
    findings = [_finding("kubectl", installation.cluster)]
    try:
        home = installation.home(server, namespace)
    except (LookupError, RefusedError) as error:
        return [*findings, Finding("Kubeflow", False, f"{error.args[0]}; nothing further was looked at")]
    tried = probe_pod.try_out(pods, home.namespace, service_account, store, source if is_remote(source) else "")
    works = any(item.what == probe_pod.STORE and item.ok for item in tried)
    return [
        *findings,
        _finding("Kubeflow", installation.kubeflow),
        _finding("retries", installation.retries),
        _finding("namespace", lambda: installation.described(home)),
        _finding("service account", lambda: installation.service_account(home.namespace, service_account)),
        _finding("settings", lambda: settings.addresses(home.namespace, pods)),
        _finding("secrets", lambda: settings.secrets(home.namespace, service_account, pods, works)),
        _finding("storage", installation.storage),
        *room.look(home.namespace, pods),
        *tried,
    ]


def _finding(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (LookupError, RefusedError) as error:
        return Finding(what, False, str(error.args[0]))
