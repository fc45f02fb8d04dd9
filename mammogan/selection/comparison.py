"""Is one gradient-penalty weight better than another? Paired differences of a metric with their intervals.

The unit is a training run: lambdas are paired by seed, and a run's figure is the mean over its snapshots of the later
half, where the paper's curves are flat. Intervals are Student-t at a level that holds for all pairs of lambdas
together (Bonferroni). A single seed cannot tell lambdas apart, whatever its snapshots show: their interval, paired by
epoch, knows the noise from snapshot to snapshot and nothing of that from seed to seed, so it never decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mammogan.config import SelectConfig
from mammogan.records import RunRecord
from mammogan.selection.gates import is_number
from mammogan.statistics import combine, jackknife

Evaluation = Mapping[str, Any]
Scores = dict[tuple[float, int], dict[int, float]]

NO_DIFFERENCE = "no significant difference"
ONE_SEED = "one seed cannot tell"
NO_SEED = "no seed in common"


def compare_lambdas(
    evaluations: Sequence[Evaluation], metric: str, pairing: str, confidence: float = 0.95
) -> list[dict[str, Any]]:
    """A verdict for each pair of lambdas among evaluations (the content of their ``evaluation.json``).

    Each is ``{"metric", "pairing", "one", "other", "difference", "low", "high", "confidence", "pairs", "paired_by",
    "seeds", "better", "verdict", "told"}``; the difference is one minus other of the score, where less is better: the
    value, the value negated where higher is better, or the distance to the reference. ``seeds`` counts those that both
    have. With two or more, ``paired_by`` is ``seed``, and the verdict names the ``better`` lambda or is ``no
    significant difference``. With one the verdict is ``one seed cannot tell``, and the interval is that of its
    snapshots, ``paired_by`` ``epoch``; with none it is ``no seed in common``. ``told`` says it in words.
    Raises ValueError where fewer than two lambdas have the metric, or records of it follow different protocols.
    """
    scores = _scores(evaluations, metric, pairing)
    lambdas = sorted({gp_lambda for gp_lambda, _ in scores})
    if len(lambdas) < 2:
        raise ValueError(f"metric={metric!r}, pairing={pairing!r}: {len(lambdas)} lambdas have it; compare at least 2")
    couples = list(itertools.combinations(lambdas, 2))
    level = 1 - (1 - confidence) / len(couples)
    compared = [_compare(scores, one, other, level) for one, other in couples]
    return [{"metric": metric, "pairing": pairing, **item, "told": told([item], item["one"])} for item in compared]


def compare_trials(evaluations: Sequence[Evaluation], settings: SelectConfig) -> list[dict[str, Any]]:
    """``compare_lambdas`` by the first deciding metric of the settings; empty where fewer than two lambdas have it."""
    metric = settings.metrics.split(",")[0]
    finished = [item for item in evaluations if item["status"] == "finished"]
    measured = [item for item in finished if _records(item, metric, settings.against)]
    if len({item["gp_lambda"] for item in measured}) < 2:
        return []
    return compare_lambdas(measured, metric, settings.against)


def compare_run(record: RunRecord) -> list[dict[str, Any]]:
    """The comparison that the run's decision stands on; made anew where the run ended before a decision."""
    if "comparisons" in record.decision:
        return record.decision["comparisons"]
    settings = SelectConfig(**record.config.get("select", {}))
    return compare_trials([item.evaluation for item in record.trials if item.evaluation], settings)


def told(comparisons: Sequence[Mapping[str, Any]], gp_lambda: float) -> str:
    """In a clause, what the comparisons say of one lambda against the others; differences are its own minus theirs."""
    groups: dict[str, list[str]] = {}
    for item in comparisons:
        if gp_lambda in (item["one"], item["other"]):
            phrase = _phrase(item, f"lambda={gp_lambda:g}", gp_lambda)
            groups.setdefault(phrase, []).append(_rival(item, gp_lambda))
    clauses = (phrase.format(" and ".join(rivals)) for phrase, rivals in groups.items())
    return "; ".join(clauses) or "there is no other lambda to compare with"


