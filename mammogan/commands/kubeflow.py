"""``submit``, ``stop``, ``schedule`` and ``preflight``: the graph on Kubeflow, once or on a schedule."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammogan.addresses import masked
from mammogan.commands import options
from mammogan.console import wrapped
from mammogan.launch.pods import SERVICE_ACCOUNT

if TYPE_CHECKING:
    from mammogan.launch.pods import Pods

logger = logging.getLogger(__name__)

app = typer.Typer()

RUN_ON_KUBEFLOW = "latest, a run's name, or the beginning of its id in Kubeflow."


@app.command()
def submit(
    host: options.Host = "",
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
    namespace: options.Namespace = "",
    service_account: options.ServiceAccount = SERVICE_ACCOUNT,
    tracking_uri: options.TrackingUri = "",
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run; exit with its status.")] = False,
    follow: Annotated[
        str, typer.Option(metavar="RUN_ID", help=f"Follow a run that was started, start none: {RUN_ON_KUBEFLOW}")
    ] = "",
) -> None:
    """Start the graph on Kubeflow; KFP_TOKEN, KFP_COOKIE or KFP_USER sign in, inside it the service account."""
    from mammogan import runs

    if follow:
        _follow(host, namespace, follow, tracking_uri, options.pods(pods, image, gpu_image, parallelism))
        return
    given = options.overrides(pods, {"image": image, "gpu_image": gpu_image, "parallelism": parallelism or ""})
    try:
        runs.submit(
            preset,
            source=source,
            labels=labels,
            settings=options.overrides(settings, options.shortcuts(subset=subset, lambdas=lambdas, seeds=seeds)),
            store=store,
            pods=given,
            experiment=experiment_name,
            force=force,
            host=host,
            namespace=namespace,
            service_account=service_account,
            tracking_uri=tracking_uri,
            wait=wait,
        )
    except KeyboardInterrupt:
        if not wait:
            raise
        raise typer.Exit(130) from None  # it was said how to come back to the run


def _follow(host: str, namespace: str, run_id: str, tracking_uri: str, pods: Pods) -> None:
    """Follow a run to its end; Ctrl-C leaves the run alone."""
    from mammogan.launch import following, submitted
    from mammogan.launch.server import reach

    with reach(host, namespace) as server:
        try:
            following.follow(
                server,
                submitted.find_run(server, run_id),
                tracking_uri,
                pending_minutes=pods.pending_minutes,
                settings=pods.settings,
            )
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


@app.command()
def stop(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help=RUN_ON_KUBEFLOW)],
    host: options.Host = "",
    namespace: options.Namespace = "",
    tracking_uri: options.TrackingUri = "",
) -> None:
    """End a run on Kubeflow and in MLflow; what its trials have saved stays in the store."""
    from mammogan.launch import submitted
    from mammogan.launch.following import termination
    from mammogan.launch.server import reach

    with reach(host, namespace) as server:
        logger.info(termination.stop(server, submitted.find_run(server, run_id), tracking_uri))


@app.command()
def schedule(
    file: Annotated[Path, typer.Option(help="File that says which schedules there are, and whose they are.")],
    host: options.Host = "",
    namespace: options.Namespace = "",
    dry_run: options.DryRun = False,
    now: Annotated[
        bool, typer.Option("--now", help="End the run in flight of what is replaced or removed; else it is waited for.")
    ] = False,
    tracking_uri: options.TrackingUri = "",
) -> None:
    """Make Kubeflow's recurring runs those of a file: create, replace, enable, remove; show each change."""
    from datetime import UTC, datetime

    from mammogan.launch import following
    from mammogan.launch import schedule as schedules
    from mammogan.launch.server import reach
    from mammogan.pipeline import experiment

    wanted = schedules.read(file)
    for warning in filter(None, (schedules.warning(entry.cron) for entry in wanted.schedules)):
        logger.info(warning)
    with reach(host, namespace) as server:
        for line in schedules.forecast(server, wanted, datetime.now(UTC)):
            print(line)
        try:
            changes = schedules.reconcile(
                server, experiment, wanted, dry_run=dry_run, now=now, tracking_uri=tracking_uri, show=_show
            )
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        for name in dict.fromkeys(entry.experiment for entry in wanted.schedules):
            following.show_latest(server, name, tracking_uri)
    logger.info(f"{len(changes)} changes {'to make' if dry_run else 'made'}, {len(wanted.schedules)} schedules")


def _show(change: object) -> None:
    """Print at once, also into a pipe."""
    print(change, flush=True)


@app.command()
def preflight(
    host: options.Host = "",
    namespace: options.Namespace = "",
    service_account: options.ServiceAccount = SERVICE_ACCOUNT,
    image: options.Image = "",
    gpu_image: options.GpuImage = "",
    store: options.Store = "",
    source: options.Source = "",
    pods: options.PodSettings = None,
) -> None:
    """Check a cluster before the first run and say what to fix."""
    from mammogan.launch import preflight as checks
    from mammogan.launch.server import reach

    with reach(host) as server:
        chosen = options.pods(pods, image, gpu_image)
        findings = checks.check(server, chosen, namespace, service_account, store, source)
    for finding in findings:
        text = masked(f"{finding.what}: {finding.said}")
        print(*wrapped(text, first="ok   " if finding.ok else "FIX ", rest="    "), sep="\n")
    if wrong := sum(not finding.ok for finding in findings):
        raise RuntimeError(f"{wrong} of {len(findings)} checks failed; fix them from the top")
