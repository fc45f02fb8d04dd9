"""Whether training again can give anything new: what changed since the models that there are.

A schedule starts runs by the clock. A run on the same data with the same code and settings as the champion's, or as
any that trained already and came to a verdict, would only repeat it: its model may have been refused by the champion,
by its images' audit, or by the selection, which then registers none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mammogan import tracking
from mammogan.graph import Step
from mammogan.ledger import State, Task, UnknownEntryError
from mammogan.registry.promotion import CHALLENGER, CHAMPION
from mammogan.registry.versions import PARENT_RUN
from mammogan.selection import ranking
from mammogan.tracking import ledger
from mammogan.tracking.environment import GIT_COMMIT, GIT_DIRTY, GPU_IMAGE, IMAGE
from mammogan.tracking.server import KIND, NOT_THERE, VERDICT, find_anywhere

logger = logging.getLogger(__name__)

SETTING = "cfg."
RETRAINING = "mammogan.retraining"
"""Tag of a pipeline run that says why it trains, or why not."""


@dataclass(frozen=True)
class Retraining:
    """Whether to train, and the reason in one line."""

    needed: bool
    why: str


def check_changes(parent_id: str, model: str, *, force: bool = False, tracking_uri: str = "") -> bool:
    """Whether the run ``parent_id`` has to train; its tag says why, and where it has not, so does its decision."""
    retraining = decide(parent_id, model, force=force, tracking_uri=tracking_uri)
    logger.info(retraining.why)
    tracking.set_tags(parent_id, {RETRAINING: retraining.why}, tracking_uri)
    if not retraining.needed:
        tracking.log_decision(parent_id, ranking.nothing_to_train(retraining.why), tracking_uri)
    return retraining.needed


def decide(parent_id: str, model: str, *, force: bool = False, tracking_uri: str = "") -> Retraining:
    """Compare the run ``parent_id``, whose data set is known by now, with the champion's and with all that were tried.

    Training is needed where data, code or settings differ from each of them. A run that already registered its model
    goes on, and a run that did not finish has tried nothing. ``force`` skips the comparison.
    """
    if force:
        return Retraining(True, "training unconditionally; --if-changed skips unchanged data")
    client = tracking.client(tracking_uri)
    ours = client.get_run(parent_id)
    registered = {alias: run for alias in (CHAMPION, CHALLENGER) if (run := _run_of(client, model, alias))}
    if parent_id in [run.info.run_id for run in registered.values()]:
        return Retraining(True, "this run has registered its model already and resumes")
    changes = list(_changes(registered[CHAMPION], ours)) if CHAMPION in registered else None
    if changes == []:
        return Retraining(False, f"nothing to train: data, code and settings are those of {model}@{CHAMPION}")
    if tried := _tried(client, ours):
        verdict = tried.data.tags.get(tracking.PROMOTION) or tried.data.tags.get(VERDICT) or "no verdict"
        reason = f"nothing to train: run {tried.info.run_name} has tried these data, code and settings: {verdict}"
        return Retraining(False, reason)
    if changes is None:
        return Retraining(True, f"model {model} has no champion yet")
    return Retraining(True, f"changed since {model}@{CHAMPION}: {'; '.join(changes)}")


def _tried(client: MlflowClient, ours: Run) -> Run | None:
    """The latest other run of the same data, code and settings that trained and finished, whatever came of it."""
    digest = ours.data.tags.get(tracking.DATA_DIGEST)
    alike = find_anywhere(client, {tracking.DATA_DIGEST: digest, KIND: "pipeline"}) if digest else []
    for run in reversed(alike):
        if run.info.status != "FINISHED" or run.info.run_id == ours.info.run_id:
            continue
        if _has_selected(run) and not list(_changes(run, ours)):
            return run
    return None


def _has_selected(run: Run) -> bool:
    """Whether the run got to a verdict; one whose record another version wrote has other code anyway."""
    try:
        return ledger.read(run).state(Task(Step.SELECT)) is State.DONE
    except UnknownEntryError:
        return False


def _run_of(client: MlflowClient, model: str, alias: str) -> Run | None:
    """Pipeline run that made the version with that alias; None without one, or where the run was purged."""
    try:
        number = client.get_registered_model(model).aliases.get(alias)
        tags = client.get_model_version(model, str(number)).tags if number is not None else {}
        return client.get_run(tags[PARENT_RUN]) if PARENT_RUN in tags else None
    except MlflowException as error:
        if error.error_code != NOT_THERE:
            raise
        return None


def _changes(before: Run, now: Run) -> Iterator[str]:
    """What differs in data, code and settings, in words."""
    for what, tag in (("data", tracking.DATA_DIGEST), ("data set", tracking.WHOLE_DIGEST)):
        yield from _change(what, *(run.data.tags.get(tag, "unknown")[:12] for run in (before, now)))
    yield from _change("code", _code(before.data.tags), _code(now.data.tags))
    if any(run.data.tags.get(GIT_DIRTY) == "true" and not run.data.tags.get(IMAGE) for run in (before, now)):
        yield "code has changes that are in no commit"
    names = {name for run in (before, now) for name in run.data.params if name.startswith(SETTING)}
    for name in sorted(names):
        values = (run.data.params.get(name, "unset") for run in (before, now))
        yield from _change(name.removeprefix(SETTING), *values)


def _change(what: str, before: str, now: str) -> Iterator[str]:
    if before != now:
        yield f"{what} {before} -> {now}"


def _code(tags: Mapping[str, str]) -> str:
    """Digests of the images, which are all that runs; without one the commit."""
    images = [tags[name].rpartition("@")[2] for name in (IMAGE, GPU_IMAGE) if tags.get(name)]
    return " and ".join(images) or tags.get(GIT_COMMIT) or "unknown"
