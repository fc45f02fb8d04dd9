"""What every page of this package is made with: the templates' environment and the files beside them."""

from __future__ import annotations

import html
from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(**filters: Callable[..., object]) -> Environment:
    """Environment of the templates, which escapes what it is given and refuses a name that it was not given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    jinja = Environment(
        loader=PackageLoader("mammogan.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= filters
    return jinja


def message(title: str, text: str) -> bytes:
    """Self-contained HTML page that says one thing, which may be anybody's words."""
    body = f"<p>{html.escape(text)}</p>"
    return environment().get_template("page.html").render(title=title, style=content("report.css"), body=body).encode()


def content(name: str) -> str:
    """Text of a file beside the templates, such as the pages' common style ``report.css``."""
    return resources.files("mammogan.reporting").joinpath("templates", name).read_text()
