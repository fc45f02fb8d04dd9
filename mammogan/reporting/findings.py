"""What was found about the synthetic images, on a page: how many were made, whether they copy, whether they help.

The same section stands in the report of a run and, alone, on the pages that ``audit`` and ``utility`` leave.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

from mammogan.selection.gates import NOT_CHECKED, answer, tally

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Findings:
    """Results of the three steps after registration; what was not reached is empty."""

    synthetic: Mapping[str, Any] = field(default_factory=dict)
    """Part ``synthetic`` of the filled data set's summary."""
    audit: Mapping[str, Any] = field(default_factory=dict)
    """Content of ``audit.json``."""
    utility: Mapping[str, Any] = field(default_factory=dict)
    """Content of ``utility.json``."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNGs: ``pairs``, ``effects``, ``curve``."""


def section(findings: Findings) -> str:
    """HTML of the section, to be set into a page that has the report's style; empty where nothing was found."""
    if not (findings.synthetic or findings.audit or findings.utility):
        return ""
    return (
        _environment()
        .get_template("findings.html")
        .render(
            synthetic=findings.synthetic,
            audit=findings.audit,
            utility=findings.utility,
            pictures={name: base64.b64encode(content).decode() for name, content in findings.pictures.items()},
        )
    )


def page(title: str, findings: Findings) -> bytes:
    """Self-contained HTML page of the section."""
    style = resources.files("mammogan.reporting").joinpath("templates", "report.css").read_text()
    body = section(findings)
    return _environment().get_template("page.html").render(title=title, style=style, body=body).encode()


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mammogan.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": short, "interval": interval, "tally": tally, "answer": answer}
    return environment


def short(value: float | None) -> str:
    """Three significant digits; an en dash for None."""
    return "–" if value is None else f"{value:.3g}"


def interval(record: Mapping[str, Any]) -> str:
    """Both ends of a record's interval; an en dash where it has none."""
    if record["low"] is None or record["high"] is None:
        return "–"
    return f"{short(record['low'])} to {short(record['high'])}"


def numbers(records: Iterable[Mapping[str, Any]], step: str) -> dict[str, float]:
    """Flat numbers of records, as MLflow takes them: ``<step>/<key>`` with ``/low`` and ``/high``."""
    return {
        f"{step}/{record['key']}{end}": record[part]
        for record in records
        for part, end in (("value", ""), ("low", "/low"), ("high", "/high"))
        if record[part] is not None
    }


def card_lines(findings: Findings) -> Iterator[str]:
    """The findings in Markdown, for the model card."""
    if findings.audit:
        yield from ("## Privacy", "", f"Audit {tally(findings.audit['verdicts'])}.", "")
        yield from gate_lines(findings.audit["verdicts"])
        yield ""
    if findings.utility:
        yield from ("## Utility", "", f"{findings.utility['verdict']}.", "")
        yield from (
            f"- {item['arm']}: AUC {short(item['value'])} ({interval(item)})"
            for item in findings.utility["records"]
            if item["metric"] == "auc"
        )


def gate_lines(verdicts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Gates in Markdown, a line each; the reason of a check that was not made says so itself."""
    for item in verdicts:
        said = "" if answer(item) == NOT_CHECKED else f"{answer(item)}: "
        yield f"- {item['gate']}: {said}{item['why']}"
