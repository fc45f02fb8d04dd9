"""Pods that are made as a step's are, from inside which ``mammogan probe`` looks; they are always removed."""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mammogan import components
from mammogan.document import Document
from mammogan.graph import Step
from mammogan.launch import compiled, condition, kubectl
from mammogan.launch.pods import USER
from mammogan.launch.preflight import footprint
from mammogan.probe import Finding
from mammogan.probe.finding import ACCELERATOR, MLFLOW, RIGHTS, SOURCE, STORE, from_log

if TYPE_CHECKING:
    from mammogan.launch.pods import Pods

logger = logging.getLogger(__name__)

NAME = "mammogan-preflight"
CONTAINER = "probe"
POLL_S = 2.0
START_S = 300
"""How long a pod may take to start, its image's pull included."""
NODE_S = 120
"""How long it may find no node, or stand in a queue; a new node is often there by then."""
RUN_S = 240
"""How long the probe may take; its own limit is below three minutes."""
SIZE = {"cpu": "500m", "memory": "1Gi"}
ACCELERATED_SIZE = {"cpu": "500m", "memory": "4Gi"}
"""PyTorch and a GPU's context take most of it."""
COMMAND = (
    'python3 -c "from mammogan import components; print(components.version())"; '
    'exec python3 -m mammogan probe --json "$@"'
)
"""First the version of the steps that the image holds, then what can be done from inside."""
_VERSION = re.compile(r"^[0-9a-f]{12}$", re.MULTILINE)


