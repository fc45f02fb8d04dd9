"""Fill up the rare class with the registered generator's images."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from mammogan import registry, storage
from mammogan.config import Config, override
from mammogan.data.dataset import Dataset
from mammogan.data.summary import read_minority
from mammogan.graph import Step
from mammogan.steps.context import StepContext
from mammogan.synthesis import fill, load_model
from mammogan.synthesis.balance import shortage
from mammogan.tracking.findings import STEPS, log_findings, synthetic_document

logger = logging.getLogger(__name__)

AUDITED_AT_LEAST = 32
"""Synthetic images below which an audit says nothing."""


def run(context: StepContext, version: str, dataset: Path, minority: Path, winner: Path, filled: Path) -> None:
    """Write the data set filled up to balance; the model's version marks every synthetic image.

    Raises ValueError where ``winner`` is not the snapshot that was registered.
    """
    with context.step(Step.SYNTHESISE):
        label = read_minority(minority).label
        name = context.settings.select.model_name
        registry.require_snapshot(winner, name, version)
        model = load_model(winner, f"{name}-v{version}")
        whole = Dataset.read(dataset)
        synthetic = fill(model, whole, label, _with_count(context.settings, whole, label), str(filled)).synthetic
        assert synthetic
        with tempfile.TemporaryDirectory() as folder:
            storage.write_bytes(str(Path(folder, STEPS["synthetic"])), synthetic_document(synthetic))
            log_findings(context.parent_id, "synthetic", Path(folder))


def _with_count(config: Config, dataset: Dataset, label: int) -> Config:
    """Configuration that also makes images where the class is short of few: as many as there are to learn from."""
    short = shortage(dataset, label, config.synthesise.ratio)
    if short >= AUDITED_AT_LEAST or config.synthesise.count:
        return config
    message = f"{short} images needed to balance the classes" if short else "the classes are balanced"
    count = max(short, len(dataset.train.of(label)))
    logger.info(f"{message}; {count} images are made, so that there is something to audit")
    return override(config, {"synthesise.count": count})
