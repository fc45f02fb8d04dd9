"""``config``: every setting of the experiment with its value and the sentence that says what it is."""

from __future__ import annotations

import shlex
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from mammogan import config
from mammogan.addresses import masked
from mammogan.commands import options
from mammogan.field_docs import field_docs

app = typer.Typer()

INDENT = "    "
WIDEST_COLUMNS = 120


@dataclass(frozen=True)
class Setting:
    """One setting of a configuration, and what another one has in its place."""

    name: str
    """Dotted name."""
    value: Any
    """Value, as JSON has it."""
    other: Any
    """The other configuration's value; None where there is no other one, for no setting is None."""
    description: str
    """Its sentence."""


@app.command(name="config")
def config_(
    preset: options.Preset = "paper",
    settings: options.Settings = None,
    diff: Annotated[
        str, typer.Option(metavar="PRESET", autocompletion=options.presets, help="Only what differs from this preset.")
    ] = "",
    as_json: options.Json = False,
) -> None:
    """List every setting, written as --set takes it, with its value and what it means."""
    if diff and diff not in config.PRESETS:
        raise ValueError(f"--diff={diff!r}: choose one of {', '.join(config.PRESETS)}")
    chosen = config.override(config.resolve(preset), options.overrides(settings))
    listed = list(_settings(chosen, config.PRESETS[diff] if diff else None))
    if as_json:
        options.print_json({"preset": preset, "diff": diff or None, "settings": [asdict(item) for item in listed]})
        return
    columns = min(shutil.get_terminal_size().columns, WIDEST_COLUMNS)
    for item in listed:
        comparison = "" if item.other is None else f"  # {diff}: {_text(item.other)}"
        print(masked(f"{shlex.quote(f'{item.name}={_text(item.value)}')}{comparison}"))
        print(
            textwrap.fill(
                item.description, columns, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False
            )
        )


def _settings(chosen: config.Config, other: config.Config | None) -> Iterator[Setting]:
    """All settings, or those that differ from ``other``."""
    docs, others = field_docs(config.Config), other.flat() if other else {}
    for name, value in chosen.flat().items():
        if name != "preset" and not (other and others[name] == value):
            yield Setting(name, value, others.get(name), docs[name])


def _text(value: Any) -> str:  # noqa: ANN401  (a value of JSON)
    """A value as ``--set`` reads it."""
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