@dataclass(frozen=True)
class ProbePod:
    """One pod to be tried, and what it is made of."""

    name: str
    what: str
    """Its finding's name."""
    step: Step
    """The step that it stands in for."""
    image: str
    size: dict[str, str]
    expected: tuple[str, ...]
    """What the probe must report."""
    suffix: str
    """Behind the names of the findings from inside."""
    pods: Pods
    namespace: str
    service_account: str
    store: str
    source: str

    def document(self) -> str:
        """The pod as Kubernetes' API reads it, in JSON."""
        return json.dumps(self._pod())

    def _pod(self) -> dict[str, object]:
        """The pod, with the settings of the step that it stands in for, of another size."""
        pods, accelerated = self.pods, footprint.accelerated(self.step, self.pods)
        folders = {"settings": pods.settings, **compiled.secrets(self.step, pods)}
        arguments = [
            f"--mounts={components.MOUNTS}",
            f"--store={self.store}",
            *([f"--source={self.source}"] if SOURCE in self.expected else []),
            *(["--rights"] if RIGHTS in self.expected else []),
            *(["--accelerator"] if accelerated else []),
        ]
        limits = {"memory": self.size["memory"], **({pods.accelerator: str(pods.accelerators)} if accelerated else {})}
        container = {
            "name": CONTAINER,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", COMMAND, "probe", *arguments],
            "resources": {"requests": self.size, "limits": limits},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (a pod's own)
                *({"name": name, "mountPath": str(components.MOUNTS / name)} for name in folders),
            ],
        }
        volumes = [{"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}}, *(_volume(*item) for item in folders.items())]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "labels": self._labels()},
            "spec": self._spec() | {"containers": [container], "volumes": volumes},
        }

    def _labels(self) -> dict[str, str]:
        labels = {"app.kubernetes.io/name": "mammogan", "app.kubernetes.io/component": "preflight"}
        labels |= dict(item.split("=", 1) for item in self.pods.labels)
        if self.pods.queue:
            labels["kueue.x-k8s.io/queue-name"] = self.pods.queue
        # as Kubeflow does for a step's: a sidecar would never end
        return {**labels, "sidecar.istio.io/inject": "false"}

    def _spec(self) -> dict[str, object]:
        """What does not concern the container; a pod that nobody removes ends by itself."""
        user = {"runAsUser": USER, "runAsGroup": 0, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        spec: dict[str, object] = {"restartPolicy": "Never", "securityContext": user}
        spec["activeDeadlineSeconds"] = START_S + RUN_S
        if self.service_account:
            spec["serviceAccountName"] = self.service_account
        if self.pods.pull_secret:
            spec["imagePullSecrets"] = [{"name": self.pods.pull_secret}]
        place = footprint.placement(self.step, self.pods)
        if place.selector:
            spec["nodeSelector"] = dict(place.selector)
        if place.tolerations:
            spec["tolerations"] = [dict(item) for item in place.tolerations]
        return spec


def _volume(name: str, source: str) -> dict[str, object]:
    """Optional as a step's are: what is missing then is told from inside."""
    if name == "settings":
        return {"name": name, "configMap": {"name": source, "optional": True}}
    return {"name": name, "secret": {"secretName": source, "optional": True}}


def try_out(pods: Pods, namespace: str, service_account: str, store: str, source: str = "") -> list[Finding]:
    """Findings from inside a step's pod and, where accelerators are asked for, from inside an accelerated one's.

    With a source the first one stands in for ingest, which alone gets the key of it.
    """
    if not pods.image:
        reason = "no --image was given: neither its pull nor object store and MLflow from inside were tried"
        return [Finding("a step's pod", False, reason)]
    shared = (pods, namespace, service_account, store, source)
    step, expected = (Step.INGEST, (SOURCE,)) if source else (Step.START, ())
    expected = (RIGHTS, STORE, *expected, MLFLOW)
    probes = [ProbePod(NAME, "a step's pod", step, pods.image, SIZE, expected, "", *shared)]
    if pods.accelerators:
        name, what, inside = f"{NAME}-accelerated", "an accelerated step's pod", (STORE, MLFLOW, ACCELERATOR)
        image = pods.gpu_image or pods.image
        probes.append(
            ProbePod(name, what, Step.TRAIN, image, ACCELERATED_SIZE, inside, " of an accelerated step", *shared)
        )
    return [finding for probe in probes for finding in _tried(probe)]


def _tried(probe: ProbePod) -> list[Finding]:
    """Make the pod, wait for its end, read what it says, remove it."""
    where = ("--namespace", probe.namespace)
    try:
        kubectl.remove(probe.name, probe.namespace)
        try:
            pod = probe.document()
            kubectl.ask("create", *where, "--filename=-", stdin=pod, timeout_s=kubectl.PATIENT_S)
            status = _ended(probe)
            log = kubectl.log(probe.name, probe.namespace, CONTAINER)
        finally:
            _remove(probe)
    except LookupError as error:
        return [Finding(probe.what, False, str(error.args[0]))]
    return _read(probe, status, log)


def _remove(probe: ProbePod) -> None:
    try:
        kubectl.remove(probe.name, probe.namespace)
    except LookupError as error:  # a finding must not be lost over it, and the pod ends by its deadline
        logger.info(f"pod {probe.name} could not be removed from namespace {probe.namespace}: {error.args[0]}")


def _ended(probe: ProbePod) -> Document:
    """Status of the pod at its end. Raises LookupError with the pod's own reason where it does not start or end."""
    begun, where = time.monotonic(), ("--namespace", probe.namespace)
    running: float | None = None
    while True:
        status = kubectl.ask("get", "pod", probe.name, *where, timeout_s=kubectl.PATIENT_S).at("status")
        phase, now = status.text("phase"), time.monotonic()
        if phase in ("Succeeded", "Failed"):
            return status
        if phase == "Running":
            running = running or now
            if now - running > RUN_S:
                raise LookupError(f"it runs for more than {RUN_S:g} s; see kubectl logs of such a pod, and its node")
        elif (hindrance := condition.hindrance(status)) and now - begun > (NODE_S if hindrance.may_pass else 0):
            raise LookupError(str(hindrance))
        elif now - begun > START_S:
            raise LookupError(f"it did not start in {START_S:g} s and its status names no reason; kubectl describe pod")
        time.sleep(POLL_S)


def _read(probe: ProbePod, status: Document, log: str) -> list[Finding]:
    """What the pod's log says; each thing that it should say and does not has not passed."""
    findings = {item.what: item for item in from_log(log)}
    if not findings:
        reason = f"it ended without a word of the probe ({condition.ending(status)}); {_REBUILD}"
        return [Finding(probe.what, False, reason)]
    silent = "the probe did not report it"
    inside = [findings.get(what) or Finding(what, False, f"{silent}; {_REBUILD}") for what in probe.expected]
    named = [Finding(f"{item.what}{probe.suffix}", item.ok, item.said) for item in inside]
    return [Finding(probe.what, True, "admitted, scheduled, pulled and run"), _steps(probe, log), *named]


_REBUILD = "build the image from this checkout and give its digest"


def _steps(probe: ProbePod, log: str) -> Finding:
    """Whether the image holds the steps that this checkout compiles; a step refuses to run others."""
    match, ours = _VERSION.search(log), components.version()
    held = match[0] if match else "of an unknown version"
    ok = held == ours
    message = f"{ours}, as this checkout" if ok else f"{held}, and this checkout has {ours}; {_REBUILD}"
    return Finding(f"steps in the image{probe.suffix}", ok, message)
