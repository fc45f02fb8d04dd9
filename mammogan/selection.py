"""Which snapshot wins, and whether its lead is real.

Every snapshot of a finished branch is a candidate where each deciding metric was measured and the gates let it pass.
Candidates are ordered by the first deciding metric, the later ones break ties. The winner's lambda is then compared
with every other one, over seeds where there are several: where the intervals of the first metric overlap, the verdict
says that there is no significant difference. Snapshots of a diverged or failed branch never win: their training did
not end, so that what they show is neither the experiment's setting nor repeatable.
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mammogan import storage
from mammogan.config import SelectConfig
from mammogan.gates import candidate_gates, failures, is_number, overlap

Evaluation = Mapping[str, Any]
Candidate = dict[str, Any]

MEASURES = ("value", "low", "high", "floor")
PROTOCOL = ("n_real", "n_fake", "seed", "implementation")


def decide(
    evaluations: Sequence[Path], trained: Sequence[Path], config: SelectConfig, decision: Path, winner: Path
) -> dict[str, Any]:
    """Choose among folders that hold ``evaluation.json``; write the decision, and the snapshot where one wins.

    ``trained`` are the branches' folders, ``decision`` and ``winner`` the files to write. Returns the decision.
    """
    branches = {info["branch"]: (folder, info) for folder in trained for info in [_read(folder / "branch.json")]}
    read = [_read(folder / "evaluation.json") for folder in evaluations]
    for item in read:
        _, info = branches.get(item["branch"], (None, {}))
        item |= {name: info.get(name) for name in ("train_s", "data_digest")}
    made = select(read, config)
    if chosen := made["winner"]:
        folder, _ = branches[chosen["branch"]]
        snapshot = folder / "snapshots" / f"epoch_{chosen['epoch']:04d}.pt"
        with storage.atomic_file(winner) as file, snapshot.open("rb") as source:
            shutil.copyfileobj(source, file)
    storage.write_bytes(str(decision), (json.dumps(made, indent=2, allow_nan=False) + "\n").encode())
    return made


def require_survivor(decision: Mapping[str, Any]) -> None:
    """Raise RuntimeError with the reasons where every branch was lost: such a run has failed."""
    if len(decision["lost"]) == decision["branches"]:
        raise RuntimeError(f"every branch was lost: {'; '.join(decision['reasons'])}")


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def select(evaluations: Sequence[Evaluation], config: SelectConfig) -> dict[str, Any]:
    """The decision over all branches' ``evaluation.json`` contents, in the form of docs/architecture.md.

    Never raises for what the evaluations hold: a metric that is missing or not finite, a lost branch or branches
    measured by different extractors are reasons in the decision, which is then not accepted if no candidate is left.
    """
    lost = [
        {"branch": item["branch"], "status": item["status"], "reason": item.get("reason") or "no reason was recorded"}
        for item in evaluations
        if item["status"] != "finished"
    ]
    finished = [item for item in evaluations if item["status"] == "finished"]
    reasons = [f"{item['branch']} {item['status']}: {item['reason']}" for item in lost]
    measured, refused = _candidates(finished, config)
    reasons += refused
    if not evaluations:
        reasons.append("no branch was evaluated")
    mixed = _mixed_protocols(measured)
    if mixed:
        reasons.append(mixed)
    gated = {id(item): candidate_gates(item, config) for item in measured}
    candidates = [item for item in measured if not failures(gated[id(item)])]
    reasons += [
        f"{item['branch']} epoch {item['epoch']} refused: {failures(gated[id(item)])}"
        for item in measured
        if failures(gated[id(item)])
    ]
    ranked = [] if mixed else sorted(candidates, key=_rank)
    winner = ranked[0] if ranked else None
    return {
        "accepted": winner is not None,
        "lambdas": {f"{gp_lambda:g}": found for gp_lambda, found in lambda_strengths(ranked).items()} if ranked else {},
        "verdict": _verdict(ranked) if ranked else "no candidate: nothing is registered",
        "reasons": reasons,
        "winner": winner,
        "gates": [verdict.to_dict() for verdict in gated[id(winner)]] if winner else [],
        "candidates": ranked,
        "lost": lost,
        "branches": len(evaluations),
        "against": config.against,
        "metrics": config.metrics.split(","),
    }


def _candidates(evaluations: Iterable[Evaluation], config: SelectConfig) -> tuple[list[Candidate], list[str]]:
    """Snapshots with every deciding metric, and why the others are none."""
    candidates, refused = [], []
    for item in evaluations:
        epochs = sorted({record["epoch"] for record in item["records"]})
        if not epochs:
            refused.append(f"{item['branch']}: no snapshot was measured")
        for epoch in epochs:
            records = [record for record in item["records"] if record["epoch"] == epoch]
            deciding = [_find(records, metric, config.against) for metric in config.metrics.split(",")]
            missing = [
                f"{metric} against {config.against}"
                for metric, record in zip(config.metrics.split(","), deciding, strict=True)
                if record is None
            ]
            if missing:
                refused.append(f"{item['branch']} epoch {epoch}: no {' and no '.join(missing)}")
                continue
            candidates.append(_candidate(item, epoch, records, [record for record in deciding if record]))
    return candidates, refused


def _candidate(
    item: Evaluation, epoch: int, records: Sequence[Mapping[str, Any]], deciding: Sequence[Mapping[str, Any]]
) -> Candidate:
    return {
        "branch": item["branch"],
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


def _mixed_protocols(candidates: Sequence[Candidate]) -> str:
    """Why the candidates cannot be compared; empty where they can."""
    keys = sorted({tuple(candidate["deciding"]) for candidate in candidates})
    if len(keys) <= 1:
        return ""
    return f"branches were measured differently: {' and '.join(', '.join(key) for key in keys)}; evaluate them again"


def _rank(candidate: Candidate) -> tuple[float | int, ...]:
    """Deciding values, then the earlier epoch, then lambda and seed, so that the order never depends on the input."""
    values = [candidate["metrics"][key]["value"] for key in candidate["deciding"]]
    return (*values, candidate["epoch"], candidate["gp_lambda"], candidate["seed"])


def _verdict(ranked: Sequence[Candidate]) -> str:
    winner, key = ranked[0], ranked[0]["deciding"][0]
    strengths = lambda_strengths(ranked)
    own = strengths.pop(winner["gp_lambda"])
    lead = f"{winner['branch']} at epoch {winner['epoch']} has the lowest {key}: {_shown(winner['metrics'][key])}"
    if not strengths:
        return f"{lead}; there is no other lambda to compare with"
    several = own.get("seeds", 1) > 1
    basis = f", by the means of {own['seeds']} seeds ({_shown(own)})" if several else ""
    equal = {gp_lambda: other for gp_lambda, other in strengths.items() if overlap(own, other)}
    if equal:
        names = " and ".join(f"lambda={gp_lambda:g} ({_shown(other)})" for gp_lambda, other in equal.items())
        return f"{lead}; no significant difference between lambda={winner['gp_lambda']:g} and {names}{basis}"
    if own["value"] > min(other["value"] for other in strengths.values()):
        return f"{lead}, but its lambda is not the best{basis}"
    return f"{lead}; its interval lies below that of every other lambda{basis}"


def lambda_strengths(candidates: Sequence[Candidate]) -> dict[float, dict[str, Any]]:
    """The first deciding metric of each lambda with an interval, best snapshot of each seed.

    Where every lambda has two seeds or more: mean over the seeds and Student's 95% interval of it, which holds the
    training's own noise. Otherwise: the best snapshot's value and interval, which holds only the sampling of images.
    Taking the best of many snapshots flatters both, and all lambdas alike.
    """
    key = candidates[0]["deciding"][0]
    best: dict[float, dict[int, Candidate]] = {}
    for candidate in sorted(candidates, key=_rank):
        best.setdefault(candidate["gp_lambda"], {}).setdefault(candidate["seed"], candidate)
    if min(map(len, best.values())) < 2:
        return {gp_lambda: dict(next(iter(seeds.values()))["metrics"][key]) for gp_lambda, seeds in best.items()}
    return {
        gp_lambda: _mean_of([item["metrics"][key]["value"] for item in seeds.values()])
        for gp_lambda, seeds in best.items()
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
