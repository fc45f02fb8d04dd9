"""What the pods of each step ask of a cluster: image, accelerator, sizes, time, secrets by name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mammogan.graph import Step
from mammogan.launch import naming

DAY_S = 24 * 3600
MOST_SECONDS = 2**31 - 1
"""Kubernetes keeps a workflow's time to live in 32 bits."""
SERVICE_ACCOUNT = "mammogan-steps"
"""Service account of a run's pods; k8s/steps makes it."""
USER = 1000
"""User id of every pod, in group 0; the image's files are readable to any user of that group."""

_BY_DIGEST = re.compile(r"[\w.\-:/]+@sha256:[0-9a-f]{64}", re.ASCII)
_TOLERATION = re.compile(
    r"(?P<key>[\w.\-/]+)(=(?P<value>[\w.\-]+))?(:(?P<effect>NoSchedule|PreferNoSchedule|NoExecute))?"
)
_OURS = re.compile(r"(app\.kubernetes\.io|kueue\.x-k8s\.io|workflows\.argoproj\.io|pipelines\.kubeflow\.org)/")
"""Labels that the network's policies, the queue and the backend go by."""
_NAME_OR_NOTHING = "give a Kubernetes name, or nothing: small letters, digits, '-' and '.' between them"
_CORES = re.compile(r"[1-9]\d*m|[1-9]\d*(\.\d{1,3})?|0\.\d{1,3}")
_QUANTITY = re.compile(r"[1-9]\d*(Mi|Gi|Ti)")
_CHECKS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("cpu", _CORES, "give cores such as 3 or 500m"),
    ("memory", _QUANTITY, "give a size such as 12Gi or 1500Mi"),
    ("scratch", _QUANTITY, "give a size such as 40Gi or 500Mi"),
)


@dataclass(frozen=True)
class Size:
    """What one step's pod requests; it gets no more memory than that, and fills no more cores."""

    cpu: str
    """Cores, such as 3 or 500m."""
    memory: str
    """Main memory, such as 12Gi; the step is ended where it needs more."""
    scratch: str
    """Space under /tmp, such as 40Gi. Inputs, outputs and the image lie beside it, on the node's disk too."""

    @property
    def whole_cores(self) -> int:
        """Threads or processes that fill the cores, a part of one counted as one."""
        return math.ceil(int(self.cpu[:-1]) / 1000 if self.cpu.endswith("m") else float(self.cpu))


HEAVY = Size("3", "11Gi", "40Gi")
"""With what Argo and Kubeflow add to a pod it fits a node of 4 cores and 16 GiB, which offers 3.5 and 12.5 of them."""


