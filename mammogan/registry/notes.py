"""What is learned of a model version after it was registered: a tag, and a section of its card."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mammogan import config, results, tracking
from mammogan.registry import model_page
from mammogan.registry.promotion import AUDIT_OUTCOME, RESULT_OUTCOME
from mammogan.reporting import winner
from mammogan.results import AuditNote, Outcome, ResultNote, WinnerResult
from mammogan.tracking.looks import TEST_LOOKS

LONGEST_TAG = 5000
LONGEST_SUMMARY = 4000
LONGEST_SECTION = 1300
"""Characters of a section, so that several and the card above them are no more than MLflow's database keeps."""
CARD = "card"
"""Section of the card that the version was registered with."""
START, END = re.compile(r"<!-- (?P<step>\w+) (?P<seal>[0-9a-f]+) -->\n"), "\n<!-- end of {} -->"
"""Around a step's section, in comments that MLflow does not show; the seal tells whether it is as we wrote it."""


def write_outcome(
    model: str, version: str, outcome: Outcome, summary: str, tracking_uri: str = "", *, for_release: bool = False
) -> None:
    """Set the tag by which the audit decides about the version's promotion."""
    note = results.line(AuditNote(outcome, summary[:LONGEST_SUMMARY], for_release))
    tracking.client(tracking_uri).set_model_version_tag(model, version, AUDIT_OUTCOME, note)


def write_result(model: str, version: str, result: WinnerResult, tracking_uri: str = "") -> None:
    """Put the figures on test images on the version: a tag for promotion, and the card's section.

    The same again, as a run that resumes does, replaces them.
    """
    client, summary = tracking.client(tracking_uri), winner.sentence(result)
    note = results.line(ResultNote(result.outcome, _outcome_summary(result, summary)[:LONGEST_SUMMARY]))
    client.set_model_version_tag(model, version, RESULT_OUTCOME, note)
    if result.test_set.looks:
        client.set_model_version_tag(model, version, TEST_LOOKS, str(result.test_set.looks))
    write(model, version, "result", summary, "\n".join(winner.card_lines(result)), tracking_uri)


def _outcome_summary(result: WinnerResult, summary: str) -> str:
    """``summary``, and where the measured winner did not pass, why."""
    if result.unmeasured is not None or result.verdict is None or result.outcome is Outcome.PASSED:
        return summary
    return f"{result.verdict.why}; {summary}"


def described(card: str) -> str:
    """Description of a version as it is registered: the card, as much of it as MLflow's database keeps."""
    return _within(with_section("", CARD, card), model_page.LONGEST)


def with_section(text: str, step: str, section: str) -> str:
    """A card with a step's section at its end, in place of the one that it had; as it is, where a person changed that.

    What stands around the section stays.
    """
    found = _place(text, step)
    if found:
        if not _is_ours(text, found):
            return text
        text = text[: found.outer.start].rstrip() + text[found.outer.stop :]
    above = f"{text.rstrip()}\n\n" if text.strip() else ""
    return f"{above}{_sealed(step, section.strip())}\n"


@dataclass(frozen=True)
class _Place:
    """Where a section stands in a card."""

    outer: slice
    """Its comments and what is between them."""
    inner: slice
    """What is between them."""
    seal: str


def _place(text: str, step: str) -> _Place | None:
    """Where the step's section stands; None without."""
    end = END.format(step)
    found = next((item for item in START.finditer(text) if item["step"] == step), None)
    close = text.find(end, found.end()) if found else -1
    if found is None or close < 0:
        return None
    return _Place(slice(found.start(), close + len(end)), slice(found.end(), close), found["seal"])


def _is_ours(text: str, place: _Place) -> bool:
    """Whether no person changed what stands there."""
    return config.digest(text[place.inner]) == place.seal


def _sealed(step: str, section: str) -> str:
    return f"<!-- {step} {config.digest(section)} -->\n{section}{END.format(step)}"


def _within(text: str, room: int) -> str:
    """The text in at most ``room`` characters: its card is shortened; longer where a person's words leave none."""
    place = _place(text, CARD)
    if len(text) <= room or place is None or not _is_ours(text, place):
        return text
    kept = model_page.fitted(text[place.inner], max(room - len(text) + len(text[place.inner]), len(model_page.CUT)))
    return f"{text[: place.outer.start]}{_sealed(CARD, kept.strip())}{text[place.outer.stop :]}"


def write(model: str, version: str, step: str, summary: str, section: str, tracking_uri: str = "") -> None:
    """Set the tag ``mammogan.<step>`` and the step's section of the card; the same step again replaces both.

    A section that a person changed stays, and so does what a person wrote beside them: the card that the version was
    registered with is shortened where MLflow would not keep all, and where that is not enough nothing is added.
    """
    client = tracking.client(tracking_uri)
    client.set_model_version_tag(model, version, f"mammogan.{step}", summary[:LONGEST_TAG])
    before = client.get_model_version(model, version).description or ""
    text = with_section(before, step, model_page.fitted(section.strip(), LONGEST_SECTION))
    text = _within(text, model_page.LONGEST)
    if text != before and len(text) <= model_page.LONGEST:
        client.update_model_version(model, version, text)
