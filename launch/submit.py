"""Send the graph to Kubeflow, start a run and follow it to its end.

with reach(host) as server:
    run = submit(server, pipeline.experiment, arguments, pods)
    follow(server, run)
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch import compiled
from launch.arguments import is_path
from launch.server import RefusedError
from mammogan.console import say

if TYPE_CHECKING:
    import kfp_server_api
    from kfp.dsl.base_component import BaseComponent
    from rich.table import Table

    from launch.pods import Pods
    from launch.server import Server

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
POLL_S = 5.0
CONFLICT = 409
SERVICE_ACCOUNT = "mammogan-steps"
"""Service account of a run's pods; k8s/steps makes it."""


@dataclass(frozen=True)
class Version:
    """One uploaded version of a pipeline."""

    pipeline_id: str
    version_id: str


@dataclass(frozen=True)
class Submitted:
    """A run that was started."""

    run_id: str
    url: str
    """Its page in Kubeflow's UI."""


def require_store(arguments: Mapping[str, Any]) -> None:
    """Raise ValueError where branches would keep their checkpoints inside their pods."""
    if not str(arguments.get("store", "")).startswith("s3://"):
        raise ValueError(f"--store={arguments.get('store', '')!r}: give s3://bucket/prefix, from where branches resume")


def require_remote(arguments: Mapping[str, Any]) -> None:
    """Raise ValueError for data on this machine, which no pod can see."""
    for name in ("source", "labels"):
        location = str(arguments.get(name, ""))
        if is_path(location) and Path(location).exists():
            raise ValueError(f"--{name}={location!r}: it is on this machine; give s3://bucket/prefix or a mounted path")


def submit(
    server: Server,
    pipeline: BaseComponent,
    arguments: Mapping[str, Any],
    pods: Pods,
    *,
    service_account: str = SERVICE_ACCOUNT,
) -> Submitted:
    """Upload the graph as a version, unless the same one is there, and start a run of it in its experiment.

    Raises ValueError for a missing image or store, ``server.Refusal`` in words for what the server does not grant.
    """
    import kfp_server_api as api

    require_store(arguments)
    require_remote(arguments)
    version = upload(server, pipeline, pods)
    run = api.V2beta1Run(
        experiment_id=find_or_make_experiment(server, arguments["experiment"]),
        display_name=f"{arguments['preset']} {time.strftime('%Y-%m-%d %H:%M:%S')}",
        pipeline_version_reference=reference(version),
        runtime_config=api.V2beta1RuntimeConfig(parameters=dict(arguments)),
        service_account=service_account,
    )
    made = server.call("start the run", server.runs.run_service_create_run, run)
    submitted = Submitted(made.run_id, server.link("runs/details", made.run_id))
    say(f"pipeline: {server.link('pipelines/details', version.pipeline_id, 'version', version.version_id)}")
    say(f"run: {submitted.url}")
    return submitted


def reference(version: Version) -> kfp_server_api.V2beta1PipelineVersionReference:
    """How a run names its version."""
    import kfp_server_api as api

    return api.V2beta1PipelineVersionReference(pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id)


def upload(server: Server, pipeline: BaseComponent, pods: Pods, *, cache_ingest: bool = True) -> Version:
    """Find or upload the version with these bytes, whose digest is its name; arguments are given to each run."""
    text, name = _named(pipeline, pods, cache_ingest)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        path.write_text(text)
        pipeline_id = _find_or_make(
            partial(_find_pipeline, server, pipeline.name), partial(_upload_pipeline, server, pipeline.name, path)
        )
        version_id = _find_or_make(
            partial(_find_version, server, pipeline_id, name), partial(_upload_version, server, pipeline_id, name, path)
        )
    return Version(pipeline_id, version_id)


def find(server: Server, pipeline: BaseComponent, pods: Pods, *, cache_ingest: bool = True) -> Version:
    """The version that ``upload`` would find or make; ids are empty where there is none yet."""
    _, name = _named(pipeline, pods, cache_ingest)
    pipeline_id = _find_pipeline(server, pipeline.name)
    return Version(pipeline_id, _find_version(server, pipeline_id, name) if pipeline_id else "")


def _named(pipeline: BaseComponent, pods: Pods, cache_ingest: bool) -> tuple[str, str]:
    """The compiled text and its version's name."""
    text = compiled.compile_pipeline(pipeline, {}, pods, cache_ingest=cache_ingest)
    return text, f"{pipeline.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _find_or_make(find: Callable[[], str], make: Callable[[], str]) -> str:
    """Id of what is found, else of what is made; where someone else made it in between, of theirs."""
    if found := find():
        return found
    try:
        return make()
    except RefusedError as refusal:
        found = find() if refusal.status == CONFLICT else ""
        if not found:
            raise
        return found


