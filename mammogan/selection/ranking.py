"""Which snapshot wins, and whether its lead is real.

Every snapshot of a finished trial is a candidate where each deciding metric was measured and the gates let it pass.
Candidates are ordered by the first deciding metric, the later ones break ties. Whether the winner's lambda is better
than the others is another question, which ``comparison`` answers by whole runs paired by seed; the verdict
tells both. Snapshots of a diverged or failed trial never win: their training did not end, so that what they show is
neither the experiment's setting nor repeatable.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mammogan import storage
from mammogan.config import SelectConfig
from mammogan.selection.comparison import compare_trials, run_figures, told
from mammogan.selection.gates import candidate_gates, failures, is_number
from mammogan.training.trial_folder import CRITIC

Evaluation = Mapping[str, Any]
Candidate = dict[str, Any]

MEASURES = ("value", "low", "high", "reference")
PROTOCOL = ("n_real", "n_fake", "seed", "implementation")


def decide(
    evaluations: Sequence[Path], store: str, config: SelectConfig, decision: Path, winner: Path, critic: Path
) -> dict[str, Any]:
    """Choose among folders that hold ``evaluation.json``; write the decision, and snapshot and critic where one wins.

    ``store`` is where the trials left their files; ``decision``, ``winner`` and ``critic`` the files to write. The
    critic is that of the trial's end. Returns the decision. Raises FileNotFoundError where the store lost the winner.
    """
    read = [json.loads((folder / "evaluation.json").read_text()) for folder in evaluations]
    made = select(read, config)
    if chosen := made["winner"]:
        key = next(item["key"] for item in read if item["trial"] == chosen["trial"])
        for name, target in ((f"snapshots/epoch_{chosen['epoch']:04d}.pt", winner), (CRITIC, critic)):
            storage.write_bytes(str(target), storage.read_bytes(storage.join(store, "trials", key, name)))
    storage.write_bytes(str(decision), (json.dumps(made, indent=2, allow_nan=False) + "\n").encode())
    return made


def require_survivor(decision: Mapping[str, Any]) -> None:
    """Raise RuntimeError with the reasons where every trial was lost: such a run has failed."""
    if len(decision["lost"]) == decision["trials"]:
        raise RuntimeError(f"every trial was lost: {'; '.join(decision['reasons'])}")


def nothing_to_train(why: str) -> dict[str, Any]:
    """The decision of a run that stopped before training, because it could only repeat an earlier one."""
    empty: dict[str, Any] = {"reasons": [], "gates": [], "candidates": [], "lost": [], "lambdas": {}}
    return {"accepted": False, "skipped": True, "verdict": why, "winner": None, "trials": 0, **empty}


def select(evaluations: Sequence[Evaluation], config: SelectConfig) -> dict[str, Any]:
    """The decision over all trials' ``evaluation.json`` contents, in the form of docs/architecture.md.

    Never raises for what the evaluations hold: a metric that is missing or not finite, a lost trial or trials
    measured by different extractors are reasons in the decision, which is then not accepted if no candidate is left.
    """
    lost = [
        {"trial": item["trial"], "status": item["status"], "reason": item.get("reason") or "no reason was recorded"}
        for item in evaluations
        if item["status"] != "finished"
    ]
    finished = [item for item in evaluations if item["status"] == "finished"]
    reasons = [f"{item['trial']} {item['status']}: {item['reason']}" for item in lost]
    measured, refused = candidates_of(finished, config)
    reasons += refused
    if not evaluations:
        reasons.append("no trial was evaluated")
    mixed = _mixed_protocols(finished, config)
    if mixed:
        reasons.append(mixed)
    gated = {id(item): candidate_gates(item, config) for item in measured}
    candidates = [item for item in measured if not failures(gated[id(item)])]
    reasons += [
        f"{item['trial']} epoch {item['epoch']} refused: {failures(gated[id(item)])}"
        for item in measured
        if failures(gated[id(item)])
    ]
    ranked = [] if mixed else sorted(candidates, key=_rank)
    winner = ranked[0] if ranked else None
    comparisons = [] if mixed else compare_trials(finished, config)
    return {
        "accepted": winner is not None,
        "lambdas": {} if mixed else lambda_strengths(finished, ranked, config),
        "comparisons": comparisons,
        "verdict": _verdict(winner, comparisons) if winner else "no candidate: nothing is registered",
        "reasons": reasons,
        "winner": winner,
        "gates": [verdict.to_dict() for verdict in gated[id(winner)]] if winner else [],
        "candidates": ranked,
        "lost": lost,
        "trials": len(evaluations),
        "against": config.against,
        "metrics": config.metrics.split(","),
    }


def candidates_of(evaluations: Iterable[Evaluation], config: SelectConfig) -> tuple[list[Candidate], list[str]]:
    """Snapshots with every deciding metric, and why the others are none.

    ``evaluations`` are contents of ``evaluation.json`` with the trial's ``train_s`` and ``data_digest``.
    """
    found, refused = [], []
    for item in evaluations:
        epochs = sorted({record["epoch"] for record in item["records"]})
        if not epochs:
            refused.append(f"{item['trial']}: no snapshot was measured")
        for epoch in epochs:
            records = [record for record in item["records"] if record["epoch"] == epoch]
            deciding = [_find(records, metric, config.against) for metric in config.metrics.split(",")]
            missing = [
                f"{metric} against {config.against}"
                for metric, record in zip(config.metrics.split(","), deciding, strict=True)
                if record is None
            ]
            if missing:
                refused.append(f"{item['trial']} epoch {epoch}: no {' and no '.join(missing)}")
                continue
            found.append(_candidate(item, epoch, records, [record for record in deciding if record]))
    return found, refused


def _candidate(
    item: Evaluation, epoch: int, records: Sequence[Mapping[str, Any]], deciding: Sequence[Mapping[str, Any]]
) -> Candidate:
    return {
        "trial": item["trial"],
        "gp_lambda": item["gp_lambda"],
        "seed": item["seed"],
        "epoch": epoch,
        "deciding": [record["key"] for record in deciding],
        "protocol": {name: deciding[0].get(name) for name in PROTOCOL},
        "data_digest": item.get("data_digest"),
        "train_s": item.get("train_s"),
        "metrics": {
            record["key"]: {name: record.get(name) for name in MEASURES}
            for record in records
            if is_number(record.get("value"))
        },
    }


def _find(records: Sequence[Mapping[str, Any]], metric: str, pairing: str) -> Mapping[str, Any] | None:
    for record in records:
        if record["metric"] == metric and record["pairing"] == pairing and is_number(record.get("value")):
            return record
    return None


def _mixed_protocols(evaluations: Iterable[Evaluation], config: SelectConfig) -> str:
    """Why the trials cannot be compared; empty where they can."""
    found: dict[str, set[str]] = {}
    for item in evaluations:
        for record in item["records"]:
            deciding = record["metric"] in config.metrics.split(",") and record["pairing"] == config.against
            if deciding and is_number(record.get("value")):
                protocol = f"{record['key']} of {record.get('n_fake')} fakes and {record.get('n_real')} reals"
                found.setdefault(record["metric"], set()).add(protocol)
    mixed = [" and ".join(sorted(protocols)) for protocols in found.values() if len(protocols) > 1]
    return f"trials were measured differently: {'; '.join(mixed)}; evaluate them again" if mixed else ""


def _rank(candidate: Candidate) -> tuple[float | int, ...]:
    """Deciding values, then the earlier epoch, then lambda and seed, so that the order never depends on the input."""
    values = [candidate["metrics"][key]["value"] for key in candidate["deciding"]]
    return (*values, candidate["epoch"], candidate["gp_lambda"], candidate["seed"])


def _verdict(winner: Candidate, comparisons: Sequence[Mapping[str, Any]]) -> str:
    key = winner["deciding"][0]
    lead = f"{winner['trial']} at epoch {winner['epoch']} has the lowest {key}: {_shown(winner['metrics'][key])}"
    return f"{lead}; {told(comparisons, winner['gp_lambda'])}"


def lambda_strengths(
    evaluations: Sequence[Evaluation], ranked: Sequence[Candidate], config: SelectConfig
) -> dict[str, dict[str, Any]]:
    """The first deciding metric of each lambda that has a candidate, with an interval; what the report shows of each.

    With two seeds or more: mean over the runs' figures and Student's 95% interval of it, which holds the training's
    own noise. With one: the best snapshot's value and interval, which holds only the sampling of images.
    """
    figures = run_figures(evaluations, config.metrics.split(",")[0], config.against)
    best: dict[float, Candidate] = {}
    for candidate in ranked:
        best.setdefault(candidate["gp_lambda"], candidate)
    return {
        f"{gp_lambda:g}": _mean_of(list(figures[gp_lambda].values()))
        if len(figures[gp_lambda]) > 1
        else dict(candidate["metrics"][candidate["deciding"][0]])
        for gp_lambda, candidate in best.items()
    }


def _mean_of(values: Sequence[float]) -> dict[str, Any]:
    """Mean with Student's t interval at 95%."""
    from scipy import stats

    mean, count = statistics.mean(values), len(values)
    half = float(stats.t.ppf(0.975, count - 1)) * statistics.stdev(values) / count**0.5
    return {"value": mean, "low": mean - half, "high": mean + half, "seeds": count}


def _shown(measure: Mapping[str, Any]) -> str:
    low, high = measure.get("low"), measure.get("high")
    interval = f" [{low:.4g}, {high:.4g}]" if is_number(low) and is_number(high) else " (no interval)"
    return f"{measure['value']:.4g}{interval}"
