"""Is one gradient-penalty weight better than another? Paired differences of a metric with their intervals.

The unit is a training run: lambdas are paired by seed, and a run's figure is the mean over its snapshots of the later
half, where the paper's curves are flat. With a single seed the pairs are snapshots of the same epoch; such an interval
knows the noise from snapshot to snapshot and nothing of that from seed to seed, and the result says so. Intervals are
Student-t at a level that holds for all pairs of lambdas together (Bonferroni).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mammogan.config import SelectConfig
from mammogan.metrics.intervals import combine, jackknife
from mammogan.records import RunRecord

Evaluation = Mapping[str, Any]


def compare_lambdas(
    evaluations: Sequence[Evaluation], metric: str, pairing: str, confidence: float = 0.95
) -> list[dict[str, Any]]:
    """A verdict for each pair of lambdas among evaluations (the content of their ``evaluation.json``).

    Each is ``{"metric", "pairing", "one", "other", "difference", "low", "high", "confidence", "pairs", "paired_by",
    "verdict"}``; the difference is one minus other of the score, where less is better: the value, the value negated
    where higher is better, or the distance to the floor. The verdict names the better lambda or is
    ``no significant difference``. Pairs of lambdas that share no seed with the metric are left out. Raises ValueError
    where fewer than two lambdas have the metric, or records of it follow different protocols.
    """
    scores = _scores(evaluations, metric, pairing)
    lambdas = sorted({gp_lambda for gp_lambda, _ in scores})
    if len(lambdas) < 2:
        raise ValueError(f"metric={metric!r}, pairing={pairing!r}: {len(lambdas)} lambdas have it; compare at least 2")
    couples = list(itertools.combinations(lambdas, 2))
    level = 1 - (1 - confidence) / len(couples)
    compared = (_compare(scores, one, other, level) for one, other in couples)
    return [{"metric": metric, "pairing": pairing, **result} for result in compared if result]


def compare_run(record: RunRecord) -> list[dict[str, Any]]:
    """``compare_lambdas`` of a run's branches by its own first deciding metric; empty where fewer than two have it."""
    settings = SelectConfig(**record.config["select"]) if record.config else SelectConfig()
    evaluations = [branch.evaluation for branch in record.branches if branch.evaluation.get("status") == "finished"]
    if len({item["gp_lambda"] for item in evaluations}) < 2:
        return []
    return compare_lambdas(evaluations, settings.metrics.split(",")[0], settings.against)


def _scores(evaluations: Sequence[Evaluation], metric: str, pairing: str) -> dict[tuple[float, int], dict[int, float]]:
    """(lambda, seed) to epoch to score, less being better; only the later half of a run's epochs."""
    scores: dict[tuple[float, int], dict[int, float]] = {}
    protocols = set()
    for item in evaluations:
        records = [r for r in item["records"] if (r["metric"], r["pairing"]) == (metric, pairing)]
        later = max((record["epoch"] for record in records), default=0) / 2
        chosen = {record["epoch"]: _score(record) for record in records if record["epoch"] >= later}
        protocols |= {(record["key"], record["n_real"], record["n_fake"]) for record in records}
        if chosen:
            scores[item["gp_lambda"], item["seed"]] = chosen
    if len(protocols) > 1:
        raise ValueError(f"metric={metric!r}: different protocols {sorted(protocols)}; evaluate all branches alike")
    return scores


def _score(record: Mapping[str, Any]) -> float:
    if record["direction"] == "near_floor":
        return abs(record["value"] - record["floor"])
    return -record["value"] if record["direction"] == "higher" else record["value"]


def _compare(
    scores: Mapping[tuple[float, int], Mapping[int, float]], one: float, other: float, level: float
) -> dict[str, Any] | None:
    seeds = sorted({seed for gp_lambda, seed in scores if gp_lambda == one and (other, seed) in scores})
    if not seeds:
        return None
    runs = [(scores[one, seed], scores[other, seed]) for seed in seeds]
    if len(runs) > 1:
        paired_by = "seed"
        differences = [float(np.mean(list(a.values())) - np.mean(list(b.values()))) for a, b in runs]
    else:
        paired_by = "epoch of one seed: says nothing of other seeds"
        a, b = runs[0]
        differences = [a[epoch] - b[epoch] for epoch in sorted(a.keys() & b.keys())]
    mean, low, high = _mean_with_interval(np.array(differences), level)
    better = one if high is not None and high < 0 else other if low is not None and low > 0 else None
    verdict = "no significant difference" if better is None else f"lambda={better:g} is better"
    return {
        "one": one, "other": other, "difference": mean, "low": low, "high": high, "confidence": level,
        "pairs": len(differences), "paired_by": paired_by, "verdict": verdict,
    }  # fmt: skip


def _mean_with_interval(values: np.ndarray, confidence: float) -> tuple[float | None, float | None, float | None]:
    if len(values) < 2:
        return (float(values[0]) if len(values) else None), None, None
    mean = float(values.mean())
    without = (values.sum() - values) / (len(values) - 1)
    return combine(mean, [jackknife(mean, without)], confidence)
