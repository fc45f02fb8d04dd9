"""Options that several commands share, each spelled once, and their way into a configuration."""

from __future__ import annotations

import functools
import json
import logging
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from mammogan import __version__, console, errors, log_file
from mammogan.console import Verbosity

logger = logging.getLogger(__name__)


Preset = Annotated[str, typer.Option(help="Starting configuration: demo, paper or modern.")]
Subset = Annotated[str, typer.Option(help="CBIS-DDSM subsets, such as calc-train or mass-train+mass-test.")]
Lambdas = Annotated[str, typer.Option(help="Gradient-penalty weights, such as 0.5,3,5.")]
Seeds = Annotated[str, typer.Option(help="Training seeds, such as 0,1,2.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting by its dotted name; repeatable.")
]
Source = Annotated[str, typer.Option(help="Images: a folder, an s3:// address, or phantom.")]
Labels = Annotated[str, typer.Option(help="Folder of the case-description CSVs.")]
Experiment = Annotated[str, typer.Option("--experiment", help="MLflow experiment.")]
SomeExperiment = Annotated[str, typer.Option("--experiment", help="MLflow experiment; all if none.")]
TrackingUri = Annotated[str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow server or sqlite:/// file.")]
LpipsWeights = Annotated[str, typer.Option(help="File of the AlexNet LPIPS v0.1 weights.")]
Class = Annotated[str, typer.Option("--class", help="Class of the images: benign or malignant.")]
Mounts = Annotated[Path | None, typer.Option(help="Folder of the pod's settings and secrets, a file a key.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]


def overrides(settings: list[str] | None, shortcuts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Dotted overrides from ``--set key=value`` items and from the options that abbreviate a setting.

    Empty shortcuts count as not given. Raises ValueError for an item without '='.
    """
    given = {key: value for key, value in (shortcuts or {}).items() if value not in ("", None)}
    for item in settings or ():
        key, sign, value = item.partition("=")
        if not sign:
            raise ValueError(f"--set={item!r}: write it as KEY=VALUE, such as train.epochs=3")
        given[key.strip()] = value.strip()
    return given


def shortcuts(*, subset: str = "", lambdas: str = "", seeds: str = "", lpips_weights: str = "") -> dict[str, str]:
    """Dotted settings of the options that abbreviate one."""
    return {
        "data.subset": subset,
        "lambdas": lambdas,
        "seeds": seeds,
        "evaluate.lpips_weights": str(Path(lpips_weights).expanduser().resolve()) if lpips_weights else "",
    }


def label_of(kind: str) -> int:
    """Label of ``--class``. Raises ValueError for an unknown name."""
    from mammogan.data.manifest import CLASSES

    if kind not in CLASSES:
        raise ValueError(f"--class={kind!r}: choose one of {', '.join(CLASSES)}")
    return CLASSES.index(kind)


def print_json(value: object) -> None:
    """Print one JSON object to standard output, NaN never among its numbers."""
    print(json.dumps(value, indent=2, allow_nan=False))


VERBOSITY = "mammogan.verbosity"
"""Key of a command line's verbosity in the context that its group and its command share."""


def _verbosity_of(verbosity: Verbosity) -> Callable[[typer.Context, bool], None]:
    """Callback of the option that asks for it; before the subcommand or behind it, the last one counts."""

    def choose(context: typer.Context, given: bool) -> None:
        if given:
            context.meta[VERBOSITY] = verbosity
            console.configure(verbosity)

    return choose


Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        help="Show more of what is done.",
        callback=_verbosity_of(Verbosity.VERBOSE),
        expose_value=False,
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show that, the tracebacks of errors and what other packages log.",
        callback=_verbosity_of(Verbosity.DEBUG),
        expose_value=False,
    ),
]


@functools.cache
def _verbosity_options() -> list[Any]:
    """Options of the group and of each of its commands, as typer makes them of a function's signature."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def options(verbose: Verbose = False, debug: Debug = False) -> None: ...

    return get_command(app).params


class OneLineErrors(TyperGroup):
    """Command group whose errors are one line: status 2 for a bad value, 1 for a failure, 130 for Ctrl-C.

    Their tracebacks are in the log file, on the console with ``--debug``.
    """

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401  (those of typer's group)
        super().__init__(**attributes)
        _add_verbosity(self)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401  (of the click that typer carries)
        """The command of that name, which takes the options of the verbosity too."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _add_verbosity(command)
        return command

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  (a context of the click that typer carries)
        """Run the chosen command."""
        try:
            console.configure(ctx.meta.get(VERBOSITY))
            log_file.attach(console.PACKAGE)
            logger.debug(f"mammogan {__version__}: {shlex.join(sys.argv)}")
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException):  # typer's own, which it shows itself
            raise
        except Exception as error:
            logger.error(f"error: {errors.reason(error)}", exc_info=error)
            raise typer.Exit(2 if isinstance(error, ValueError) else 1) from error
        except KeyboardInterrupt as error:
            logger.info("stopped; run the same command again to go on")
            raise typer.Exit(130) from error


def _add_verbosity(command: Any) -> None:  # noqa: ANN401  (of the click that typer carries)
    taken = {parameter.name for parameter in command.params}
    command.params += [option for option in _verbosity_options() if option.name not in taken]
