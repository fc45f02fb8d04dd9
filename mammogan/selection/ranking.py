"""Which snapshot wins, and whether its lead is real.

Every snapshot of a finished trial is a candidate where each deciding metric was measured and the gates let it pass.
Candidates are ordered by the first deciding metric, the later ones break ties. Whether the winner's lambda is better
than the others is another question, which ``comparison`` answers by whole runs in blocks by seed; the verdict tells
both.
Snapshots of a diverged or failed trial never win: their training did not end, so that what they show is neither the
experiment's setting nor repeatable.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mammogan import results, storage
from mammogan.config import SelectConfig
from mammogan.numbers import estimate
from mammogan.results import (
    Candidate,
    Decision,
    Evaluation,
    FailedTrial,
    LambdaComparison,
    LambdaStrength,
    Measurement,
    TrialStatus,
)
from mammogan.selection.comparison import compare_trials, describe, run_figures
from mammogan.selection.gates import candidate_gates, failures
from mammogan.selection.pairing import ranking_pairing
from mammogan.statistics import Variance, combine
from mammogan.training.trial_folder import CRITIC, require_content, snapshot_name

CONFIDENCE = 0.95
"""Of a lambda's own interval."""
LEAST = {"fid": 0.0}
"""By metric: what no value of it can be below; KID, unbiased, can be below 0."""


def decide(
    evaluations: Sequence[Path], store: str, config: SelectConfig, decision: Path, winner: Path, critic: Path
) -> Decision:
    """Choose among folders that hold ``evaluation.json``; write the decision, and snapshot and critic where one wins.

    ``store`` is where the trials left their files; ``decision``, ``winner`` and ``critic`` the files to write. The
    critic is that of the trial's end. Raises FileNotFoundError where the store lost the winner, ValueError for an
    evaluation of another version, and where the store's file is not the one that was trained.
    """
    given = read_evaluations(evaluations)
    choice = select(given, config)
    if chosen := choice.winner:
        trained = next(item for item in given if item.trial == chosen.trial)
        for name, target in ((snapshot_name(chosen.epoch), winner), (CRITIC, critic)):
            storage.write_bytes(str(target), _trained_file(trained, name, store))
    results.write(choice, decision)
    return choice


def read_evaluations(folders: Sequence[Path]) -> list[Evaluation]:
    """The record of each folder, ``evaluation.json``. Raises ValueError for one of another version."""
    return [results.read(Evaluation, folder / "evaluation.json") for folder in folders]


def _trained_file(trained: Evaluation, name: str, store: str) -> bytes:
    """Content of a file of a trial in the store, which is what the training wrote and what was measured."""
    folder = storage.join(store, "trials", trained.key)
    content = storage.read_bytes(storage.join(folder, name))
    file = next((file for file in trained.files if file.name == name), None)
    try:
        if file is None:
            raise ValueError(f"{name} is not in the trial's record")
        require_content(file, hashlib.sha256(content).hexdigest())
    except ValueError as error:
        raise ValueError(f"{folder}: {error}; remove the folder to train this trial anew") from error
    return content


def require_survivor(decision: Decision) -> None:
    """Raise RuntimeError with the reasons where every trial failed: such a run has failed."""
    if len(decision.failed) == decision.trials:
        raise RuntimeError(f"every trial failed: {'; '.join(decision.reasons)}")


def nothing_to_train(why: str) -> Decision:
    """The decision of a run that stopped before training, because it could only repeat an earlier one."""
    return Decision(verdict=why, skipped=True)


def select(evaluations: Sequence[Evaluation], config: SelectConfig) -> Decision:
    """The decision over all trials' evaluations.

    Never raises for what the evaluations hold: a metric that is missing, a failed trial or trials measured by different
    extractors are reasons in the decision, which then has no winner if no candidate is left.
    """
    failed = [
        FailedTrial(item.gp_lambda, item.seed, item.status, item.reason or "no reason was recorded")
        for item in evaluations
        if item.status is not TrialStatus.FINISHED
    ]
    finished = [item for item in evaluations if item.status is TrialStatus.FINISHED]
    against, because = ranking_pairing(finished, config)
    measured, refused = candidates_of(finished, config, against)
    mixed = _mixed_protocols(finished, config, against)
    gated = [(item, candidate_gates(item, config)) for item in measured]
    reasons = [
        *(f"{item.trial.name} {item.status}: {item.reason}" for item in failed),
        *refused,
        *([] if evaluations else ["no trial was evaluated"]),
        *([mixed] if mixed else []),
        *(f"{item.trial.name} epoch {item.epoch} refused: {why}" for item, gates in gated if (why := failures(gates))),
    ]
    ranked = [] if mixed else sorted((item for item in gated if not failures(item[1])), key=lambda item: _rank(item[0]))
    candidates = tuple(candidate for candidate, _ in ranked)
    winner, gates = ranked[0] if ranked else (None, [])
    comparisons = [] if mixed else compare_trials(finished, config)
    return Decision(
        verdict=_verdict(winner, comparisons) if winner else "no candidate: nothing is registered",
        winner=winner,
        trials=len(evaluations),
        against=against,
        against_because=because,
        metrics=tuple(config.metrics.split(",")),
        reasons=tuple(reasons),
        gates=tuple(gates),
        candidates=candidates,
        failed=tuple(failed),
        lambdas=() if mixed else tuple(lambda_strengths(finished, candidates, config, against)),
        comparisons=tuple(comparisons),
    )