def run_figures(evaluations: Sequence[Evaluation], metric: str, pairing: str) -> dict[float, dict[int, float]]:
    """Lambda to seed to the score of that run, the mean over the later half of its snapshots.

    Raises ValueError where records of the metric follow different protocols.
    """
    figures: dict[float, dict[int, float]] = {}
    for (gp_lambda, seed), scores in _scores(evaluations, metric, pairing).items():
        figures.setdefault(gp_lambda, {})[seed] = float(np.mean(list(scores.values())))
    return figures


def _records(item: Evaluation, metric: str, pairing: str) -> list[Mapping[str, Any]]:
    """The evaluation's finite records of one metric and pairing."""
    found = [record for record in item["records"] if (record["metric"], record["pairing"]) == (metric, pairing)]
    return [record for record in found if is_number(record["value"])]


def _scores(evaluations: Sequence[Evaluation], metric: str, pairing: str) -> Scores:
    """(lambda, seed) to epoch to score, less being better; only the later half of a run's epochs."""
    scores: Scores = {}
    protocols = set()
    for item in evaluations:
        records = _records(item, metric, pairing)
        later = max((record["epoch"] for record in records), default=0) / 2
        chosen = {record["epoch"]: _score(record) for record in records if record["epoch"] >= later}
        protocols |= {(record["key"], record["n_real"], record["n_fake"]) for record in records}
        if chosen:
            scores[item["gp_lambda"], item["seed"]] = chosen
    if len(protocols) > 1:
        raise ValueError(f"metric={metric!r}: different protocols {sorted(protocols)}; evaluate all trials alike")
    return scores


def _score(record: Mapping[str, Any]) -> float:
    if record["direction"] == "match_reference":
        return abs(record["value"] - record["reference"])
    return -record["value"] if record["direction"] == "higher" else record["value"]


def _compare(scores: Scores, one: float, other: float, level: float) -> dict[str, Any]:
    seeds = sorted({seed for gp_lambda, seed in scores if gp_lambda == one and (other, seed) in scores})
    runs = [(scores[one, seed], scores[other, seed]) for seed in seeds]
    if len(runs) == 1:
        a, b = runs[0]
        differences = [a[epoch] - b[epoch] for epoch in sorted(a.keys() & b.keys())]
    else:
        differences = [float(np.mean(list(a.values())) - np.mean(list(b.values()))) for a, b in runs]
    mean, low, high = _mean_with_interval(np.array(differences), level)
    better = None
    if len(seeds) > 1 and low is not None and high is not None:
        better = one if high < 0 else other if low > 0 else None
    return {
        "one": one, "other": other, "difference": mean, "low": low, "high": high, "confidence": level,
        "pairs": len(differences), "paired_by": "epoch" if len(seeds) == 1 else "seed", "seeds": len(seeds),
        "better": better, "verdict": _verdict(len(seeds), better),
    }  # fmt: skip


def _verdict(seeds: int, better: float | None) -> str:
    if better is not None:
        return f"lambda={better:g} is better"
    return {0: NO_SEED, 1: ONE_SEED}.get(seeds, NO_DIFFERENCE)


def _mean_with_interval(values: np.ndarray, confidence: float) -> tuple[float | None, float | None, float | None]:
    if len(values) < 2:
        return (float(values[0]) if len(values) else None), None, None
    mean = float(values.mean())
    without = (values.sum() - values) / (len(values) - 1)
    return combine(mean, [jackknife(mean, without)], confidence)


def _phrase(item: Mapping[str, Any], own: str, gp_lambda: float) -> str:
    """The clause, ``{}`` in place of the rivals."""
    if item["better"] is not None:
        return f"{own} is {'better' if item['better'] == gp_lambda else 'worse'} than {{}}"
    return {
        NO_DIFFERENCE: f"{NO_DIFFERENCE} between {own} and {{}}",
        ONE_SEED: f"{ONE_SEED} {own} from {{}}",
        NO_SEED: f"{own} has {NO_SEED} with {{}}",
    }[item["verdict"]]


def _rival(item: Mapping[str, Any], gp_lambda: float) -> str:
    """The other lambda, with the difference where seeds decide."""
    sign, rival = (1, item["other"]) if gp_lambda == item["one"] else (-1, item["one"])
    name = f"lambda={rival:g}"
    if item["paired_by"] != "seed" or item["low"] is None:
        return name
    low, high = sorted((sign * item["low"], sign * item["high"]))
    return f"{name} (difference {sign * item['difference']:.4g} [{low:.4g}, {high:.4g}] over {item['seeds']} seeds)"
