"""Where a model comes from, down to the sha256 of each source file, and what came of a run, a data set or a file.

One walk serves both ways: it finds the pipeline runs that the target touches, and tells for each what lies behind it
(image, code, data, source files) and what came of it (trials, model versions with their aliases).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mammogan.data.cells import unshielded
from mammogan.data.patients import Indexed
from mammogan.tracking import stored
from mammogan.tracking.environment import GIT_COMMIT, GIT_DIRTY, IMAGE
from mammogan.tracking.runs import pipeline_run
from mammogan.tracking.server import (
    DATA_DIGEST,
    KIND,
    MANIFEST_FILE,
    NOTHING_THERE,
    PARENT,
    TRIAL,
    client,
    experiments,
    find_runs,
)

MODEL_PREFIX = "models:/"


@dataclass(frozen=True)
class SourceFile:
    """Where an image of the data set comes from: fields of its manifest row."""

    image_id: str
    source: str
    source_uid: str
    source_sha256: str
    patient_id: str
    split: str


@dataclass(frozen=True)
class PipelineRun:
    """The parent run."""

    run_id: str
    name: str
    status: str
    """MLflow's."""
    kfp_run: str | None


@dataclass(frozen=True)
class Code:
    """What ran; None where nobody recorded it."""

    commit: str | None
    dirty: str | None
    """``true`` where it had uncommitted changes."""


@dataclass(frozen=True)
class Data:
    """What was learnt from."""

    digest: str | None
    sources: tuple[SourceFile, ...]
    """All, or those that were asked for."""


@dataclass(frozen=True)
class TrialRun:
    """A child run."""

    run_id: str
    trial: str
    """Its name."""
    status: str
    """MLflow's."""


@dataclass(frozen=True)
class ModelVersion:
    """A registered version that a run made."""

    name: str
    version: str
    aliases: tuple[str, ...]
    trial: str | None
    """Name of the trial it is of."""
    epoch: str | None
    snapshot_sha256: str | None


@dataclass(frozen=True)
class RunLineage:
    """A pipeline run with all before and after it."""

    run: PipelineRun
    image: str | None
    """Container image; None where it ran without."""
    code: Code
    data: Data
    trials: tuple[TrialRun, ...]
    models: tuple[ModelVersion, ...]


@dataclass(frozen=True)
class Lineage:
    """Every pipeline run that a target is part of."""

    target: str
    runs: tuple[RunLineage, ...]

    def named(self, index: Mapping[str, Indexed]) -> Lineage:
        """The same with file, series and patient of every image that the index knows in the place of pseudonyms."""
        return replace(self, runs=tuple(replace(run, data=_named(run.data, index)) for run in self.runs))


def _named(data: Data, index: Mapping[str, Indexed]) -> Data:
    def named(source: SourceFile) -> SourceFile:
        known = index.get(source.image_id)
        if known is None:
            return source
        return replace(source, source=known.source, source_uid=known.source_uid, patient_id=known.patient_id)

    return replace(data, sources=tuple(map(named, data.sources)))


def lineage(target: str, experiment: str = "", tracking_uri: str = "") -> Lineage:
    """Every pipeline run that the target is part of, with all before and after it.

    ``target`` is a run id (of a pipeline run or of a trial), ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``,
    ``data:DIGEST`` (or its beginning), or ``source:TEXT``, a sha256 or a series UID of a source file. The last two are
    looked for in ``experiment``, in all where it is empty. Raises ValueError for a target that is not found, and
    FileNotFoundError for a run whose manifest is gone.
    """
    mlflow = client(tracking_uri)
    kind, _, text = target.partition(":")
    if target.startswith(MODEL_PREFIX):
        parents, wanted = [pipeline_run(_model_run(mlflow, target), tracking_uri)], None
    elif kind == "data":
        parents, wanted = _with_digest(mlflow, experiment, text), None
    elif kind == "source":
        parents, wanted = _with_source(mlflow, experiment, text), text
    else:
        parents, wanted = [pipeline_run(target, tracking_uri)], None
    if not parents:
        raise ValueError(f"target={target!r}: no run of {experiment or 'any experiment'} knows it")
    return Lineage(target, tuple(_describe(mlflow, parent, wanted) for parent in parents))


