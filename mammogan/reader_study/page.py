"""The page of a study: one HTML file that works from a disk, asks nobody for anything and does not know the truth.

Pixels stand in it as they are, 8 bits each in base64: no file format, whose metadata or length would tell something of
where an image comes from. A content security policy names style and script by their sha256 and allows nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

from mammogan.reader_study.answers import FORMAT
from mammogan.reader_study.kind import Kind

if TYPE_CHECKING:
    import numpy as np

FILE = "reader_study.html"
CONFIDENCE = {1: "guessing", 2: "leaning", 3: "probable", 4: "sure", 5: "certain"}
"""Words of the confidences, as the page has them."""


@dataclass(frozen=True, eq=False)
class ShownCase:
    """A case as the page has it."""

    case: str
    pixels: np.ndarray = field(repr=False)
    """(rows, columns), uint8, [0, 255], the same size for all."""


def render(study: str, cases: Sequence[ShownCase], practice: Sequence[ShownCase], orders: Sequence[list[int]]) -> bytes:
    """HTML of the page. ``orders`` are lists of the numbers of ``cases``, of which each reader has one."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    rows, columns = cases[0].pixels.shape
    style, script = _content("page.css"), _content("page.js")
    data = {
        "format": FORMAT,
        "study": study,
        "rows": rows,
        "columns": columns,
        "cases": [_case(item) for item in cases],
        "practice": [_case(item) for item in practice],
        "orders": list(orders),
        "kinds": [kind.value for kind in Kind],
        "confidence": list(CONFIDENCE.values()),
    }
    environment = Environment(
        loader=PackageLoader("mammogan.reader_study"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    template = environment.get_template("page.html")
    return template.render(
        study=study, showings=len(cases), practice=len(practice), data=data, style=style, script=script,
        style_hash=_hash(style), script_hash=_hash(script), kinds=list(Kind), confidence=CONFIDENCE,
    ).encode()  # fmt: skip


def _case(item: ShownCase) -> dict[str, str]:
    return {"case": item.case, "pixels": base64.b64encode(item.pixels.tobytes()).decode()}


def _content(name: str) -> str:
    return resources.files("mammogan.reader_study").joinpath("templates", name).read_text()


def _hash(text: str) -> str:
    """Source expression of a content security policy (CSP Level 3, 2.3.1) for an inline block of that very text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
