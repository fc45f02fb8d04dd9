"""The experiment as one graph, and the command line that runs, compiles, submits and schedules it.

start -> ingest -> filter_minority -> check_changes; if there is something to train, for each (lambda, seed):
      train -> evaluate; then select; if there is a winner: register -> synthesise -> audit -> promote, and utility
      beside them; whatever happens: finish
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from kfp import dsl

from mammogan import storage
from mammogan.addresses import masked
from mammogan.commands import options
from mammogan.components.audit import audit
from mammogan.components.check_changes import check_changes
from mammogan.components.evaluate import evaluate
from mammogan.components.filter_minority import filter_minority
from mammogan.components.finish import finish
from mammogan.components.ingest import ingest
from mammogan.components.promote import promote
from mammogan.components.register import register
from mammogan.components.select import select
from mammogan.components.start import start
from mammogan.components.synthesise import synthesise
from mammogan.components.train import train
from mammogan.components.utility import utility
from mammogan.launch import compiled, following, local, preflight, schedule, submit
from mammogan.launch import options as cluster
from mammogan.launch.arguments import graph_arguments
from mammogan.launch.following import termination
from mammogan.launch.pods import Pods
from mammogan.launch.server import Server, reach

logger = logging.getLogger("mammogan.pipeline")


@dsl.pipeline(
    name="mammogan",
    description="Synthetic mammograms of the rare class: one WGAN-GP per gradient-penalty weight and seed.",
)
def experiment(
    trials: list[str],
    preset: str = "paper",
    overrides: str = "{}",
    source: str = "",
    labels: str = "",
    store: str = "",
    work: str = "",
    experiment: str = "mammogan",
    force: bool = True,
) -> None:
    """Run one experiment from source images to a registered generator.

    Every step finds the run's record in MLflow by Kubeflow's id of the run, which takes less room in Kubeflow's
    workflow than handing on an artifact.
    """
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    given = {"preset": preset, "overrides": overrides, "run": run}

    closing = finish(run=run)
    with dsl.ExitHandler(closing, name="experiment"):
        opened = start(**given, experiment=experiment, source=source)

        ingested = ingest(**given, source=source, labels=labels, store=store, work=work).after(opened)
        kept = filter_minority(**given, dataset=ingested.outputs["dataset"])

        checked = check_changes(**given, force=force).after(kept)
        with dsl.If(checked.output == True, name="changed"):  # noqa: E712  (KFP builds the condition)
            with dsl.ParallelFor(trials, name="trials") as trial:  # ty: ignore[invalid-argument-type]  (a channel here)
                trained = train(
                    **given,
                    trial=trial,
                    store=store,
                    minority=kept.outputs["minority"],
                )
                evaluated = evaluate(
                    **given,
                    trial=trial,
                    store=store,
                    minority=kept.outputs["minority"],
                    trained=trained.outputs["trained"],
                )

            chosen = select(
                **given,
                store=store,
                evaluations=dsl.Collected(evaluated.outputs["evaluation"]),
            )
            with dsl.If(chosen.outputs["Output"] == True, name="accepted"):  # noqa: E712
                registered = register(
                    **given,
                    decision=chosen.outputs["decision"],
                    winner=chosen.outputs["winner"],
                )
                filled = synthesise(
                    **given,
                    version=registered.output,
                    dataset=ingested.outputs["dataset"],
                    minority=kept.outputs["minority"],
                    winner=chosen.outputs["winner"],
                )
                released = {**given, "version": registered.output}
                audited = audit(**released, filled=filled.outputs["filled"], critic=chosen.outputs["critic"])
                promoted = promote(**released, minority=kept.outputs["minority"]).after(audited)
                compared = utility(**released, filled=filled.outputs["filled"])

    for task in (closing, opened, ingested, kept, checked, trained, evaluated, chosen, registered):
        task.set_caching_options(False)
    for task in (filled, audited, promoted, compared):
        task.set_caching_options(False)


app = typer.Typer(cls=options.OneLineErrors, no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def main() -> None:
    """Run, compile, submit or schedule the experiment."""


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
    tracking_uri: Annotated[
        str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow server; SQLite if none.")
    ] = "",
    experiment_name: options.Experiment = "mammogan",
    force: cluster.Force = True,
) -> None:
    """Run the whole graph on this machine; run it again to go on after an interruption."""
    shortcuts = options.shortcuts(subset=subset, lambdas=lambdas, seeds=seeds, lpips_weights=lpips_weights)
    arguments = graph_arguments(
        preset,
        options.overrides(settings, shortcuts),
        source=source,
        labels=labels,
        experiment=experiment_name,
        force=force,
    )
    local.run(experiment, arguments, out, tracking_uri)


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
    store: cluster.Store = "",
    experiment_name: options.Experiment = "mammogan",
    force: cluster.Force = True,
    image: cluster.Image = "",
    gpu_image: cluster.GpuImage = "",
    parallelism: cluster.Parallelism = 0,
    pods: cluster.PodSettings = None,
) -> None:
    """Write the graph as YAML for Kubeflow, the arguments as its defaults: the same bytes for the same input."""
    overrides = options.overrides(settings, options.shortcuts(subset=subset, lambdas=lambdas, seeds=seeds))
    arguments = graph_arguments(
        preset, overrides, source=source, labels=labels, experiment=experiment_name, force=force
    )
    arguments |= {"store": store}
    submit.require_store(arguments)
    submit.require_remote(arguments)
    text = compiled.compile_pipeline(experiment, arguments, cluster.pods(pods, image, gpu_image, parallelism))
    storage.write_bytes(str(path), text.encode())
    logger.info(
        f"wrote {path}; upload it in Kubeflow Pipelines and start its runs under the service account "
        f"{submit.SERVICE_ACCOUNT}"
    )


@app.command(name="submit")
def submit_(
    host: cluster.Host = "",
    preset: options.Preset = "paper",
    source: options.Source = "",
    labels: options.Labels = "",
    subset: options.Subset = "",
    lambdas: options.Lambdas = "",
    seeds: options.Seeds = "",
    settings: options.Settings = None,
    store: cluster.Store = "",
    experiment_name: options.Experiment = "mammogan",
    force: cluster.Force = True,
    image: cluster.Image = "",
    gpu_image: cluster.GpuImage = "",
    parallelism: cluster.Parallelism = 0,
    pods: cluster.PodSettings = None,
    namespace: cluster.Namespace = "",
    service_account: cluster.ServiceAccount = submit.SERVICE_ACCOUNT,
    tracking_uri: options.TrackingUri = "",
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run; exit with its status.")] = False,
    follow: Annotated[str, typer.Option(metavar="RUN_ID", help="Follow a run that was started, start none.")] = "",
) -> None:
    """Start the graph on Kubeflow; KFP_TOKEN, KFP_COOKIE or KFP_USER sign in, inside it the service account."""
    chosen = cluster.pods(pods, image, gpu_image, parallelism)
    if follow:
        _follow(host, namespace, lambda _: follow, tracking_uri, chosen)
        return
    overrides = options.overrides(settings, options.shortcuts(subset=subset, lambdas=lambdas, seeds=seeds))
    arguments = graph_arguments(
        preset, overrides, source=source, labels=labels, experiment=experiment_name, force=force
    )
    arguments |= {"store": store}

    def start(server: Server) -> str:
        return submit.submit(server, experiment, arguments, chosen, service_account=service_account)

    if wait:
        _follow(host, namespace, start, tracking_uri, chosen)
        return
    with reach(host, namespace) as server:
        following.show_links(server, start(server), tracking_uri, chosen.settings)


def _follow(host: str, namespace: str, run_id: Callable[[Server], str], tracking_uri: str, pods: Pods) -> None:
    """Follow a run to its end; Ctrl-C leaves the run alone."""
    with reach(host, namespace) as server:
        try:
            following.follow(
                server,
                run_id(server),
                tracking_uri,
                pending_minutes=pods.pending_minutes,
                settings=pods.settings,
            )
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


@app.command(name="stop")
def stop_(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="Kubeflow's id of the run.")],
    host: cluster.Host = "",
    namespace: cluster.Namespace = "",
    tracking_uri: options.TrackingUri = "",
) -> None:
    """End a run on Kubeflow and in MLflow; what its trials have saved stays in the store."""
    with reach(host, namespace) as server:
        logger.info(termination.stop(server, run_id, tracking_uri))


@app.command(name="schedule")
def schedule_(
    file: Annotated[Path, typer.Option(help="File that says which schedules there are, and whose they are.")],
    host: cluster.Host = "",
    namespace: cluster.Namespace = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    now: Annotated[
        bool, typer.Option("--now", help="End the run in flight of what is replaced or removed; else it is waited for.")
    ] = False,
    tracking_uri: options.TrackingUri = "",
) -> None:
    """Make Kubeflow's recurring runs those of a file: create, replace, enable, remove; show each change."""
    wanted = schedule.read(file)
    for warning in filter(None, (schedule.warning(entry.cron) for entry in wanted.schedules)):
        logger.info(warning)
    with reach(host, namespace) as server:
        for line in schedule.forecast(server, wanted, datetime.now(UTC)):
            print(line)
        try:
            changes = schedule.reconcile(
                server, experiment, wanted, dry_run=dry_run, now=now, tracking_uri=tracking_uri, show=_show
            )
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    logger.info(f"{len(changes)} changes {'to make' if dry_run else 'made'}, {len(wanted.schedules)} schedules")


def _show(change: object) -> None:
    """Print at once, also into a pipe."""
    print(change, flush=True)


@app.command(name="preflight")
def preflight_(
    host: cluster.Host = "",
    namespace: cluster.Namespace = "",
    service_account: cluster.ServiceAccount = submit.SERVICE_ACCOUNT,
    image: cluster.Image = "",
    gpu_image: cluster.GpuImage = "",
    store: cluster.Store = "",
    pods: cluster.PodSettings = None,
) -> None:
    """Check a cluster before the first run and say what to fix."""
    with reach(host) as server:
        chosen = cluster.pods(pods, image, gpu_image)
        findings = preflight.check(server, chosen, namespace, service_account, store)
    for finding in findings:
        print(masked(f"{'ok  ' if finding.ok else 'FIX'} {finding.what}: {finding.said}"))
    if wrong := sum(not finding.ok for finding in findings):
        raise RuntimeError(f"{wrong} of {len(findings)} checks failed; fix them from the top")


if __name__ == "__main__":
    app()
