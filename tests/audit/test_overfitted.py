"""A "model" that has learnt its training images and hands them over moved: the gates must refuse it."""

import dataclasses

import numpy as np
import pytest
import torch
from filled_dataset import write_dataset
from mlflow import MlflowClient
from PIL import Image
from test_moved_copies import MOVES, textures

from mammogan import config, registry, tracking
from mammogan.audit import audit_dataset
from mammogan.audit.page import PAGE
from mammogan.data.dataset import Dataset
from mammogan.registry import notes
from mammogan.registry.promotion import CHAMPION, alias_version
from mammogan.registry.versions import ensure_registered_model
from mammogan.results import Outcome
from mammogan.selection import gates

SETTINGS = config.override(config.PRESETS["demo"], {"evaluate.extractor": "random", "audit.fakes": 240})
MALIGNANT = 1


def replays(originals, count):
    """``count`` copies of the first four of ``originals``, each under another move, and which one each copies."""
    moves = list(MOVES.values())
    sources = [number % 4 for number in range(count)]
    copied = [moves[number % len(moves)](originals[source : source + 1]) for number, source in enumerate(sources)]
    return torch.cat(copied), sources


def test_moved_replays_are_refused_and_named(tmp_path):
    pictures = iter(textures(60, 0)[:, 0].numpy())
    folder = write_dataset(tmp_path / "d", {"train": (2, 36), "test": (2, 12)}, picture=lambda *_: next(pictures))
    train = Dataset.read(folder).train.of(MALIGNANT)
    copied, sources = replays(train.images(), 8)
    fakes = torch.cat([textures(16, 1), copied])
    audit = audit_dataset(folder, SETTINGS, tmp_path / "audit", fakes=fakes, label=MALIGNANT)
    assert "moved copies" in [verdict.gate for verdict in audit.verdicts if verdict.refuses]
    assert audit.outcome is Outcome.REFUSED
    by_move = [image for image in audit.copied if "moved" in image.spaces]
    names = {image.train: (image.train_image, image.fakes) for image in by_move}
    assert sorted(names) == [0, 1, 2, 3]
    for number, (name, found) in names.items():
        assert name == train.pseudonyms[number]
        assert found == tuple(16 + index for index, source in enumerate(sources) if source == number)
    page = (tmp_path / "audit" / PAGE).read_text()
    assert all(name in page for name, _ in names.values())
    assert gates.audited(audit.outcome, gates.audit_summary(audit)).refuses


@pytest.mark.long
@pytest.mark.parametrize("asked", ["demo", "paper"])
def test_a_quarter_of_moved_copies_of_real_crops_never_becomes_champion(shared, asked, database, tmp_path, monkeypatch):
    """60 of 240 images, the others of unrelated patients, under the demo's checks and under all."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    tracking.ensure_experiment(tmp_path.name, str(tmp_path / "artifacts"))
    crops = iter(sorted((shared / "data" / "cbis_ddsm" / "mass_crops_256").glob("*_CC_1.png")))

    def crop(*_):
        return np.asarray(Image.open(next(crops)).convert("L").resize((56, 56), Image.Resampling.BICUBIC))

    folder = write_dataset(tmp_path / "d", {"train": (1, 120), "test": (1, 40)}, picture=crop)
    copied, _ = replays(Dataset.read(folder).train.of(MALIGNANT).images(), 60)
    others = torch.from_numpy(np.stack([crop() for _ in range(180)]))[:, None]
    required = config.PRESETS[asked].audit.required
    settings = dataclasses.replace(SETTINGS, audit=dataclasses.replace(SETTINGS.audit, required=required))
    audit = audit_dataset(folder, settings, tmp_path / "audit", fakes=torch.cat([copied, others]), label=MALIGNANT)
    found = {fake for image in audit.copied if "moved" in image.spaces for fake in image.fakes}
    assert len(found & set(range(60))) >= 57
    assert len(found - set(range(60))) <= 1
    client = MlflowClient(database)
    ensure_registered_model(client, "mammogan")
    version = str(client.create_model_version("mammogan", str(tmp_path)).version)
    notes.write_outcome("mammogan", version, audit.outcome, gates.audit_summary(audit))
    monkeypatch.setattr("mammogan.registry.promotion.candidate_of", lambda *_: None)
    move = registry.promote("mammogan", version, "x")
    assert not move.moved
    assert move.why.startswith("refused: audited: the audit refused: moved copies")
    assert alias_version(client, "mammogan", CHAMPION) is None