@dataclass(frozen=True)
class Pods:
    """Pod settings of one compiled pipeline, the same for each of its runs."""

    image: str = ""
    """Image of every step, by digest: registry/name@sha256:..."""
    gpu_image: str = ""
    """Image of the accelerated steps, by digest; empty is the same as image."""
    accelerator: str = "nvidia.com/gpu"
    """Resource name of the accelerator that the accelerated steps ask for."""
    accelerators: int = 1
    """How many of them a pod gets, 1 or none; 0 trains on the CPU."""
    node_selector: tuple[str, ...] = ()
    """Labels KEY=VALUE that the nodes of the accelerated steps carry."""
    tolerations: tuple[str, ...] = ()
    """Taints KEY[=VALUE][:EFFECT] that the accelerated steps tolerate, beside the accelerator's own."""
    shm: str = "8Gi"
    """Size of /dev/shm of the accelerated steps."""
    train_hours: int = 72
    """Hours after which an accelerated step's pod is stopped; it resumes when it is run again."""
    step_hours: int = 12
    """Hours after which any other pod is stopped."""
    pending_minutes: int = 60
    """Minutes after which a run whose pod cannot start is ended by who follows it."""
    parallelism: int = 0
    """Trials trained at the same time; 0 leaves it to the cluster."""
    queue: str = ""
    """Kueue's local queue that admits the pods; empty starts them directly."""
    labels: tuple[str, ...] = ()
    """Further labels KEY=VALUE of every pod, for instance a cost centre."""
    ttl_days: int = 7
    """Days until a finished workflow and its pods are removed; results are elsewhere."""
    settings: str = "mammogan"
    """ConfigMap with the addresses of MLflow and the object store."""
    s3_secret: str = "mammogan-s3"  # noqa: S105  (a Secret's name)
    """Secret of the steps: MLflow's sign-in, if it asks for one, and the access key of what a run keeps; of the source
    too where that has none of its own. It may be absent."""
    source_secret: str = "mammogan-s3-source"  # noqa: S105  (a Secret's name)
    """Secret with the access key of images and labels, which ingest alone gets; may be absent."""
    pull_secret: str = ""
    """Secret with the registry's sign-in; empty where the image is public or the service account has one."""
    start: Size = Size("1", "2Gi", "2Gi")
    """Pod of start."""
    ingest: Size = Size("3", "8Gi", "60Gi")
    """Pod of ingest; its scratch holds the files that are being read."""
    filter_minority: Size = Size("1", "2Gi", "10Gi")
    """Pod of filter-minority."""
    train: Size = HEAVY
    """Pod of each trial's training."""
    evaluate: Size = HEAVY
    """Pod of each trial's evaluation."""
    select: Size = Size("1", "4Gi", "20Gi")
    """Pod of select, which holds every trial's snapshots."""
    evaluate_winner: Size = HEAVY
    """Pod of evaluate-winner."""
    register: Size = Size("1", "4Gi", "10Gi")
    """Pod of register."""
    synthesise: Size = Size("2", "8Gi", "20Gi")
    """Pod of synthesise."""
    audit: Size = Size("3", "11Gi", "20Gi")
    """Pod of audit."""
    promote: Size = Size("3", "11Gi", "20Gi")
    """Pod of promote, which may have to measure the champion anew."""
    utility: Size = Size("3", "11Gi", "20Gi")
    """Pod of utility."""
    finish: Size = Size("1", "4Gi", "10Gi")
    """Pod of finish."""

    def __post_init__(self) -> None:
        """Check each field on its own; an image is checked when it is needed."""
        self._check_names()
        self._check_numbers()
        for step in Step:
            size = self.size(step)
            for name, pattern, fix in _CHECKS:
                value = getattr(size, name)
                _require(f"{_field(step)}.{name}", value, pattern.fullmatch, fix)
            _require(f"{_field(step)}.cpu", size.cpu, lambda text: text.strip("0.m"), "give more than none")

    def size(self, step: Step | str) -> Size:
        """Size of a step's pod. Raises ValueError for a step that there is not."""
        return getattr(self, _field(Step(step)))

    def _check_names(self) -> None:
        for name in ("image", "gpu_image"):
            self._check(name, lambda text: not text or _BY_DIGEST.fullmatch(text), "give it by digest: NAME@sha256:...")
        for name in ("node_selector", "labels"):
            self._check(
                name,
                lambda value: all(map(naming.is_label_pair, value)),
                "write it as KEY=VALUE,KEY=VALUE, both of at most 63 letters, digits, '-', '_' and '.' that begin and "
                "end with a letter or a digit",
            )
            keys = [pair.partition("=")[0] for pair in getattr(self, name)]
            self._check(name, lambda _, keys=keys: len(set(keys)) == len(keys), "give each key once")
        self._check("tolerations", lambda value: all(map(_is_toleration, value)), "write it as KEY=VALUE:NoSchedule")
        self._check(
            "labels",
            lambda value: not any(map(_OURS.match, value)),
            "give keys of your own, not of Kubernetes, Kueue, Argo or Kubeflow",
        )
        self._check("accelerator", naming.is_qualified, "give a resource's name such as nvidia.com/gpu")
        taken: set[str] = set()
        for name in ("settings", "s3_secret", "source_secret"):  # which are volumes' names too
            self._check(
                name, naming.is_label, "give a Kubernetes name: at most 63 small letters, digits and '-' between them"
            )
            _require(
                name,
                getattr(self, name),
                lambda text: text not in taken,
                "give settings and the secrets a name each",
            )
            taken.add(getattr(self, name))
        self._check("pull_secret", lambda text: not text or naming.is_subdomain(text), _NAME_OR_NOTHING)
        self._check(  # whose name a label of each pod carries
            "queue",
            lambda text: not text or (naming.is_subdomain(text) and naming.is_label_value(text)),
            f"{_NAME_OR_NOTHING}, of at most 63 characters",
        )

    def _check_numbers(self) -> None:
        self._check("shm", _QUANTITY.fullmatch, "give a size such as 8Gi")
        self._check(
            "accelerators",
            lambda value: value in (0, 1),
            "give 0 or 1; a step uses one accelerator, more would stand idle",
        )
        self._check("parallelism", lambda value: value >= 0, "give a whole number from 0")
        for name in ("train_hours", "step_hours", "pending_minutes", "ttl_days"):
            self._check(name, lambda value: value >= 1, "give a whole number from 1")
        longest = MOST_SECONDS // DAY_S
        self._check("ttl_days", lambda value: value <= longest, f"give at most {longest}, some 68 years")

    def _check(self, name: str, accept: Callable[[Any], object], fix: str) -> None:
        _require(name, getattr(self, name), accept, fix)


def _field(step: Step) -> str:
    """Name of the field with a step's size."""
    return step.name.lower()


def _require(name: str, value: object, accept: Callable[[Any], object], fix: str) -> None:
    if not accept(value):
        raise ValueError(f"pods.{name}={value!r}: {fix}")


def _is_toleration(text: str) -> bool:
    match = _TOLERATION.fullmatch(text)
    return bool(match) and naming.is_qualified(match["key"]) and naming.is_label_value(match["value"] or "")


def parse_toleration(text: str) -> dict[str, str]:
    """Kubernetes toleration of KEY[=VALUE][:EFFECT]; without a value any value is tolerated, without an effect any."""
    match = _TOLERATION.fullmatch(text)
    if not match or not _is_toleration(text):
        raise ValueError(f"toleration={text!r}: write it as KEY=VALUE:NoSchedule")
    operator = "Equal" if match["value"] else "Exists"
    return {"key": match["key"], "operator": operator} | {
        name: match[name] for name in ("value", "effect") if match[name]
    }
