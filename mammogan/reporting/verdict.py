"""The top of the report: what ran on which data, which lambda is better and is that real, what is in production.

Each answer is made of typed values, never of another message's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mammogan import numbers
from mammogan.config import Trial, lambda_text
from mammogan.records import Production, RunRecord
from mammogan.reporting import quantities
from mammogan.reporting.tables import reference
from mammogan.reporting.winner import basis, looks
from mammogan.results import Candidate, Decision, Finding, LambdaComparison, Measurement, WinnerResult
from mammogan.selection.comparison import by_finding

NO_DECISION = "The run ended before a decision was reached."
SENTENCES = {
    Finding.BETTER: "Over the seeds {own} is better than {others}.",
    Finding.WORSE: "Over the seeds {own} is worse than {others}.",
    Finding.NO_DIFFERENCE: "No significant difference between {own} and {others}.",
    Finding.ONE_SEED: "One seed is not enough to tell {own} from {others}.",
    Finding.NO_SEED: "{own} has no seed in common with {others}.",
    Finding.NO_EPOCH: "{own} has no epoch in common with {others}.",
}


@dataclass(frozen=True)
class Figure:
    """A number of the winner that the page shows large."""

    title: str
    """Metric and what it is against."""
    role: str
    """What the number is for, such as ``selected by``."""
    quoted: bool
    """Whether it is the one to quote: that which selected is the best of many, and so too good."""
    value: str
    """With its interval and power of ten."""
    note: str
    """What the interval is, and the reference."""


def lead(decision: Decision | None) -> str:
    """The verdict in a sentence."""
    if decision is None:
        return NO_DECISION
    if decision.winner is None:
        text = decision.verdict.rstrip(".")
        return f"{text[:1].upper()}{text[1:]}."
    first = decision.winner.decided_by()[0]
    has = f"has the lowest {quantities.title(first.quantity)} against {quantities.images(first.quantity)}"
    return f"{trial(decision.winner.trial)}, epoch {decision.winner.epoch} {has}."


def trial(item: Trial) -> str:
    """A trial as the page names it: ``λ = 3, seed 0``."""
    return f"{quantities.weight(item.gp_lambda)}, seed {item.seed}"


def is_it_real(decision: Decision | None) -> list[str]:
    """Sentences on what the seeds show of the winner's lambda against the others."""
    if decision is None or decision.winner is None:
        return []
    if not decision.comparisons:
        return ["There is no other λ to compare with."]
    own = decision.winner.gp_lambda
    return list(_sentences(decision.comparisons, own))


def _sentences(comparisons: Sequence[LambdaComparison], own: float) -> Iterable[str]:
    for finding, items in by_finding(comparisons, own).items():
        others = _listed(item.counterpart(own) for item in items)
        yield SENTENCES[finding].format(own=quantities.weight(own), others=others)


def _listed(lambdas: Iterable[float]) -> str:
    names = [quantities.weight(item) for item in lambdas]
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def figures(winner: Candidate, result: WinnerResult | None) -> list[Figure]:
    """The winner's numbers on test images, where it was measured anew, then those that selected it."""
    measured = result.figures() if result else []
    anew = [_figure(item, "measured anew, once", quoted=True) for item in measured]
    return [*anew, *(_figure(item, "selected by", quoted=not anew) for item in winner.decided_by())]


def test_set(result: WinnerResult) -> str:
    """On what the winner was measured anew and how often that was looked at, or why there is no figure."""
    if result.unmeasured is not None:
        return f"No figure on test images: {result.reason or result.unmeasured}."
    held_out = result.test_set
    return f"{basis(held_out)} who have none in train or validation; {looks(held_out)}."


def _figure(item: Measurement, role: str, *, quoted: bool) -> Figure:
    parts = [] if item.low is None else [f"{numbers.percent(item.confidence)} interval"]
    if item.reference is not None:
        parts.append(f"real against real {reference(item)}")
    return Figure(
        title=f"{quantities.title(item.quantity)} against {quantities.images(item.quantity)}",
        role=role,
        quoted=quoted,
        value=numbers.typeset(numbers.estimate(item)),
        note="; ".join(parts),
    )


def data(record: RunRecord) -> str:
    """What the run was trained on, in a sentence; empty where no data set was recorded."""
    if record.data is None:
        return ""
    whole, count = record.data.whole, record.data.train_counts.get(record.data.name)
    images = f"{count} {record.data.name} train images" if count is not None else f"{record.data.name} images"
    size = f" at {record.config.data.size} px" if record.config else ""
    return f"{images} of {whole.subset} ({whole.source}){size}, {whole.splits.train.patients} train patients in all"


def trials(record: RunRecord) -> str:
    """How many trials ran: ``3 λ × 2 seeds``."""
    lambdas = sorted({item.trial.gp_lambda for item in record.trials})
    seeds = {item.trial.seed for item in record.trials}
    if not record.trials:
        return "no trial"
    names = ", ".join(map(lambda_text, lambdas))
    return f"λ = {names} × {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}"


def in_production(record: RunRecord, production: Production | None) -> str:
    """What is in production, in a sentence."""
    if production is None:
        model = record.config.select.model_name if record.config else "the model"
        return f"Nothing: no version of {model} is @champion."
    origin = "a model of other making"
    if production.run_id:
        origin = "this run's winner" if production.run_id == record.run_id else "the winner of another run"
    since = f" since {numbers.date(production.since_ms)}" if production.since_ms else ""
    return f"Version {production.version} of {production.model}{since}, {origin}."
