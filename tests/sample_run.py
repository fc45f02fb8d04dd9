"""A run as MLflow would give it back, with the paper's own numbers as its results."""

import dataclasses
import functools
import io

import numpy as np
from PIL import Image

from mammogan import config, results, storage
from mammogan.config import Trial
from mammogan.data.summary import Counts, Leak, MinoritySummary, Sides, Summary
from mammogan.records import RunRecord, TrialRecord
from mammogan.reporting import tables
from mammogan.results import (
    Decision,
    Direction,
    Evaluation,
    HeldOutSet,
    Measurement,
    Network,
    Outcome,
    Quantity,
    TrialFile,
    TrialResult,
    TrialStatus,
    Verdict,
    WinnerResult,
)
from mammogan.selection.ranking import select

LPIPS, REAL_FAKE, FAKE_FAKE = "lpips", "real_fake", "fake_fake"
COLUMNS = {
    "kid": (Quantity("kid", "inception", "train"), 0.01, Direction.LOWER),
    "fid": (Quantity("fid", "inception", "train"), 42.0, Direction.LOWER),
    "lpips_real_fake": (Quantity(LPIPS, LPIPS, REAL_FAKE), 0.26, Direction.LOWER),
    "lpips_fake_fake": (Quantity(LPIPS, LPIPS, FAKE_FAKE), 0.29, Direction.MATCH_REFERENCE),
    "ms_ssim_real_fake": (Quantity("ms_ssim", "", REAL_FAKE), 0.55, Direction.MATCH_REFERENCE),
    "ms_ssim_fake_fake": (Quantity("ms_ssim", "", FAKE_FAKE), 0.53, Direction.MATCH_REFERENCE),
}


def measured(epoch, name, value, spread=0.05):
    quantity, reference, direction = COLUMNS[name]
    return Measurement(
        quantity=quantity, value=value, low=value * (1 - spread), high=value * (1 + spread), confidence=0.95,
        reference=reference, direction=direction, n_real=407, n_fake=1000, seed=0, implementation="mammogan",
        epoch=epoch,
    )  # fmt: skip


def evaluation(trial, rows, status=TrialStatus.FINISHED, reason=""):
    """Evaluation of a trial from rows of ``epoch`` and the six columns of the paper's tables."""
    measurements = tuple(measured(int(row["epoch"]), name, row[name]) for row in rows for name in COLUMNS)
    return Evaluation(
        gp_lambda=trial.gp_lambda, seed=trial.seed, status=TrialStatus(status), reason=reason, data_digest="d" * 64,
        train_s=4321.0, extractor=Network("inception", "0" * 64), lpips=Network("alex", ""), measurements=measurements,
    )  # fmt: skip


def snapshot_evaluation(trial, epoch, kid, **more):
    """Evaluation of a trial whose single snapshot has that KID, and figures that every gate lets pass."""
    measurements = (measured(epoch, "kid", kid), measured(epoch, "fid", 90.0), measured(epoch, "lpips_fake_fake", 0.3))
    return dataclasses.replace(evaluation(trial, []), measurements=measurements, **more)


def winner_result(snapshot, candidate, kid=0.21, looks=1, **more):
    """What came of measuring a candidate anew: that KID on 40 test images of 20 patients, and FID as it was."""
    figures = {"kid": kid, "fid": 91.0}
    measurements = tuple(
        dataclasses.replace(
            item, quantity=dataclasses.replace(item.quantity, pairing="test"), n_real=40,
            value=figures[item.quantity.metric], low=figures[item.quantity.metric] - 0.02,
            high=figures[item.quantity.metric] + 0.02,
        )
        for item in candidate.decided_by()
    )  # fmt: skip
    given = {
        "gp_lambda": candidate.gp_lambda, "seed": candidate.seed, "epoch": candidate.epoch,
        "snapshot_sha256": storage.sha256_of(snapshot) if snapshot else "5" * 64, "latent_seed": 7,
        "test_set": HeldOutSet("7" * 64, 40, 20, looks), "selected_by": tuple(candidate.decided_by()),
        "measurements": measurements, "verdict": Verdict("not memorised", Outcome.PASSED, "no gap"),
    }  # fmt: skip
    return WinnerResult(**{**given, **more})


