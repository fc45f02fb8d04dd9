"""What every page of this package is made with: the templates' environment and the files beside them."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from mammogan import numbers
from mammogan.numbers import Estimate, Scale

if TYPE_CHECKING:
    from jinja2 import Environment


def environment() -> Environment:
    """Environment of the templates, which escapes what it is given and refuses a name that it was not given.

    Its filters write numbers with the signs of a printed page.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    jinja = Environment(
        loader=PackageLoader("mammogan.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= {
        "number": _number,
        "estimate": _estimate,
        "value": _value,
        "interval": _interval,
        "date": numbers.date,
        "duration": numbers.duration,
        "percent": numbers.percent,
        "p_value": numbers.p_value,
    }
    return jinja


def _number(value: float | None) -> str:
    return numbers.typeset(numbers.number(value))


def _estimate(item: Estimate) -> str:
    return numbers.typeset(numbers.estimate(item))


def _value(item: Estimate) -> str:
    scale = Scale.of([item])
    return numbers.typeset(f"{scale.value(item)} {scale.power}".rstrip())


def _interval(item: Estimate) -> str:
    return numbers.typeset(numbers.interval(item))


def message(title: str, text: str) -> bytes:
    """Self-contained HTML page that says one thing, which may be anybody's words."""
    return environment().get_template("message.html").render(title=title, text=text).encode()


def content(name: str) -> str:
    """Text of a file beside the templates, such as the paper's tables."""
    return resources.files("mammogan.reporting").joinpath("templates", name).read_text()
