"""Measure whether the synthetic images help a classifier."""

from __future__ import annotations

import logging
import tempfile
from functools import cache
from pathlib import Path

from torch import Tensor

from mammogan import registry, results, tracking
from mammogan.data.dataset import Dataset
from mammogan.errors import NotEnoughDataError
from mammogan.graph import Step
from mammogan.records import Findings
from mammogan.steps import notes
from mammogan.steps.context import StepContext
from mammogan.synthesis import Model, draw_images, load_model
from mammogan.tracking.findings import log_findings
from mammogan.utility import Draw, study

logger = logging.getLogger(__name__)


def run(context: StepContext, version: str, filled: Path, out: Path) -> None:
    """Write the comparison of classifiers, log it, and say its verdict on the registered version.

    The first block of trainings has the images of the filled set, the others new ones of the registered generator.
    """
    with context.step(Step.UTILITY):
        try:
            result = study(filled, context.settings, out, draw=_drawn_from(context, version, filled))
        except NotEnoughDataError as error:
            notes.not_done(context, version, "utility", error, out)
            return
        measures, effects = (
            results.numbers(result.measures, "utility/"),
            results.numbers(result.effects, "utility_effect/"),
        )
        tests = results.numbers(result.tests, "utility_test/")
        log_findings(context.parent_id, "utility", out, measures | effects | tests)
        notes.add(context, version, "utility", result.verdict, Findings(utility=result))
        tracking.set_tags(context.parent_id, {"mammogan.utility": result.verdict})
        logger.info(f"utility: {result.verdict}")


def _drawn_from(context: StepContext, version: str, filled: Path) -> Draw:
    """Images of the registered generator for a block, which is fetched where it is asked; raises as the registry."""
    settings, name = context.settings, context.settings.select.model_name

    @cache
    def model() -> Model:
        with tempfile.TemporaryDirectory() as folder:
            snapshot = registry.snapshot_of(f"models:/{name}/{version}", Path(folder, "model"))
            return load_model(snapshot, f"{name}-v{version}")

    def draw(count: int, block: int) -> Tensor:
        whole = Dataset.read(filled)
        label = int(whole.synthetic.labels[0])
        return draw_images(model(), count, label, settings, whole, settings.synthesise.seed + block)

    return draw
