"""Options that several commands share, each spelled once, and their way into a configuration."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mammogan import console

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


REFUSALS = ("MlflowException", "RestException")
"""Exceptions of servers, by name: importing their packages would slow every command's start."""


class OneLineErrors(TyperGroup):
    """Command group whose errors are one line: status 2 for a bad value, 1 for a failure, 130 for Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  (a context of the click that typer carries)
        """Run the chosen command."""
        console.configure()
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except ValueError as error:
            logger.info(f"error: {error}")
            raise typer.Exit(2) from error
        except (OSError, RuntimeError) as error:
            logger.info(f"error: {error}")
            raise typer.Exit(1) from error
        except Exception as error:
            if type(error).__name__ not in REFUSALS:
                raise
            logger.info(f"error: {str(error).splitlines()[0]}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            logger.info("stopped; run the same command again to go on")
            raise typer.Exit(130) from error
