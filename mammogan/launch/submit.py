"""Send the graph to Kubeflow and start a run.

with reach(host) as server:
    run_id = submit(server, pipeline.experiment, arguments, pods)
    follow(server, run_id)
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import unicodedata
import urllib.parse
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mammogan.launch import compiled, naming
from mammogan.launch.arguments import GraphArguments, is_path, require_bucket, require_experiment
from mammogan.launch.pods import SERVICE_ACCOUNT
from mammogan.launch.server import RefusedError

if TYPE_CHECKING:
    import kfp_server_api
    from kfp.dsl.base_component import BaseComponent

    from mammogan.launch.pods import Pods
    from mammogan.launch.server import Server

logger = logging.getLogger(__name__)

CONFLICT = 409


@dataclass(frozen=True)
class Version:
    """One uploaded version of a pipeline."""

    pipeline_id: str
    version_id: str
    name: str
    """Ends in the digest of its bytes."""


def require_store(arguments: GraphArguments) -> None:
    """Raise ValueError where trials would keep their checkpoints inside their pods, or in no bucket."""
    if not arguments.store.startswith("s3://"):
        raise ValueError(f"--store={arguments.store!r}: give s3://bucket/prefix, from where trials resume")
    require_bucket("--store", arguments.store)


def require_remote(arguments: GraphArguments) -> None:
    """Raise ValueError for data on this machine, which no pod can see."""
    for name, location in (("source", arguments.source), ("labels", arguments.labels)):
        if is_path(location) and Path(location).exists():
            raise ValueError(f"--{name}={location!r}: it is on this machine; give s3://bucket/prefix or a mounted path")


def submit(
    server: Server,
    pipeline: BaseComponent,
    arguments: GraphArguments,
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
    require_experiment(arguments.experiment)
    if service_account and not naming.is_subdomain(service_account):
        raise ValueError(f"--service-account={service_account!r}: give the name of a Kubernetes service account")
    server.require_namespace()
    version = upload(server, pipeline, pods)
    run = api.V2beta1Run(
        experiment_id=find_or_make_experiment(server, arguments.experiment),
        display_name=run_name(arguments.configuration.preset),
        pipeline_version_reference=reference(version.pipeline_id, version.version_id),
        runtime_config=api.V2beta1RuntimeConfig(parameters=arguments.parameters()),
        service_account=service_account,
    )
    run_id = _start(server, run)
    logger.info(f"started run {run_id} of version {version.name}")
    return run_id


def run_name(preset: str) -> str:
    """A name that no other run has, by which this one is found where the answer to its start is lost."""
    return f"{preset} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {uuid.uuid4().hex[:12]}"


def _start(server: Server, run: kfp_server_api.V2beta1Run) -> str:
    """Id of the run that is started, once, even where the answer is lost."""
    what, creating, listing = "start the run", server.runs.run_service_create_run, server.runs.run_service_list_runs

    def find() -> str:
        query = {"filter": equals("display_name", run.display_name), "experiment_id": run.experiment_id}
        listed = server.all_items("list runs", listing, "runs", **query)
        return next((item.run_id for item in listed if item.display_name == run.display_name), "")

    return server.make(what, find, lambda: server.once(what, creating, run).run_id)


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
            server,
            "create the pipeline",
            partial(find_pipeline, server, pipeline.name),
            partial(_make_pipeline, server, pipeline.name),
        )
        version_id = _find_or_make(
            server,
            "upload the version",
            partial(_find_version, server, pipeline_id, name),
            partial(_upload_version, server, pipeline_id, name, path),
        )
    return Version(pipeline_id, version_id, name)


def find(server: Server, pipeline: BaseComponent, pods: Pods) -> Version:
    """The version that ``upload`` would find or make; ids are empty where there is none yet."""
    _, name = _named(pipeline, pods)
    pipeline_id = find_pipeline(server, pipeline.name)
    return Version(pipeline_id, _find_version(server, pipeline_id, name) if pipeline_id else "", name)


def _named(pipeline: BaseComponent, pods: Pods) -> tuple[str, str]:
    """The compiled text and its version's name."""
    text = compiled.compile_pipeline(pipeline, None, pods)
    return text, f"{pipeline.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _find_or_make(
    server: Server, what: str, find: Callable[[], str], make: Callable[[], str], twin: Callable[[], str] | None = None
) -> str:
    """Id of what is found, else of what is made; where someone else made it in between, of theirs.

    ``twin`` finds what has another name, and yet is in the way of this one.
    """
    if existing := find():
        return existing
    try:
        return server.make(what, find, make)
    except RefusedError as refusal:
        existing = (find() or (twin() if twin else "")) if refusal.status == CONFLICT else ""
        if not existing:
            raise
        return existing