def candidates_of(
    evaluations: Iterable[Evaluation], config: SelectConfig, against: str
) -> tuple[list[Candidate], list[str]]:
    """Snapshots with every deciding metric, and why the others are none."""
    candidates, refused = [], []
    for item in evaluations:
        epochs = sorted({measurement.epoch for measurement in item.measurements if measurement.epoch is not None})
        if not epochs:
            refused.append(f"{item.trial.name}: no snapshot was measured")
        for epoch in epochs:
            measurements = tuple(measurement for measurement in item.measurements if measurement.epoch == epoch)
            deciding, missing = _deciding(measurements, config, against)
            if missing:
                refused.append(f"{item.trial.name} epoch {epoch}: no {' and no '.join(missing)}")
                continue
            quantities = tuple(measurement.quantity for measurement in deciding)
            candidates.append(
                Candidate(
                    item.gp_lambda, item.seed, epoch, quantities, item.data_digest, measurements
                )
            )  # fmt: skip
    return candidates, refused


def _deciding(
    measurements: Sequence[Measurement], config: SelectConfig, against: str
) -> tuple[list[Measurement], list[str]]:
    """The deciding measurements in order, and the names of those that are missing."""
    deciding, missing = [], []
    for metric in config.metrics.split(","):
        wanted = (metric, against)
        matches = [item for item in measurements if (item.quantity.metric, item.quantity.pairing) == wanted]
        deciding += matches[:1]
        missing += [] if matches else [f"{metric} against {against}"]
    return deciding, missing


def _mixed_protocols(evaluations: Iterable[Evaluation], config: SelectConfig, against: str) -> str:
    """Why the trials cannot be compared; empty where they can."""
    protocols: dict[str, set[str]] = {}
    for item in evaluations:
        for metric in config.metrics.split(","):
            protocols.setdefault(metric, set()).update(
                f"{measurement.key} of {measurement.n_fake} fakes and {measurement.n_real} reals"
                for measurement in item.of(metric, against)
            )
    mixed = [" and ".join(sorted(names)) for names in protocols.values() if len(names) > 1]
    return f"trials were measured differently: {'; '.join(mixed)}; evaluate them again" if mixed else ""


def _rank(candidate: Candidate) -> tuple[float | int, ...]:
    """Deciding values, then the earlier epoch, then lambda and seed, so that the order never depends on the input."""
    values = [item.value for item in candidate.decided_by()]
    return (*values, candidate.epoch, candidate.gp_lambda, candidate.seed)


def _verdict(winner: Candidate, comparisons: Sequence[LambdaComparison]) -> str:
    first = winner.decided_by()[0]
    lead = f"{winner.trial.name} at epoch {winner.epoch} has the lowest {first.key}: {_shown(first)}"
    return f"{lead}; {describe(comparisons, winner.gp_lambda)}"


def lambda_strengths(
    evaluations: Sequence[Evaluation], ranked: Sequence[Candidate], config: SelectConfig, against: str
) -> list[LambdaStrength]:
    """The first deciding metric of each lambda that has a candidate, with an interval; what the report shows of each.

    With two seeds or more: mean over the runs' figures, at epochs that all runs have, and Student's 95% interval of it,
    which holds the training's own noise. With one: the best snapshot's value and interval, which holds only the
    sampling of images.
    """
    metric = config.metrics.split(",")[0]
    figures, least = run_figures(evaluations, metric, against), LEAST.get(metric, -math.inf)
    best: dict[float, Candidate] = {}
    for candidate in ranked:
        best.setdefault(candidate.gp_lambda, candidate)
    return [
        _mean_of(gp_lambda, list(figures[gp_lambda].values()), least)
        if len(figures.get(gp_lambda, {})) > 1
        else _best_of(candidate)
        for gp_lambda, candidate in best.items()
    ]  # fmt: skip


def _best_of(candidate: Candidate) -> LambdaStrength:
    first = candidate.decided_by()[0]
    return LambdaStrength(candidate.gp_lambda, first.value, first.low, first.high)


def _mean_of(gp_lambda: float, values: Sequence[float], least: float) -> LambdaStrength:
    """Mean with Student's t interval at 95%, which stays above ``least``."""
    runs = np.array(values)
    mean, count = float(runs.mean()), len(runs)
    part = Variance(float(runs.var(ddof=1)) / count, count - 1)
    return LambdaStrength(gp_lambda, *combine(mean, [part], CONFIDENCE, least), count)


def _shown(measurement: Measurement) -> str:
    without = measurement.low is None or measurement.high is None
    return f"{estimate(measurement)}{' (no interval)' if without else ''}"
