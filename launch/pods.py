"""What the pods of each step ask of a cluster: image, accelerator, sizes, time, secrets by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ACCELERATED = ("train", "evaluate", "audit", "utility")
"""Steps that run on an accelerator where there is one."""

USER = 1000
"""User id of every pod, in group 0; the image's files are readable to any user of that group."""

_BY_DIGEST = re.compile(r"[\w.\-:/]+@sha256:[0-9a-f]{64}")
_PAIR = re.compile(r"[\w.\-/]+=[\w.\-]*")
_TOLERATION = re.compile(
    r"(?P<key>[\w.\-/]+)(=(?P<value>[\w.\-]+))?(:(?P<effect>NoSchedule|PreferNoSchedule|NoExecute))?"
)
_NAME = re.compile(r"[a-z0-9]([a-z0-9.\-]*[a-z0-9])?")
_KEY = re.compile(r"([a-z0-9.\-]+/)?[A-Za-z0-9][\w.\-]*")
_OURS = re.compile(r"(app\.kubernetes\.io|kueue\.x-k8s\.io|workflows\.argoproj\.io|pipelines\.kubeflow\.org)/")
"""Labels that the network's policies, the queue and the backend go by."""
_QUANTITY = re.compile(r"[1-9]\d*(Mi|Gi|Ti)")


@dataclass(frozen=True)
class Size:
    """What one step's pod requests, and at most gets."""

    cpu: str
    """Cores."""
    memory: str
    """Main memory."""
    scratch: str
    """Space under /tmp, which is all that the step writes beside its outputs."""


LIGHT = Size("1", "2Gi", "2Gi")
SIZES: Mapping[str, Size] = {
    "start": LIGHT,
    "ingest": Size("4", "8Gi", "60Gi"),
    "filter-minority": Size("1", "2Gi", "10Gi"),
    "check-changes": LIGHT,
    "train": Size("6", "24Gi", "40Gi"),
    "evaluate": Size("6", "24Gi", "40Gi"),
    "select": Size("1", "4Gi", "20Gi"),
    "register": Size("1", "4Gi", "10Gi"),
    "synthesise": Size("2", "8Gi", "20Gi"),
    "audit": Size("4", "16Gi", "20Gi"),
    "utility": Size("6", "24Gi", "20Gi"),
    "promote": Size("4", "16Gi", "20Gi"),
    "finish": Size("1", "4Gi", "10Gi"),
}
"""Pod size of each step by its task's name; a step that is not named here is LIGHT."""


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
    """How many of them a pod gets; 0 trains on the CPU."""
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
    parallelism: int = 0
    """Branches trained at the same time; 0 leaves it to the cluster."""
    queue: str = ""
    """Kueue's local queue that admits the pods; empty starts them directly."""
    labels: tuple[str, ...] = ()
    """Further labels KEY=VALUE of every pod, for instance a cost centre."""
    ttl_days: int = 7
    """Days until a finished workflow and its pods are removed; results are elsewhere."""
    settings: str = "mammogan"
    """ConfigMap with the addresses of MLflow and the object store."""
    s3_secret: str = "mammogan-s3"  # noqa: S105  (a Secret's name)
    """Secret with the object store's access key."""
    mlflow_secret: str = "mammogan-mlflow"  # noqa: S105  (a Secret's name)
    """Secret with MLflow's sign-in; may be absent where MLflow asks for none."""
    pull_secret: str = ""
    """Secret with the registry's sign-in; empty where the image is public or the service account has one."""

    def __post_init__(self) -> None:
        """Check each field on its own; an image is checked when it is needed."""
        for name in ("image", "gpu_image"):
            self._check(name, lambda text: not text or _BY_DIGEST.fullmatch(text), "give it by digest: NAME@sha256:...")
        for name in ("node_selector", "labels"):
            self._check(name, lambda value: all(map(_PAIR.fullmatch, value)), "write it as KEY=VALUE,KEY=VALUE")
        self._check(
            "tolerations", lambda value: all(map(_TOLERATION.fullmatch, value)), "write it as KEY=VALUE:NoSchedule"
        )
        self._check(
            "labels",
            lambda value: not any(map(_OURS.match, value)),
            "give keys of your own, not of Kubernetes, Kueue, Argo or Kubeflow",
        )
        self._check("accelerator", _KEY.fullmatch, "give a resource's name such as nvidia.com/gpu")
        for name in ("settings", "s3_secret", "mlflow_secret"):
            self._check(name, _NAME.fullmatch, "give a Kubernetes name: small letters, digits and '-'")
        for name in ("queue", "pull_secret"):
            self._check(name, lambda text: not text or _NAME.fullmatch(text), "give a Kubernetes name, or nothing")
        self._check("shm", _QUANTITY.fullmatch, "give a size such as 8Gi")
        for name in ("accelerators", "parallelism"):
            self._check(name, lambda value: value >= 0, "give a whole number from 0")
        for name in ("train_hours", "step_hours", "ttl_days"):
            self._check(name, lambda value: value >= 1, "give a whole number from 1")

    def _check(self, name: str, accept: Any, mend: str) -> None:  # noqa: ANN401  (any predicate of the field's value)
        value = getattr(self, name)
        if not accept(value):
            raise ValueError(f"pods.{name}={value!r}: {mend}")


def parse_toleration(text: str) -> dict[str, str]:
    """Kubernetes toleration of KEY[=VALUE][:EFFECT]; without a value any value is tolerated, without an effect any."""
    match = _TOLERATION.fullmatch(text)
    if not match:
        raise ValueError(f"toleration={text!r}: write it as KEY=VALUE:NoSchedule")
    operator = "Equal" if match["value"] else "Exists"
    return {"key": match["key"], "operator": operator} | {
        name: match[name] for name in ("value", "effect") if match[name]
    }