def find_pipeline(server: Server, name: str) -> str:
    """Id of the pipeline of that name; empty where there is none."""
    query = {"filter": equals("display_name", name), **server.scope()}
    listed = server.all_items("list pipelines", server.pipelines.pipeline_service_list_pipelines, "pipelines", **query)
    return next((item.pipeline_id for item in listed if item.display_name == name), "")


def _make_pipeline(server: Server, name: str) -> str:
    """Id of a pipeline without versions: uploading a file would make a first version that is named as the pipeline."""
    import kfp_server_api as api

    pipeline = api.V2beta1Pipeline(display_name=name, name=name, namespace=server.namespace or None)
    making = server.pipelines.pipeline_service_create_pipeline
    return server.once("create the pipeline", making, pipeline).pipeline_id


def _find_version(server: Server, pipeline_id: str, name: str) -> str:
    listing = server.pipelines.pipeline_service_list_pipeline_versions
    listed = server.all_items("list versions", listing, "pipeline_versions", pipeline_id=pipeline_id)
    return next((item.pipeline_version_id for item in listed if item.display_name == name), "")


def _upload_version(server: Server, pipeline_id: str, name: str, path: Path) -> str:
    sending = server.uploads.upload_pipeline_version
    version = server.once("upload the version", sending, str(path), name=name, pipelineid=pipeline_id)
    return version.pipeline_version_id


def find_or_make_experiment(server: Server, name: str) -> str:
    """Id of Kubeflow's experiment of that name, which groups runs as MLflow's does.

    Raises ValueError for a name that Kubeflow cannot store, and for an experiment that is archived there.
    """
    require_experiment(name)
    return _find_or_make(
        server,
        "create the experiment",
        partial(find_experiment, server, name),
        partial(_make_experiment, server, name),
        lambda: _experiment(_experiments(server), name),
    )


def find_experiment(server: Server, name: str) -> str:
    """Id of Kubeflow's experiment of that name, as its database compares names; empty where there is none.

    Raises ValueError for an experiment that is archived.
    """
    return _experiment(_experiments(server, filter=equals("display_name", name)), name)


def _experiments(server: Server, **query: str) -> list[kfp_server_api.V2beta1Experiment]:
    listing = server.experiments.experiment_service_list_experiments
    return list(server.all_items("list experiments", listing, "experiments", **query, **server.scope()))


def _experiment(listed: Sequence[kfp_server_api.V2beta1Experiment], name: str) -> str:
    """Id of the experiment of that name, else of one that MySQL and MariaDB take for it; empty where there is none."""
    same = [item for item in listed if item.display_name == name]
    match = next(iter(same or [item for item in listed if _folded(item.display_name) == _folded(name)]), None)
    if match is None:
        return ""
    if match.storage_state == "ARCHIVED":
        raise ValueError(
            f"experiment={name!r}: {match.display_name!r} is archived in Kubeflow; restore it there, or choose another"
        )
    if not same:
        logger.info(
            f"experiment {name!r} is {match.display_name!r} in Kubeflow, whose database does not tell them apart"
        )
    return match.experiment_id


def _folded(name: str) -> str:
    """A name without what MySQL's and MariaDB's usual collations overlook: case, accents, space at the end."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).rstrip()


def _make_experiment(server: Server, name: str) -> str:
    import kfp_server_api as api

    experiment = api.V2beta1Experiment(display_name=name, namespace=server.namespace or None)
    making = server.experiments.experiment_service_create_experiment
    return server.once("create the experiment", making, experiment).experiment_id


def equals(key: str, value: str) -> str:
    """Filter of a listing in the API's form, which the server decodes once more than HTTP does."""
    return urllib.parse.quote(
        json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]}), safe=""
    )
