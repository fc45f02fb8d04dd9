"""What was found about the synthetic images, on a page: how many were made, whether they copy, whether they help.

The same section stands in the report of a run and, alone, on the pages that ``audit`` and ``utility`` leave.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mammogan.records import PAIRS, Findings
from mammogan.reporting import pages, subgroups
from mammogan.reporting.markdown import plain
from mammogan.results import Audit, Number, Role, Verdict
from mammogan.selection.gates import audit_summary, release_note

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_COPIED = 20
"""Training images named of those that are copied."""


def section(findings: Findings, *, real_images: bool = False) -> str:
    """HTML of the section, to be set into a page that has the report's style; empty where nothing was found.

    A figure with real images is shown by ``real_images`` alone, below a banner.
    """
    if not (findings.synthetic or findings.audit or findings.utility):
        return ""
    return (
        _environment()
        .get_template("findings.html")
        .render(
            synthetic=findings.synthetic,
            audit=findings.audit,
            utility=findings.utility,
            most_copied=MOST_COPIED,
            pictures={
                name: base64.b64encode(content).decode()
                for name, content in findings.pictures.items()
                if real_images or name != PAIRS
            },
        )
    )


def page(title: str, findings: Findings, *, real_images: bool = False) -> bytes:
    """Self-contained HTML page of the section."""
    body = section(findings, real_images=real_images)
    return (
        _environment()
        .get_template("page.html")
        .render(title=title, style=pages.content("report.css"), body=body)
        .encode()
    )


def _environment() -> Environment:
    return pages.environment(
        short=short, interval=interval, summary=audit_summary, release_note=release_note, held_out=held_out_line
    )


def short(value: float | None) -> str:
    """Three significant digits; an en dash for None."""
    return "–" if value is None else f"{value:.3g}"


def interval(number: Number) -> str:
    """Both ends of an interval; an en dash where it has none."""
    if number.low is None or number.high is None:
        return "–"
    return f"{short(number.low)} to {short(number.high)}"


def card_lines(findings: Findings) -> Iterator[str]:
    """The findings in Markdown, for the model card."""
    if findings.audit:
        yield from (
            "## Privacy",
            "",
            f"Audit {plain(audit_summary(findings.audit))}.",
            held_out_line(findings.audit),
            "",
        )
        yield from gate_lines(findings.audit.verdicts)
        yield from (f"- {plain(line)}" for line in copied_lines(findings.audit))
        yield ""
    if findings.utility:
        yield from ("## Utility", "", f"{plain(findings.utility.verdict)}.", "")
        yield from (
            f"- {plain(item.arm)}: AUC {short(item.value)} ({interval(item)})"
            for item in findings.utility.measures
            if item.metric == "auc"
        )
        if findings.utility.subgroups is not None:
            yield from ("", *subgroups.utility_lines(findings.utility.subgroups))


def held_out_line(audit: Audit) -> str:
    """Whose images stand for those that the generator has not seen, in a sentence."""
    counts = audit.counts
    why = ", for there are no validation patients" if counts.held_out_role is Role.TEST else ""
    role = f"{counts.held_out_role} patients"
    return f"Held out are {counts.held_out} images of {counts.held_out_patients} {role}{why}."


def copied_lines(audit: Audit) -> Iterator[str]:
    """Training images that are copied and how often, the most often copied first, a line each; the first 20."""
    for image in audit.copied[:MOST_COPIED]:
        name = image.train_image or f"training image {image.train}"
        yield f"{name} is copied {len(image.fakes)} times ({', '.join(image.spaces)})"
    if len(audit.copied) > MOST_COPIED:
        yield f"{len(audit.copied) - MOST_COPIED} more training images are copied"


def gate_lines(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Gates in Markdown, a line each."""
    for item in verdicts:
        yield f"- {plain(item.gate)}: {item.outcome.words}: {plain(item.why)}"
