"""What is learned of a model version after it was registered: a tag, and a section of its card."""

from __future__ import annotations

import json
import re

from mammogan import codec, config, tracking
from mammogan.registry import model_page
from mammogan.registry.promotion import AUDIT_OUTCOME, RESULT_OUTCOME, AuditNote, ResultNote
from mammogan.reporting import winner
from mammogan.results import Outcome, WinnerResult
from mammogan.tracking.looks import TEST_LOOKS

LONGEST_TAG = 5000
LONGEST_SUMMARY = 4000
LONGEST_SECTION = 1300
"""Characters of a section, so that several and the card above them are no more than MLflow's database keeps."""
START, END = re.compile(r"<!-- (?P<step>\w+) (?P<seal>[0-9a-f]+) -->\n"), "\n<!-- end of {} -->"
"""Around a step's section, in comments that MLflow does not show; the seal tells whether it is as we wrote it."""


def write_outcome(
    model: str, version: str, outcome: Outcome, summary: str, tracking_uri: str = "", *, for_release: bool = False
) -> None:
    """Set the tag by which the audit decides about the version's promotion."""
    note = json.dumps(codec.encode(AuditNote(outcome, summary[:LONGEST_SUMMARY], for_release)))
    tracking.client(tracking_uri).set_model_version_tag(model, version, AUDIT_OUTCOME, note)


def write_result(model: str, version: str, result: WinnerResult, tracking_uri: str = "") -> None:
    """Put the figures on test images on the version: a tag for promotion, and the card's section.

    The same again, as a run that resumes does, replaces them.
    """
    client, summary = tracking.client(tracking_uri), winner.sentence(result)
    note = json.dumps(codec.encode(ResultNote(result.outcome, _outcome_summary(result, summary)[:LONGEST_SUMMARY])))
    client.set_model_version_tag(model, version, RESULT_OUTCOME, note)
    if result.test_set.looks:
        client.set_model_version_tag(model, version, TEST_LOOKS, str(result.test_set.looks))
    write(model, version, "result", summary, "\n".join(winner.card_lines(result)), tracking_uri)


def _outcome_summary(result: WinnerResult, summary: str) -> str:
    """``summary``, and where the measured winner did not pass, why."""
    if result.unmeasured is not None or result.verdict is None or result.outcome is Outcome.PASSED:
        return summary
    return f"{result.verdict.why}; {summary}"


def with_section(text: str, step: str, section: str) -> str:
    """A card with a step's section at its end, in place of the one that it had; as it is, where a person changed that.

    What stands around the section stays.
    """
    section, end = section.strip(), END.format(step)
    found = next((item for item in START.finditer(text) if item["step"] == step), None)
    if found and end in text:
        close = text.index(end)
        if config.digest(text[found.end() : close]) != found["seal"]:
            return text
        text = text[: found.start()].rstrip() + text[close + len(end) :]
    return f"{text.rstrip()}\n\n<!-- {step} {config.digest(section)} -->\n{section}{end}\n"


def write(model: str, version: str, step: str, summary: str, section: str, tracking_uri: str = "") -> None:
    """Set the tag ``mammogan.<step>`` and the step's section of the card; the same step again replaces both.

    A section that a person changed stays. What is before the sections is shortened where MLflow would not keep all.
    """
    client = tracking.client(tracking_uri)
    client.set_model_version_tag(model, version, f"mammogan.{step}", summary[:LONGEST_TAG])
    before = client.get_model_version(model, version).description or ""
    text = with_section(before, step, model_page.fitted(section.strip(), LONGEST_SECTION))
    if text == before:
        return
    first = START.search(text)
    assert first, "one was just added"
    head, sections = text[: first.start()].rstrip(), text[first.start() :]
    head = model_page.fitted(head, model_page.LONGEST - len(sections) - 2)
    client.update_model_version(model, version, f"{head}\n\n{sections}")
