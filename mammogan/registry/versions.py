"""Model versions: a winner is registered once, as the challenger, with everything a user of it must know."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException

from mammogan import results, storage, tracking
from mammogan.config import Config, lambda_text
from mammogan.registry import lock, model_page, notes
from mammogan.registry.contents import FILES, SNAPSHOT, files_sha256
from mammogan.registry.model import save
from mammogan.registry.promotion import CHALLENGER, CHAMPION, METADATA, alias_version, moves
from mammogan.reporting import card
from mammogan.reporting import winner as wording
from mammogan.results import Candidate, Decision, WinnerResult
from mammogan.tracking.server import CRITIC_SHA256, require_model_name

logger = logging.getLogger(__name__)

PARENT_RUN = "mammogan.parent_run"
LONGEST_TAG = 5000
LOCK_WAIT_S = 3600.0
"""How long a registration waits for another one of the same run, which may have a slow way to its artifacts."""
INHERITED_TAGS = (tracking.DATA_DIGEST, "mammogan.frozen", "mammogan.extractor", "mammogan.lpips", CRITIC_SHA256)


def register(
    snapshot: Path, decision: Path, result: Path, parent_id: str, config: Config, tracking_uri: str = ""
) -> str:
    """Version of the registered model that holds the decision's winner, with the alias ``challenger``.

    ``snapshot`` is the winner's file, ``decision`` the JSON file of the selection and ``result`` that of the figures on
    test images, which the version carries, or the reason why it has none. The same snapshot of the same parent run is
    registered once, also where two processes do so at once, as of a step that was started twice: the second waits for
    the first. Raises ValueError for a decision that was not accepted and a result of another snapshot,
    FileNotFoundError or ValueError for a snapshot that cannot be loaded, TimeoutError where the first takes an hour.
    """
    chosen = results.read(Decision, decision)
    if chosen.winner is None:
        raise ValueError(f"decision={chosen.verdict!r}: only an accepted decision can be registered")
    measured = results.read(WinnerResult, result)
    if measured.snapshot_sha256 != storage.sha256_of(snapshot):
        raise ValueError(f"result={str(result)!r}: it is of another snapshot than {snapshot}; measure that one")
    client, name = tracking.client(tracking_uri), config.select.model_name
    tags = {PARENT_RUN: parent_id, SNAPSHOT: storage.sha256_of(snapshot)}
    with lock.held(client, parent_id, LOCK_WAIT_S) as mine:
        if not mine:
            raise TimeoutError(
                f"parent_id={parent_id!r}: another process has been registering this run's winner for {LOCK_WAIT_S:g} "
                "s; end it, then register again"
            )
        number = _find_version(client, name, tags)
        number = number or _create_version(client, snapshot, chosen, measured, config, tags, tracking_uri)
        notes.write_result(name, number, measured, tracking_uri)
        for model in _logged_models(client, client.get_run(parent_id).info.experiment_id, tags):
            _log_metrics(client, parent_id, model.model_id, measured.charted(), 0)
        _set_challenger(client, name, number)
    logger.info(f"model {name} version {number} is registered")
    tracking.set_tags(parent_id, {tracking.MODEL_VERSION: number}, tracking_uri)
    return number


def _find_version(client: MlflowClient, name: str, tags: Mapping[str, str]) -> str:
    """Number of the first version with this snapshot of this parent run; empty where there is none."""
    versions = client.search_model_versions(f"name = '{name}'")
    same = [item for item in versions if all(item.tags.get(key) == tags[key] for key in (SNAPSHOT, PARENT_RUN))]
    return str(min(int(item.version) for item in same)) if same else ""


def _set_challenger(client: MlflowClient, name: str, number: str) -> None:
    """Point ``challenger`` to the version, unless it has an alias or a younger version is the challenger."""
    aliases = {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}
    if int(number) not in aliases.values() and int(number) > aliases.get(CHALLENGER, 0):
        client.set_registered_model_alias(name, CHALLENGER, number)


def _create_version(
    client: MlflowClient,
    snapshot: Path,
    decision: Decision,
    result: WinnerResult,
    config: Config,
    tags: Mapping[str, str],
    tracking_uri: str,
) -> str:
    parent_id, winner = tags[PARENT_RUN], decision.winner
    assert winner is not None, "register asks for it"
    run_id = tracking.find_trial(parent_id, winner.trial, tracking_uri) or parent_id
    run = client.get_run(run_id)
    text = card.write(tracking.read_run(parent_id, tracking_uri), decision)
    description = notes.described(f"{model_page.picture(run_id, winner.epoch)}\n\n{text}")
    text = notes.with_section(text, "result", "\n".join(wording.card_lines(result)))
    experiment = run.info.experiment_id
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        save(snapshot, path, metadata={METADATA: results.document(winner).decode(), "size": config.data.size})
        (path / card.FILE).write_text(text)
        all_tags = {**_winner_tags(winner, decision.verdict, run.data.tags), **tags, FILES: files_sha256(path)}
        short = {key: value[:LONGEST_TAG] for key, value in all_tags.items()}
        model = client.create_logged_model(
            experiment, "generator", source_run_id=run_id, tags=short, model_type="wgan-gp"
        )
        _drop_unfinished(client, experiment, short, model.model_id)
        client.log_model_artifacts(model.model_id, str(path))
    _log_metrics(client, run_id, model.model_id, results.charted(winner.measurements), winner.epoch)
    client.finalize_logged_model(model.model_id, "READY")
    name = config.select.model_name
    ensure_registered_model(client, name)
    model_page.write(client, name, alias_version(client, name, CHAMPION), moves(name, tracking_uri))
    created = client.create_model_version(
        name, f"models:/{model.model_id}", run_id=run_id, tags=short, description=description, model_id=model.model_id
    )
    first = _find_version(client, name, tags)
    if first != str(created.version):  # the answer to a first attempt was lost, and the client asked again
        client.delete_model_version(name, str(created.version))
    return first


def _log_metrics(client: MlflowClient, run_id: str, model_id: str, values: Mapping[str, float], step: int) -> None:
    """Log a run's values of a step as the model's own, beside its name on MLflow's page.

    Each is the very point that the run holds already, where it holds it, so that there it is there once.
    """
    for key, value in values.items():
        held = [item for item in client.get_metric_history(run_id, key) if (item.step, item.value) == (step, value)]
        client.log_metric(run_id, key, value, held[0].timestamp if held else None, step, model_id=model_id)


def _drop_unfinished(client: MlflowClient, experiment: str, tags: Mapping[str, str], kept: str) -> None:
    """Delete the models of this snapshot but one: those that a process which died before their registration has left.

    And that of a first request whose answer was lost. Under the run's lock, for those of a process that lives look the
    same.
    """
    for model in _logged_models(client, experiment, tags):
        if model.model_id != kept:
            client.delete_logged_model(model.model_id)


def _logged_models(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> list[LoggedModel]:
    """MLflow's models of this snapshot of this parent run."""
    query = " and ".join(f"tags.`{name}` = '{tags[name]}'" for name in (SNAPSHOT, PARENT_RUN))
    return list(client.search_logged_models([experiment], query))


def _winner_tags(winner: Candidate, verdict: str, run_tags: Mapping[str, str]) -> dict[str, str]:
    """What a user of the model must know: how it was trained and chosen, and on what that rests."""
    inherited = {name: value for name, value in run_tags.items() if name in INHERITED_TAGS}
    origin = {"lambda": lambda_text(winner.gp_lambda), "seed": str(winner.seed), "epoch": str(winner.epoch)}
    return {**inherited, **origin, "verdict": verdict}


def ensure_registered_model(client: MlflowClient, name: str) -> None:
    """Create the registered model of that name where there is none. Raises ValueError where it is a prompt's name."""
    try:
        client.create_registered_model(name, description=model_page.SUMMARY)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        require_model_name(client, name)