def _find_pipeline(server: Server, name: str) -> str:
    query = {"filter": equals("display_name", name), **server.scope()}
    listed = server.each("list pipelines", server.pipelines.pipeline_service_list_pipelines, "pipelines", **query)
    return next((item.pipeline_id for item in listed if item.display_name == name), "")


def _upload_pipeline(server: Server, name: str, path: Path) -> str:
    sending = server.uploads.upload_pipeline
    return server.call("upload the pipeline", sending, str(path), name=name, **server.scope()).pipeline_id


def _find_version(server: Server, pipeline_id: str, name: str) -> str:
    listing = server.pipelines.pipeline_service_list_pipeline_versions
    listed = server.each("list versions", listing, "pipeline_versions", pipeline_id=pipeline_id)
    return next((item.pipeline_version_id for item in listed if item.display_name == name), "")


def _upload_version(server: Server, pipeline_id: str, name: str, path: Path) -> str:
    sending = server.uploads.upload_pipeline_version
    made = server.call("upload the version", sending, str(path), name=name, pipelineid=pipeline_id)
    return made.pipeline_version_id


def find_or_make_experiment(server: Server, name: str) -> str:
    """Id of Kubeflow's experiment of that name, which groups runs as MLflow's does."""
    return _find_or_make(partial(find_experiment, server, name), partial(_make_experiment, server, name))


def find_experiment(server: Server, name: str) -> str:
    """Id of Kubeflow's experiment of that name; empty where there is none."""
    query = {"filter": equals("display_name", name), **server.scope()}
    listing = server.experiments.experiment_service_list_experiments
    listed = server.each("list experiments", listing, "experiments", **query)
    return next((item.experiment_id for item in listed if item.display_name == name), "")


def _make_experiment(server: Server, name: str) -> str:
    import kfp_server_api as api

    experiment = api.V2beta1Experiment(display_name=name, namespace=server.namespace or None)
    making = server.experiments.experiment_service_create_experiment
    return server.call("create the experiment", making, experiment).experiment_id


def equals(key: str, value: str) -> str:
    """Filter of a listing in the API's form."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]})


def follow(server: Server, run: Submitted, poll_s: float = POLL_S) -> str:
    """Show the run's steps until it ends; return SUCCEEDED.

    Raises RuntimeError with the first failed step's own words where it ended otherwise. Ctrl-C leaves the run alone.
    """
    with _table() as show:
        while True:
            state = server.call("follow the run", server.runs.run_service_get_run, run.run_id)
            show(steps(state))
            if state.state in ENDED:
                break
            time.sleep(poll_s)
    if state.state != "SUCCEEDED":
        raise RuntimeError(f"the run ended {state.state}: {_why(state)}; see {run.url}")
    return state.state


@dataclass(frozen=True)
class Step:
    """One task of a run, as far as it came."""

    name: str
    state: str
    seconds: float | None
    """How long it took; None while it runs."""
    error: str


def steps(run: kfp_server_api.V2beta1Run) -> list[Step]:
    """Tasks of a run by their start; drivers and containers that Kubeflow adds are left out."""
    details = (run.run_details.task_details if run.run_details else None) or []
    shown = [task for task in details if task.start_time and not task.display_name.endswith(("-driver", "executor"))]
    return [
        Step(
            task.display_name,
            task.state or "PENDING",
            (task.end_time - task.start_time).total_seconds() if _has_ended(task) else None,
            (task.error.message or "") if task.error else "",
        )
        for task in sorted(shown, key=lambda task: (task.start_time, task.display_name))
    ]


def _has_ended(task: kfp_server_api.V2beta1PipelineTaskDetail) -> bool:
    """Kubeflow gives a running task an end in year 1."""
    return bool(task.end_time and task.end_time >= task.start_time)


def _why(run: kfp_server_api.V2beta1Run) -> str:
    failed = [step for step in steps(run) if step.state == "FAILED"]
    told = next((step for step in failed if step.error), failed[0] if failed else None)
    if told:
        return f"step {told.name}: {told.error or 'it says no reason'}"
    return (run.error.message if run.error else "") or "it says no reason"


@contextmanager
def _table() -> Generator[Callable[[Sequence[Step]], None]]:
    """A live table on a terminal, else one line for each change."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            yield lambda found: live.update(_drawn(found))
        return
    told: set[Step] = set()

    def tell(found: Sequence[Step]) -> None:
        for step in found:
            if step not in told:
                took = "" if step.seconds is None else f" after {step.seconds:.0f} s"
                say(f"{step.name}: {step.state.lower()}{took}")
        told.update(found)

    yield tell


def _drawn(found: Sequence[Step]) -> Table:
    from rich.table import Table

    colours = {"SUCCEEDED": "green", "FAILED": "red", "RUNNING": "cyan"}
    table = Table("step", "state", "seconds")
    for step in found:
        seconds = "" if step.seconds is None else f"{step.seconds:.0f}"
        table.add_row(step.name, f"[{colours.get(step.state, 'white')}]{step.state.lower()}[/]", seconds)
    return table
