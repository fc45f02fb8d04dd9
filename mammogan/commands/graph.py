"""``run`` and ``compile``: the whole graph on this machine, or as a file for Kubeflow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from mammogan.commands import options

logger = logging.getLogger(__name__)

app = typer.Typer()


@app.command()
def run(
    preset: options.Preset = "demo",
    source: options.Source = "",
    labels: options.Labels = "",
    subset: options.Subset = "",
    lambdas: options.Lambdas = "",
    seeds: options.Seeds = "",
    lpips_weights: options.LpipsWeights = "",
    settings: options.Settings = None,
    out: Annotated[Path, typer.Option(help="Folder for the runs, their store and MLflow.")] = Path("runs"),
    tracking_uri: options.TrackingUri = "",
    experiment_name: options.Experiment = "mammogan",
    force: options.ForceTraining = True,
) -> None:
    """Run the whole graph on this machine, MLflow on SQLite without --tracking-uri; run again, it resumes."""
    from mammogan import runs

    shortcuts = options.shortcuts(subset=subset, lambdas=lambdas, seeds=seeds, lpips_weights=lpips_weights)
    runs.run(
        preset,
        source=source,
        labels=labels,
        settings=options.overrides(settings, shortcuts),
        experiment=experiment_name,
        force=force,
        out=out,
        tracking_uri=tracking_uri,
    )


@app.command(name="compile")
def compile_(
    path: Annotated[Path, typer.Argument(metavar="OUT.yaml", help="File to write.")],
    preset: options.Preset = "paper",
    source: options.Source = "",
    labels: options.Labels = "",
    subset: options.Subset = "",
    lambdas: options.Lambdas = "",
    seeds: options.Seeds = "",
    settings: options.Settings = None,
    store: options.Store = "",
    experiment_name: options.Experiment = "mammogan",
    force: options.ForceTraining = True,
    image: options.Image = "",
    gpu_image: options.GpuImage = "",
    parallelism: options.Parallelism = 0,
    pods: options.PodSettings = None,
) -> None:
    """Write the graph as YAML for Kubeflow, the arguments as its defaults: the same bytes for the same input."""
    from mammogan import storage
    from mammogan.launch import compiled, submit
    from mammogan.launch.arguments import graph_arguments
    from mammogan.pipeline import experiment

    overrides = options.overrides(settings, options.shortcuts(subset=subset, lambdas=lambdas, seeds=seeds))
    arguments = graph_arguments(
        preset, overrides, source=source, labels=labels, store=store, experiment=experiment_name, force=force
    )
    submit.require_store(arguments)
    submit.require_remote(arguments)
    text = compiled.compile_pipeline(experiment, arguments, options.pods(pods, image, gpu_image, parallelism))
    storage.write_bytes(str(path), text.encode())
    logger.info(
        f"wrote {path}; upload it in Kubeflow Pipelines and start its runs under the service account "
        f"{submit.SERVICE_ACCOUNT}"
    )
