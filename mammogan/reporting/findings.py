"""What was found about the synthetic images, on a page: how many were made, whether they copy, whether they help.

The same sections stand in the report of a run and, alone, on the pages that ``audit`` and ``utility`` leave.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mammogan.data.summary import SyntheticPart
from mammogan.numbers import estimate, number, typeset
from mammogan.records import WITH_REALS, Findings
from mammogan.reporting import marks, pages, subgroups
from mammogan.reporting.markdown import plain
from mammogan.reporting.marks import Mark
from mammogan.results import Audit, CopiedImage, Outcome, Role, SpaceNote, Utility, Verdict
from mammogan.selection.gates import audit_summary, release_note

MOST_COPIED = 20
"""Training images named of those that are copied."""
CAPTIONS = {
    "effects": "Difference of each arm from its control, with paired intervals.",
    "curve": "AUC over the share of the synthetic images that was added.",
    "calibration": "Share of malignant test images over the predicted probability, in tenths of the predictions; the "
    "dashed line is perfect calibration.",
}
"""Figures of the utility study by their names."""


@dataclass(frozen=True)
class Check:
    """One number of the audit, as text that is ready to be set."""

    meaning: str
    space: str
    value: str
    """With its interval."""
    reference: str
    limit: str
    mark: Mark


@dataclass(frozen=True)
class AuditPart:
    """The section on copies."""

    audit: Audit
    mark: Mark
    summary: str
    release_note: str
    held_out: str
    """Whose images stand for those that the generator has not seen."""
    checks: tuple[Check, ...]
    copied: tuple[CopiedImage, ...]
    """The most often copied ones."""
    more_copied: int
    """Training images that are copied and not named."""
    not_made: tuple[Verdict, ...]
    spaces: tuple[SpaceNote, ...]


@dataclass(frozen=True)
class UtilityPart:
    """The section on use for a classifier."""

    utility: Utility
    mark: Mark


@dataclass(frozen=True)
class Content:
    """The sections, each None where its step was not reached."""

    synthetic: SyntheticPart | None
    audit: AuditPart | None
    utility: UtilityPart | None
    pictures: Mapping[str, str]
    """PNGs in base64 by name."""


def content(findings: Findings, *, real_images: bool = False) -> Content:
    """What the sections show. A figure with real images is shown by ``real_images`` alone, below a banner."""
    return Content(
        synthetic=findings.synthetic,
        audit=_audit(findings.audit) if findings.audit else None,
        utility=UtilityPart(findings.utility, marks.of_utility(findings.utility)) if findings.utility else None,
        pictures={
            name: base64.b64encode(picture).decode()
            for name, picture in findings.pictures.items()
            if real_images or name not in WITH_REALS
        },
    )


def _audit(audit: Audit) -> AuditPart:
    return AuditPart(
        audit=audit,
        mark=marks.of_audit(audit),
        summary=audit_summary(audit),
        release_note=release_note(audit).capitalize(),
        held_out=held_out_line(audit),
        checks=tuple(
            Check(
                meaning=item.meaning,
                space=item.space,
                value=typeset(estimate(item)),
                reference=typeset(number(item.reference)),
                limit=f"{item.limit:.3g}",
                mark=marks.of_outcome(item.outcome),
            )
            for item in audit.measures
        ),
        copied=audit.copied[:MOST_COPIED],
        more_copied=max(0, len(audit.copied) - MOST_COPIED),
        not_made=tuple(item for item in audit.verdicts if item.outcome is Outcome.NOT_CHECKED),
        spaces=audit.spaces,
    )


def page(title: str, findings: Findings, *, real_images: bool = False) -> bytes:
    """Self-contained HTML page of the sections."""
    template = pages.environment().get_template("findings.html")
    return template.render(title=title, findings=content(findings, real_images=real_images), captions=CAPTIONS).encode()


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
            f"- {plain(item.arm)}: AUC {estimate(item)}" for item in findings.utility.measures if item.metric == "auc"
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
