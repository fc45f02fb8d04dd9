"""The audit step: what it leaves on the version decides about its promotion."""

from pathlib import Path

import numpy as np
import pytest

from mammogan import results, tracking
from mammogan.config import PRESETS, override
from mammogan.errors import NotEnoughDataError
from mammogan.registry.promotion import AUDIT_OUTCOME
from mammogan.registry.versions import ensure_registered_model
from mammogan.results import AuditNote, Outcome
from mammogan.steps import StepContext, audit

CONFIG = PRESETS["demo"]


@pytest.fixture
def version(database, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    tracking.ensure_experiment(tmp_path.name, str(tmp_path / "artifacts"))
    ensure_registered_model(tracking.client(), CONFIG.select.model_name)
    return str(tracking.client().create_model_version(CONFIG.select.model_name, str(tmp_path)).version)


def test_after_the_last_seed_comes_the_first(monkeypatch):
    seeds = []
    monkeypatch.setattr(
        audit.registry, "generate", lambda _model, _count, seed: (seeds.append(seed), np.zeros((1, 2, 2), np.uint8))[1]
    )
    for seed in (0, 2**32 - 1):
        settings = override(CONFIG, {"synthesise.seed": seed})
        audit._generator(StepContext(settings, "0" * 32), "1")(1)
    assert seeds == [1, 0]


def test_an_audit_that_could_not_be_made_is_not_checked_and_says_why(version, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise NotEnoughDataError("train has 1 image")

    monkeypatch.setattr(audit, "audit_dataset", refuse)
    parent = tracking.open_parent(tmp_path.name, tmp_path.name, CONFIG, {})
    audit.run(StepContext(CONFIG, parent), version, tmp_path, Path("critic.pt"), tmp_path / "audit")
    tags = tracking.client().get_model_version(CONFIG.select.model_name, version).tags
    note = results.parse(AuditNote, tags[AUDIT_OUTCOME], "tag")
    assert note == AuditNote(Outcome.NOT_CHECKED, "not done: train has 1 image")
    assert tags["mammogan.audit"] == note.summary
