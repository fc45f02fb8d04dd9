"""What a person sees first of a run in MLflow: the views of its charts, its description, the experiment's note.

Written when a run begins, when it has decided and when it has ended. None of it is a result: where it cannot be written
the run goes on.
"""

from __future__ import annotations

from pathlib import Path

from mammogan import registry, storage, tracking
from mammogan.records import Link, Production, RunRecord
from mammogan.reporting import descriptions
from mammogan.reporting.descriptions import Places
from mammogan.reporting.figures import by_lambda
from mammogan.results import Quantity
from mammogan.tracking import links, notes, stored, views
from mammogan.tracking.server import REPORT_PAGE, RUN_KEY


def update(parent_id: str, tracking_uri: str = "") -> None:
    """Bring all that is shown of a pipeline run up to what MLflow holds of it; whatever a person changed stays."""
    with notes.never_fatal():
        record = tracking.read_run(parent_id, tracking_uri)
        views.save(parent_id, _quantities(record), _figures(record), _last_epoch(record), _seeds(record), tracking_uri)
        production = registry.in_production(record.config.select.model_name, tracking_uri) if record.config else None
        places = _places(record, production, tracking_uri)
        notes.describe_run(parent_id, descriptions.run_description(record, production, places), tracking_uri)
        if record.decision or record.status != "RUNNING":  # until then what the run before came to stands there
            note = descriptions.experiment_note(record, production, places)
            notes.describe_experiment(parent_id, note, tracking_uri)


def update_after(model: str, version: str, tracking_uri: str = "") -> None:
    """Bring the experiment's note up to a move of the champion's alias that was made outside a run.

    ``version`` is the new champion, whose experiment it is.
    """
    with notes.never_fatal():
        latest = notes.latest_decided(registry.run_of(model, version, tracking_uri), tracking_uri)
        if latest:
            update(latest, tracking_uri)


def link(parent_id: str, tracking_uri: str = "") -> Link | None:
    """Link to the run's view, with the command that has to run while it is used; None where it is not known."""
    with notes.never_fatal():
        reach = links.reach(tracking_uri)
        return Link(f"{reach.address}/{links.fragment(parent_id, tracking_uri)}", reach.command)
    return None


def write_link(parent_id: str, page: Path) -> None:
    """Write ``page``, in Markdown, with the link that opens the run in MLflow."""
    with notes.never_fatal():
        storage.write_bytes(str(page), f"The run in MLflow: {links.link(parent_id)}\n".encode())


def _places(record: RunRecord, production: Production | None, tracking_uri: str) -> Places:
    mlflow = tracking.client(tracking_uri)
    experiment_id = mlflow.get_run(record.run_id).info.experiment_id
    report = views.artifact_path(experiment_id, record.run_id, f"{tracking.REPORT}/{REPORT_PAGE}")
    model = record.config.select.model_name if record.config else ""
    version = record.tags.get(tracking.MODEL_VERSION)
    return Places(
        charts=views.path(experiment_id, record.tags[RUN_KEY], tracking_uri),
        retrainings=views.path(experiment_id, views.RETRAININGS, tracking_uri),
        report=report if tracking.REPORT in stored.names(mlflow, record.run_id) else "",
        production=views.model_path(production.model) if production else "",
        registered=views.version_path(model, version) if version else "",
    )


def _quantities(record: RunRecord) -> list[Quantity]:
    """What the trials were measured by over their epochs, what decides first."""
    measured = {
        item.quantity: None
        for trial in record.trials
        if trial.evaluation
        for item in trial.evaluation.measurements
        if item.quantity.pairing != "real_real"
    }
    winner = record.decision.winner if record.decision else None
    deciding = winner.deciding if winner else ()
    return [*(item for item in deciding if item in measured), *(item for item in measured if item not in deciding)]


def _figures(record: RunRecord) -> list[Quantity]:
    """What the winner was measured by on test images."""
    result = record.findings.result
    return [item.quantity for item in result.figures()] if result else []


def _last_epoch(record: RunRecord) -> int:
    """Last epoch of which every trial has samples; of any, where there is no such one; 0 without samples."""
    epochs = [set(trial.grids) for trial in record.trials if trial.grids]
    return max(set.intersection(*epochs) or set.union(*epochs), default=0) if epochs else 0


def _seeds(record: RunRecord) -> int:
    """Most trials of one lambda."""
    return max((len(group) for group in by_lambda(record).values()), default=1)
