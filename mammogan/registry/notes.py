"""What is learned of a model version after it was registered: a tag, and a section of its card."""

from __future__ import annotations

import json

from mammogan import codec, tracking
from mammogan.registry.promotion import AUDIT_OUTCOME, RESULT_OUTCOME, AuditNote, ResultNote
from mammogan.reporting import winner
from mammogan.results import Outcome, WinnerResult
from mammogan.tracking.looks import TEST_LOOKS

LONGEST_TAG = 5000
LONGEST_SUMMARY = 4000
MARK = "<!-- {} -->"


def write_outcome(
    model: str, version: str, outcome: Outcome, summary: str, tracking_uri: str = "", *, for_release: bool = False
) -> None:
    """Set the tag by which the audit decides about the version's promotion."""
    note = json.dumps(codec.encode(AuditNote(outcome, summary[:LONGEST_SUMMARY], for_release)))
    tracking.client(tracking_uri).set_model_version_tag(model, version, AUDIT_OUTCOME, note)


def write_result(model: str, version: str, result: WinnerResult, tracking_uri: str = "") -> None:
    """Put the figures on test images on the version: a tag for promotion, one a figure, the card's section.

    The same again, as a run that resumes does, replaces them.
    """
    client, summary = tracking.client(tracking_uri), winner.sentence(result)
    note = json.dumps(codec.encode(ResultNote(result.outcome, _outcome_summary(result, summary)[:LONGEST_SUMMARY])))
    client.set_model_version_tag(model, version, RESULT_OUTCOME, note)
    for item in result.figures():
        client.set_model_version_tag(model, version, item.key.replace("/", "."), f"{item.value:.6g}")
    if result.test_set.looks:
        client.set_model_version_tag(model, version, TEST_LOOKS, str(result.test_set.looks))
    write(model, version, "result", summary, "\n".join(winner.card_lines(result)), tracking_uri)


def _outcome_summary(result: WinnerResult, summary: str) -> str:
    """``summary``, and where the measured winner did not pass, why."""
    if result.unmeasured is not None or result.verdict is None or result.outcome is Outcome.PASSED:
        return summary
    return f"{result.verdict.why}; {summary}"


def with_section(text: str, step: str, section: str) -> str:
    """A card with a step's section at its end, in place of the one that it had."""
    start, end = MARK.format(step), MARK.format(f"end of {step}")
    if start in text and end in text:
        text = text[: text.index(start)].rstrip() + text[text.index(end) + len(end) :]
    return f"{text.rstrip()}\n\n{start}\n{section.strip()}\n{end}\n"


def write(model: str, version: str, step: str, summary: str, section: str, tracking_uri: str = "") -> None:
    """Set the tag ``mammogan.<step>`` and the step's section of the card; the same step again replaces both."""
    client = tracking.client(tracking_uri)
    client.set_model_version_tag(model, version, f"mammogan.{step}", summary[:LONGEST_TAG])
    text = client.get_model_version(model, version).description or ""
    client.update_model_version(model, version, with_section(text, step, section))