def sources_of(run_id: str, tracking_uri: str = "") -> tuple[SourceFile, ...]:
    """Images that a pipeline run learnt from, chose by and tested on; none where it recorded none.

    Raises FileNotFoundError for a run whose manifest is gone.
    """
    mlflow = client(tracking_uri)
    return tuple(_sources(mlflow, mlflow.get_run(run_id), None))


def _model_run(mlflow: MlflowClient, target: str) -> str:
    name, at, alias = target.removeprefix(MODEL_PREFIX).partition("@")
    try:
        if at:
            version = mlflow.get_model_version_by_alias(name, alias)
        else:
            name, _, number = name.rpartition("/")
            version = mlflow.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code not in NOTHING_THERE:
            raise
        raise ValueError(
            f"target={target!r}: no such model; write models:/NAME@ALIAS or models:/NAME/VERSION"
        ) from error
    if not version.run_id:
        raise ValueError(f"target={target!r}: this version was not registered by a run")
    return version.run_id


def _pipelines(mlflow: MlflowClient, experiment: str) -> list[Run]:
    return find_runs(mlflow, experiments(mlflow, experiment), {KIND: "pipeline"})


def _with_digest(mlflow: MlflowClient, experiment: str, digest: str) -> list[Run]:
    if not digest:
        raise ValueError("target='data:': give the beginning of a data digest behind the colon")
    return [run for run in _pipelines(mlflow, experiment) if run.data.tags.get(DATA_DIGEST, "").startswith(digest)]


def _with_source(mlflow: MlflowClient, experiment: str, text: str) -> list[Run]:
    return [run for run in _pipelines(mlflow, experiment) if any(_sources(mlflow, run, text))]


def _sources(mlflow: MlflowClient, run: Run, wanted: str | None) -> Iterator[SourceFile]:
    """Rows of the run's manifest: all, or those whose source has the sha256 or UID ``wanted``."""
    text = stored.read(mlflow, run, MANIFEST_FILE).decode()
    for row in csv.DictReader(io.StringIO(text, newline="")):
        if wanted is None or wanted in (row["source_sha256"], row["source_uid"]):
            yield SourceFile(**{field.name: unshielded(row[field.name]) for field in fields(SourceFile)})


def _describe(mlflow: MlflowClient, parent: Run, wanted: str | None) -> RunLineage:
    tags, run_id = parent.data.tags, parent.info.run_id
    children = find_runs(mlflow, [parent.info.experiment_id], {PARENT: run_id, KIND: "trial"})
    models = (
        model for run in (*children, parent) for model in _models(mlflow, run.info.run_id, run.data.tags.get(TRIAL))
    )
    return RunLineage(
        run=PipelineRun(run_id, parent.info.run_name or "", parent.info.status, tags.get("kfp.pipeline_run_id")),
        image=tags.get(IMAGE),
        code=Code(tags.get(GIT_COMMIT), tags.get(GIT_DIRTY)),
        data=Data(tags.get(DATA_DIGEST), tuple(_sources(mlflow, parent, wanted))),
        trials=tuple(TrialRun(child.info.run_id, child.data.tags[TRIAL], child.info.status) for child in children),
        models=tuple(models),
    )


def _models(mlflow: MlflowClient, run_id: str, trial: str | None) -> Iterator[ModelVersion]:
    for version in mlflow.search_model_versions(f"run_id = '{run_id}'"):
        aliases = mlflow.get_registered_model(version.name).aliases
        number = str(version.version)
        yield ModelVersion(
            name=version.name,
            version=number,
            aliases=tuple(sorted(alias for alias, pointed in aliases.items() if str(pointed) == number)),
            trial=trial,
            epoch=version.tags.get("epoch"),
            snapshot_sha256=version.tags.get("mammogan.snapshot_sha256"),
        )
