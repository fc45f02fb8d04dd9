"""What stands above and beside a run on MLflow's pages, in Markdown: the answer first, then where to look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mammogan import numbers
from mammogan.config import lambda_text
from mammogan.ledger import Status
from mammogan.records import Production, RunRecord
from mammogan.reporting import quantities
from mammogan.reporting.markdown import plain
from mammogan.results import Finding, LambdaComparison, TrialStatus
from mammogan.selection.comparison import by_finding

CLAUSES = {
    Finding.BETTER: "better than",
    Finding.WORSE: "worse than",
    Finding.NO_DIFFERENCE: "no significant difference from",
    Finding.ONE_SEED: "one seed is not enough to tell it from",
    Finding.NO_SEED: "no seed in common with",
    Finding.NO_EPOCH: "no epoch in common with",
}


@dataclass(frozen=True)
class Places:
    """Where a person looks, as addresses behind MLflow's own; empty where there is nothing to see."""

    charts: str
    """The run's trials."""
    retrainings: str
    """All pipeline runs."""
    report: str = ""
    production: str = ""
    """The model's page, which says why the version in production became that."""
    registered: str = ""
    """The version that the run registered."""


def experiment_note(record: RunRecord, production: Production | None, places: Places) -> str:
    """Note of the experiment: in its first line, all that MLflow shows of it, verdict and links of its latest run."""
    return "\n".join([" ".join(_headline(record, production, places)), "", *_table(record, production, places)]) + "\n"


def run_description(record: RunRecord, production: Production | None, places: Places) -> str:
    """Description of a pipeline run, a table."""
    return "\n".join(_table(record, production, places)) + "\n"


def _headline(record: RunRecord, production: Production | None, places: Places) -> Iterator[str]:
    yield f"**{_answer(record)}**"
    yield f"In production: {_champion(production, places)}."
    yield f"Data: {_data(record)}."
    links = (("Charts", places.charts), ("Report", places.report), ("Retrainings", places.retrainings))
    yield " · ".join(_link(text, address) for text, address in links if address)


def _answer(record: RunRecord) -> str:
    """Which lambda is better, and is that real."""
    decision = record.decision
    if decision is None:
        return "No decision yet." if record.status == "RUNNING" else f"No decision: the run {record.status.lower()}."
    if decision.winner is None:
        return f"{plain(decision.verdict)}."
    winner = decision.winner
    lead = f"λ = {lambda_text(winner.gp_lambda)} has the lowest {quantities.title(winner.deciding[0])}"
    return "; ".join([lead, *_significance(decision.comparisons, winner.gp_lambda)]) + "."


def _significance(comparisons: Sequence[LambdaComparison], gp_lambda: float) -> Iterator[str]:
    """What the comparisons say of a lambda against the others, without figures, a clause for each finding."""
    for finding, items in by_finding(comparisons, gp_lambda).items():
        others = " and ".join(lambda_text(item.counterpart(gp_lambda)) for item in items)
        yield f"{CLAUSES[finding]} λ = {others}"


def _data(record: RunRecord) -> str:
    data = record.data
    if data is None:
        return "no data yet"
    sides = data.whole.splits
    images = sides.train.malignant if data.label else sides.train.benign
    return plain(f"{data.whole.source} {data.whole.subset}, {data.name}, {images} images")


def _champion(production: Production | None, places: Places) -> str:
    if production is None:
        return "nothing"
    version = _link(f"version {production.version}", places.production)
    return version if production.for_release else f"{version}, not for release"


def _since(production: Production) -> str:
    if production.since_ms is None:
        return ""
    return f" since {numbers.date(production.since_ms)}"


def _table(record: RunRecord, production: Production | None, places: Places) -> Iterator[str]:
    yield from ("| question | answer |", "|---|---|")
    yield from (f"| {question} | {answer} |" for question, answer in _rows(record, production, places) if answer)


def _rows(record: RunRecord, production: Production | None, places: Places) -> Iterator[tuple[str, str]]:
    decision = record.decision
    yield "Which lambda is better, and is that real?", plain(decision.verdict) if decision else _answer(record)
    if decision and decision.winner:
        yield (
            "The winner's figures",
            "; ".join(
                f"{item.key} {numbers.estimate(item)}, real against real {numbers.beside(item.reference, item)}"
                for item in decision.winner.decided_by()
            ),
        )
    yield "What ran?", _trials(record)
    yield "On which data?", _digest(record)
    yield "Does it copy patients' images?", plain(record.tags.get("mammogan.audit", ""))
    yield "Does it help a classifier?", plain(record.tags.get("mammogan.utility", ""))
    yield "What is in production, and why?", _production(production, places)
    if places.registered:
        yield "This run's winner", f"{_link('its version', places.registered)}. {_promotion(record)}".strip()
    links = (("charts", places.charts), ("retrainings", places.retrainings), ("report", places.report))
    yield "Where to look", " · ".join(_link(text, address) for text, address in links if address)


def _trials(record: RunRecord) -> str:
    lost = [item for item in record.trials if item.training and item.training.status is not TrialStatus.FINISHED]
    settings = f"preset {record.config.preset}, " if record.config else ""
    ended = f", {len(lost)} of them failed or diverged" if lost else ""
    state = "" if record.status in (Status.FINISHED, "RUNNING") else f"; the run {record.status.lower()}"
    return f"{settings}{len(record.trials)} trials{ended}{state}" if record.trials else f"{settings}no trial yet"


def _digest(record: RunRecord) -> str:
    return f"{_data(record)}; digest {record.data.data_digest[:12]}" if record.data else ""


def _production(production: Production | None, places: Places) -> str:
    if production is None:
        return "nothing yet"
    version = f"{_link(f'version {production.version}', places.production)}{_since(production)}"
    return f"{version}: {plain(production.why)} (asked {numbers.date(production.asked_ms)})"


def _promotion(record: RunRecord) -> str:
    return plain(record.tags.get("mammogan.promotion", ""))


def _link(text: str, address: str) -> str:
    return f"[{plain(text)}]({address})" if address else plain(text)
