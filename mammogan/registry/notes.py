"""What is learned of a model version after it was registered: a tag, and a section of its card."""

from __future__ import annotations

import json

from mammogan import codec, tracking
from mammogan.registry.promotion import AUDIT_OUTCOME, AuditNote
from mammogan.results import Outcome

LONGEST_TAG = 5000
LONGEST_SUMMARY = 4000
MARK = "<!-- {} -->"


def write_outcome(
    model: str, version: str, outcome: Outcome, summary: str, tracking_uri: str = "", *, for_release: bool = False
) -> None:
    """Set the tag by which the audit decides about the version's promotion."""
    note = json.dumps(codec.encode(AuditNote(outcome, summary[:LONGEST_SUMMARY], for_release)))
    tracking.client(tracking_uri).set_model_version_tag(model, version, AUDIT_OUTCOME, note)


def write(model: str, version: str, step: str, summary: str, section: str, tracking_uri: str = "") -> None:
    """Set the tag ``mammogan.<step>`` and the step's section of the card; the same step again replaces both."""
    client = tracking.client(tracking_uri)
    client.set_model_version_tag(model, version, f"mammogan.{step}", summary[:LONGEST_TAG])
    start, end = MARK.format(step), MARK.format(f"end of {step}")
    text = client.get_model_version(model, version).description or ""
    if start in text and end in text:
        text = text[: text.index(start)].rstrip() + text[text.index(end) + len(end) :]
    client.update_model_version(model, version, f"{text.rstrip()}\n\n{start}\n{section.strip()}\n{end}\n")
