"""Starting a run, here or on Kubeflow, and finding one that was started before."""

from __future__ import annotations

import os
from pathlib import Path

from mammogan import config, console
from mammogan.config import Overrides
from mammogan.launch import store as stores
from mammogan.launch.arguments import graph_arguments
from mammogan.launch.pods import SERVICE_ACCOUNT, Pods
from mammogan.runs.pipeline_run import Kubeflow, Run

EXPERIMENT = "mammogan"
HOST = "KFP_HOST"
"""Variable with Kubeflow Pipelines' address."""


def run(
    preset: str = "demo",
    *,
    source: str = "",
    labels: str = "",
    settings: Overrides | None = None,
    experiment: str = EXPERIMENT,
    force: bool = True,
    out: str | Path = stores.RUNS,
    tracking_uri: str | None = None,
) -> Run:
    """Run the whole graph on this machine to its end; one that was stopped resumes where it was.

    ``source`` is a folder or s3:// address of images, or ``phantom``, ``labels`` the folder of CBIS-DDSM's CSVs,
    ``settings`` dotted names such as ``{"lambdas": (0.5, 3), "train.epochs": 3}``. Without ``force`` nothing is trained
    where data, code and settings are those of the champion. ``out`` keeps runs and store, and MLflow unless
    ``tracking_uri`` or ``$MLFLOW_TRACKING_URI`` names a server. Raises ValueError for inputs that are wrong, before
    anything runs, and RuntimeError with the reason where the run fails.
    """
    from mammogan.launch import local
    from mammogan.pipeline import experiment as graph

    console.require()
    arguments = graph_arguments(
        preset, settings or {}, source=source, labels=labels, experiment=experiment, force=force
    )
    address = os.environ.get(stores.VARIABLE, "") if tracking_uri is None else tracking_uri
    done = local.run(graph, arguments, Path(out), address)
    return Run(done.key, address or stores.address_of(Path(out)))


def submit(
    preset: str = "paper",
    *,
    source: str = "",
    labels: str = "",
    settings: Overrides | None = None,
    store: str = "",
    image: str = "",
    gpu_image: str = "",
    pods: Overrides | None = None,
    experiment: str = EXPERIMENT,
    force: bool = True,
    host: str | None = None,
    namespace: str = "",
    service_account: str = SERVICE_ACCOUNT,
    tracking_uri: str | None = None,
    wait: bool = False,
) -> Run:
    """Start the graph on Kubeflow; with ``wait`` follow it to its end, as ``Run.wait`` does later.

    ``store`` is ``s3://bucket/prefix``, where trials keep their checkpoints, ``image`` the project's image by
    digest, ``pods`` any of ``mammogan/launch/pods.py`` such as ``{"accelerators": 0}``; the rest is as for ``run``.
    ``host`` is Kubeflow's address, ``$KFP_HOST`` where it is None, and ``tracking_uri`` MLflow as this machine reaches
    it. Raises ValueError for what is wrong or missing, ``launch.server.RefusedError`` for what the server does not
    grant, and with ``wait`` RuntimeError with the reason where the run fails.
    """
    from mammogan.launch import following
    from mammogan.launch import submit as submission
    from mammogan.launch.server import reach
    from mammogan.pipeline import experiment as graph

    console.require()
    chosen = config.override(Pods(), {"image": image, "gpu_image": gpu_image, **(pods or {})})
    arguments = graph_arguments(
        preset, settings or {}, source=source, labels=labels, store=store, experiment=experiment, force=force
    )
    place = Kubeflow(_host(host), namespace, chosen.pending_minutes, chosen.settings)
    address = os.environ.get(stores.VARIABLE, "") if tracking_uri is None else tracking_uri
    with reach(place.host, namespace) as server:
        run_id = submission.submit(server, graph, arguments, chosen, service_account=service_account)
        if wait:
            place.follow(server, run_id, address)
        else:
            following.show_links(server, run_id, address, chosen.settings)
    return Run(run_id, address, place)


def find(name: str = "latest", *, experiment: str = "", tracking_uri: str | None = None) -> Run:
    """The run of that name: ``latest``, a run's name or key, or the beginning of its id in MLflow.

    Raises ValueError where none or several are meant.
    """
    from mammogan import tracking

    console.require()
    address = stores.tracking_uri(tracking_uri)
    return Run.of(tracking.find_run(name, address, experiment), address)


def _host(host: str | None) -> str:
    return os.environ.get(HOST, "") if host is None else host
