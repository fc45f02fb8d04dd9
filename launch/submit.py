"""Send the graph to Kubeflow and start a run.

with reach(host) as server:
    run_id = submit(server, pipeline.experiment, arguments, pods)
    follow(server, run_id)
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping
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

    from launch.pods import Pods
    from launch.server import Server

CONFLICT = 409
SERVICE_ACCOUNT = "mammogan-steps"
"""Service account of a run's pods; k8s/steps makes it."""


@dataclass(frozen=True)
class Version:
    """One uploaded version of a pipeline."""

    pipeline_id: str
    version_id: str
    name: str
    """Ends in the digest of its bytes."""


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
) -> str:
    """Upload the graph as a version, unless the same one is there, start a run of it in its experiment, return its id.

    Raises ValueError for a missing image or store, ``server.RefusedError`` in words for what the server does not grant.
    """
    import kfp_server_api as api

    require_store(arguments)
    require_remote(arguments)
    version = upload(server, pipeline, pods)
    run = api.V2beta1Run(
        experiment_id=find_or_make_experiment(server, arguments["experiment"]),
        display_name=f"{arguments['preset']} {time.strftime('%Y-%m-%d %H:%M:%S')}",
        pipeline_version_reference=reference(version.pipeline_id, version.version_id),
        runtime_config=api.V2beta1RuntimeConfig(parameters=dict(arguments)),
        service_account=service_account,
    )
    made = server.call("start the run", server.runs.run_service_create_run, run)
    say(f"started run {made.run_id} of version {version.name}")
    return made.run_id


def reference(pipeline_id: str, version_id: str) -> kfp_server_api.V2beta1PipelineVersionReference:
    """How a run names its version."""
    import kfp_server_api as api

    return api.V2beta1PipelineVersionReference(pipeline_id=pipeline_id, pipeline_version_id=version_id)


def upload(server: Server, pipeline: BaseComponent, pods: Pods) -> Version:
    """Find or upload the version with these bytes, whose digest is its name; arguments are given to each run."""
    text, name = _named(pipeline, pods)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        path.write_text(text)
        pipeline_id = _find_or_make(
            partial(_find_pipeline, server, pipeline.name), partial(_make_pipeline, server, pipeline.name)
        )
        version_id = _find_or_make(
            partial(_find_version, server, pipeline_id, name), partial(_upload_version, server, pipeline_id, name, path)
        )
    return Version(pipeline_id, version_id, name)


def find(server: Server, pipeline: BaseComponent, pods: Pods) -> Version:
    """The version that ``upload`` would find or make; ids are empty where there is none yet."""
    _, name = _named(pipeline, pods)
    pipeline_id = _find_pipeline(server, pipeline.name)
    return Version(pipeline_id, _find_version(server, pipeline_id, name) if pipeline_id else "", name)


def _named(pipeline: BaseComponent, pods: Pods) -> tuple[str, str]:
    """The compiled text and its version's name."""
    text = compiled.compile_pipeline(pipeline, {}, pods)
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


def _make_pipeline(server: Server, name: str) -> str:
    """Id of a pipeline without versions: uploading a file would make a first version that is named as the pipeline."""
    import kfp_server_api as api

    pipeline = api.V2beta1Pipeline(display_name=name, name=name, namespace=server.namespace or None)
    making = server.pipelines.pipeline_service_create_pipeline
    return server.call("create the pipeline", making, pipeline).pipeline_id


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