def write_result(folder, snapshot, **more):
    """``result.json`` beside ``decision.json``, of the decision's winner; its path."""
    chosen = results.read(Decision, folder / "decision.json").winner
    results.write(winner_result(snapshot, chosen, **more), folder / "result.json")
    return folder / "result.json"


def training(trial, status=TrialStatus.FINISHED, reason="", **more):
    """What the training of a trial hands on."""
    return TrialResult(
        gp_lambda=trial.gp_lambda, seed=trial.seed, data_digest="d" * 64, epochs=1, status=status, reason=reason, **more
    )  # fmt: skip


def write_trial(folder, result):
    """``trial.json`` with the files that lie in the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".pt", ".png", ".jsonl"))
    files = tuple(TrialFile(str(path.relative_to(folder)), storage.sha256_of(path)) for path in paths)
    results.write(dataclasses.replace(result, files=files), folder / "trial.json")


@functools.cache
def grid(seed, tile=56):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: 4 * (tile + 2) - 2, : 8 * (tile + 2) - 2]
    picture = 255 * np.exp(-(((x % 58 - 20) / 24) ** 2 + ((y % 58 - 28) / 20) ** 2)) + rng.normal(0, 12, x.shape)
    buffer = io.BytesIO()
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def paper_run(diverged=None):
    """The paper's three trials as one run of preset paper; ``diverged`` is a lambda that diverged at epoch 300."""
    trials = []
    for gp_lambda, rows in tables.paper_tables().items():
        trial, gone = Trial(gp_lambda, 0), gp_lambda == diverged
        rows = rows[:2] if gone else rows
        status, reason = ("diverged", "epoch 300: train/penalty is nan") if gone else ("finished", "")
        training = TrialResult(
            gp_lambda=gp_lambda, seed=0, data_digest="d" * 64, epochs=1000, status=TrialStatus(status), reason=reason,
            epochs_done=300 if gone else 1000, device="cpu", train_s=4321.0,
            frozen=Network("RadImageNet DenseNet121", "5" * 64), images_seen=1,
        )  # fmt: skip
        last = int(rows[-1]["epoch"])
        history = {
            "train/wasserstein": [(e, 9 * np.exp(-e / 300) + 1.5) for e in range(1, last, 10)],
            "train/gradient_norm": [(e, 1 + 0.8 / e**0.5) for e in range(1, last, 10)],
            "train/generator_loss": [(e, np.sin(e / 90)) for e in range(1, last, 10)],
        }
        grids = {epoch: grid(epoch) for epoch in (1, *(int(row["epoch"]) for row in rows))}
        trials.append(
            TrialRecord(
                run_id=f"{int(gp_lambda * 10):032x}", trial=trial, status="FAILED" if gone else "FINISHED", tags={},
                training=training, evaluation=evaluation(trial, rows, status, reason), history=history, grids=grids,
            )
        )  # fmt: skip
    settings = config.override(config.PRESETS["paper"], {"train.batch_size": 16})
    return RunRecord(
        run_id="a" * 32, name="paper 1b2c3d4e", experiment="mammogan", status="FINISHED",
        started_ms=1_790_000_000_000, ended_ms=1_790_050_000_000, params={}, tags={"kfp.pipeline_run_id": "1b2c3d4e"},
        config=settings, data=rare_class(),
        decision=select([trial.evaluation for trial in trials], settings.select), trials=tuple(trials),
    )  # fmt: skip


def rare_class(data_digest="d" * 64):
    """The paper's malignant images."""
    train = Counts(images=981, benign=574, malignant=407, patients=539)
    test = Counts(images=246, benign=144, malignant=102, patients=211)
    whole = Summary(
        images=1227, benign=718, malignant=509, patients=602, source="nbia", subset="calc-train",
        splits=Sides(train, test, Leak(patients=148, test_images=190)), data_digest="e" * 64, mixed_labels=7,
    )  # fmt: skip
    return MinoritySummary(
        label=1, name="malignant", train_counts={"benign": 574, "malignant": 407}, missing=167,
        data_digest=data_digest, whole=whole,
    )  # fmt: skip
