"""Options of the commands that talk about a cluster, each spelled once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from mammogan import config
from mammogan.commands import options
from mammogan.launch.pods import Pods

Image = Annotated[str, typer.Option(help="The project's image by digest: registry/name@sha256:...")]
GpuImage = Annotated[str, typer.Option(help="Image of the accelerated steps by digest; the same if none.")]
Parallelism = Annotated[int, typer.Option(help="Trials trained at the same time; 0 leaves it to the cluster.")]
PodSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--pods",
        metavar="KEY=VALUE",
        help="Any setting of mammogan/launch/pods.py: train.cpu, train.memory, train.scratch and so for each step, "
        "accelerator, accelerators, node_selector, tolerations, shm, queue, labels, train_hours, pending_minutes, "
        "ttl_days, names of secrets; repeatable.",
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force/--if-changed", help="Train in any case, or only if data, code or settings changed."),
]
Store = Annotated[str, typer.Option(help="Where trials keep their checkpoints: s3://bucket/prefix.")]
Host = Annotated[
    str, typer.Option(envvar="KFP_HOST", help="Kubeflow Pipelines: an address, port-forward, or empty inside it.")
]
ServiceAccount = Annotated[str, typer.Option(help="Kubernetes service account of the run's pods.")]
Namespace = Annotated[str, typer.Option(help="Kubernetes namespace; your profile's on a multi-user Kubeflow.")]


def pods(settings: Sequence[str] | None, image: str = "", gpu_image: str = "", parallelism: int = 0) -> Pods:
    """Pod settings of the command line. Raises ValueError for a name or a value that there is not."""
    named = {"image": image, "gpu_image": gpu_image, "parallelism": parallelism or ""}
    return config.override(Pods(), options.overrides(list(settings or ()), named))
