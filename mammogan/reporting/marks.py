"""Answers as coloured marks: green for what was shown, amber for what was not checked, red for what was refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mammogan.records import Production, RunRecord
from mammogan.results import Audit, Benefit, Outcome, Utility, WinnerResult
from mammogan.selection.gates import DEMO, demo_note


class Tone(StrEnum):
    """Colour of a mark; its class in the style sheet."""

    GOOD = "good"
    AMBER = "amber"
    BAD = "bad"
    PLAIN = "plain"


OUTCOMES = {Outcome.PASSED: Tone.GOOD, Outcome.REFUSED: Tone.BAD, Outcome.NOT_CHECKED: Tone.AMBER}
STATUSES = {"FINISHED": Tone.GOOD, "FAILED": Tone.BAD, "KILLED": Tone.BAD}
BENEFITS = {Benefit.HELPS: Tone.GOOD, Benefit.HARMS: Tone.BAD, Benefit.NO_DIFFERENCE: Tone.PLAIN}


@dataclass(frozen=True)
class Mark:
    """A few words in a colour."""

    tone: Tone
    words: str


def of_outcome(outcome: Outcome) -> Mark:
    """The answer of one check."""
    return Mark(OUTCOMES[outcome], outcome.words)


def of_status(status: str) -> Mark:
    """MLflow's status of a run or trial."""
    return Mark(STATUSES.get(status, Tone.PLAIN), status.lower())


def of_audit(audit: Audit) -> Mark:
    """Green for an audit that made every check there is; amber where one is missing or was not required."""
    unmade = sum(item.outcome is Outcome.NOT_CHECKED for item in audit.verdicts)
    if audit.outcome is Outcome.REFUSED:
        return Mark(Tone.BAD, "copies: refused")
    if audit.outcome is Outcome.NOT_CHECKED:
        return Mark(Tone.AMBER, f"copies: {unmade} of {len(audit.verdicts)} checks not made")
    if unmade:
        return Mark(Tone.AMBER, f"no copies found; {unmade} of {len(audit.verdicts)} checks not made")
    return Mark(Tone.GOOD if audit.for_release else Tone.AMBER, f"no copies found by {len(audit.verdicts)} checks")


def of_result(result: WinnerResult) -> Mark:
    """Whether the winner has a figure on test images, and what these show of it."""
    if result.unmeasured is not None:
        return Mark(Tone.AMBER, "no figure on test images")
    words = {Outcome.PASSED: "measured on test images", Outcome.REFUSED: "favours the train images over the test ones"}
    return Mark(OUTCOMES[result.outcome], words.get(result.outcome, "test images: not checked"))


def of_utility(utility: Utility) -> Mark:
    """Whether the images help a classifier."""
    words = {Benefit.HELPS: "helps", Benefit.HARMS: "harms", Benefit.NO_DIFFERENCE: "makes no significant difference"}
    return Mark(BENEFITS[utility.finding], f"{words[utility.finding]} for a classifier")


def of_run(record: RunRecord, production: Production | None) -> list[Mark]:
    """What a reader must know of a run before anything else, in the order of the page's sections."""
    if not (record.decision and record.decision.winner):
        return []
    version, findings = record.tags.get("mammogan.model_version"), record.findings
    if production and version and production.version == version and production.run_id == record.run_id:
        marks = [Mark(Tone.GOOD, "in production")]
    else:
        marks = [Mark(Tone.PLAIN, "not in production")]
    marks.append(of_result(findings.result) if findings.result else Mark(Tone.AMBER, "no figure on test images"))
    if findings.result and findings.result.test_set.looks > 1:
        marks.append(Mark(Tone.AMBER, f"test set looked at {findings.result.test_set.looks} times"))
    marks.append(of_audit(findings.audit) if findings.audit else Mark(Tone.AMBER, "copies: not checked"))
    marks.append(of_utility(findings.utility) if findings.utility else Mark(Tone.AMBER, "for a classifier: not tried"))
    if is_demo(record):
        marks.insert(0, Mark(Tone.AMBER, DEMO))
    return marks


def tone_of(record: RunRecord, production: Production | None) -> Tone:
    """The worst of what must be known of a run; red without a winner, or where the run did not end well."""
    tones = {item.tone for item in of_run(record, production)} | {of_status(record.status).tone}
    if not (record.decision and record.decision.accepted):
        return Tone.BAD
    return next((tone for tone in (Tone.BAD, Tone.AMBER) if tone in tones), Tone.GOOD)


def is_demo(record: RunRecord) -> bool:
    """Whether checks that a release needs were not asked for, by the audit or, without one, by the settings."""
    if record.findings.audit:
        return not record.findings.audit.for_release
    return bool(record.config and demo_note(record.config.audit.required, record.config.audit.loosened))
