"""Options that several commands share, each spelled once, and their way into a configuration or into pod settings."""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from mammogan import __version__, config, console, errors, log_file, user_folders
from mammogan.addresses import masked
from mammogan.commands import output
from mammogan.config import SettingValue
from mammogan.console import Verbosity

if TYPE_CHECKING:
    from mammogan.launch.pods import Pods

logger = logging.getLogger(__name__)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mammogan {__version__}")
        raise typer.Exit


def presets() -> list[str]:
    """Presets, of which a shell proposes those that begin as the word does."""
    return list(config.PRESETS)


def _settings() -> list[str]:
    """Settings as far as their '=', of which a shell proposes those that begin as the word does."""
    return [f"{name}=" for name in config.Config().flat() if name != "preset"]


def _store_uri(value: str) -> str:
    """The MLflow that is named, else that of the runs in the working folder."""
    from mammogan.launch import store

    return value or store.tracking_uri()


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
]
Preset = Annotated[
    str, typer.Option(help=f"Starting configuration: {', '.join(config.PRESETS)}.", autocompletion=presets)
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=_settings,
        help="Any setting by its dotted name, which `config` lists; repeatable.",
    ),
]
Subset = Annotated[str, typer.Option(help="CBIS-DDSM subsets, such as calc-train or mass-train+mass-test.")]
Lambdas = Annotated[str, typer.Option(help="Gradient-penalty weights, such as 0.5,3,5.")]
Seeds = Annotated[str, typer.Option(help="Training seeds, such as 0,1,2.")]
LpipsWeights = Annotated[str, typer.Option(help="File of the AlexNet LPIPS v0.1 weights.")]

Source = Annotated[str, typer.Option(help="Images: a folder, an s3:// address, or phantom.")]
Labels = Annotated[str, typer.Option(help="Folder of the case-description CSVs.")]
Patients = Annotated[
    str,
    typer.Option(help="Folder or s3:// address of the patients' key and index; without it names stay as they are."),
]
Class = Annotated[str, typer.Option("--class", help="Class of the images: benign or malignant.")]

RUN = "latest, a run's name, or the beginning of its id in MLflow, or of one of its trials'"
OneRun = Annotated[str, typer.Argument(metavar="RUN", help=f"Run: {RUN}.")]
Experiment = Annotated[str, typer.Option("--experiment", help="MLflow experiment.")]
SomeExperiment = Annotated[str, typer.Option("--experiment", help="MLflow experiment; all if none.")]
TrackingUri = Annotated[str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow server or sqlite:/// file.")]
StoreUri = Annotated[
    str,
    typer.Option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        callback=_store_uri,
        help="MLflow server or sqlite:/// file; runs/mlflow.db if none.",
    ),
]
"""Of the commands that read what runs have left."""
ForceTraining = Annotated[
    bool,
    typer.Option("--force/--if-changed", help="Train unconditionally, or only if data, code or settings changed."),
]

Host = Annotated[
    str, typer.Option(envvar="KFP_HOST", help="Kubeflow Pipelines: an address, port-forward, or empty inside it.")
]
Namespace = Annotated[str, typer.Option(help="Kubernetes namespace; your profile's on a multi-user Kubeflow.")]
ServiceAccount = Annotated[str, typer.Option(help="Kubernetes service account of the run's pods.")]
Store = Annotated[str, typer.Option(help="Where trials keep their checkpoints: s3://bucket/prefix.")]
Image = Annotated[str, typer.Option(help="The project's image by digest: registry/name@sha256:...")]
GpuImage = Annotated[str, typer.Option(help="Image of the accelerated steps by digest; the same if none.")]
Parallelism = Annotated[int, typer.Option(help="Trials trained at the same time; 0 leaves it to the cluster.")]
PodSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--pods",
        metavar="KEY=VALUE",
        help="Any setting of mammogan/launch/pods.py: train.cpu, train.memory, train.scratch and so for each step, "
        "accelerator, accelerators, node_selector, tolerations, shm, queue, labels, train_hours, pending_minutes, "
        "ttl_days, names of secrets; repeatable.",
    ),
]

ModelAddress = Annotated[
    str, typer.Option("--model", help="Registered model: models:/NAME@ALIAS or models:/NAME/VERSION.")
]
Why = Annotated[str, typer.Option(help="Reason, kept in the record.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]
Mounts = Annotated[Path | None, typer.Option(help="Folder of the pod's settings and secrets, a file a key.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]


def a_seed(option: typer.CallbackParam, value: int | None) -> int | None:
    """Callback of every option that is a seed: the value, where it is one. Raises ValueError where it is none."""
    if value is not None:
        config.require_seed(option.opts[0], value)
    return value


def overrides(
    settings: Iterable[str] | None, shortcuts: Mapping[str, SettingValue | None] | None = None
) -> dict[str, SettingValue]:
    """Dotted overrides from ``--set key=value`` items and from the options that abbreviate a setting.

    Empty shortcuts count as not given. Raises ValueError for an item without '='.
    """
    given = {key: value for key, value in (shortcuts or {}).items() if value is not None and value != ""}
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
        "evaluate.lpips_weights": str(user_folders.expanded(lpips_weights).resolve()) if lpips_weights else "",
    }


def pods(settings: Sequence[str] | None, image: str = "", gpu_image: str = "", parallelism: int = 0) -> Pods:
    """Pod settings of the command line. Raises ValueError for a name or a value that there is not."""
    from mammogan.launch.pods import Pods

    return config.override(
        Pods(), overrides(settings, {"image": image, "gpu_image": gpu_image, "parallelism": parallelism or ""})
    )


def label_of(kind: str) -> int:
    """Label of ``--class``. Raises ValueError for an unknown name."""
    from mammogan.data.manifest import CLASSES

    if kind not in CLASSES:
        raise ValueError(f"--class={kind!r}: choose one of {', '.join(CLASSES)}")
    return CLASSES.index(kind)


def print_json(value: object) -> None:
    """Print one JSON object to standard output, NaN never among its numbers."""
    print(masked(json.dumps(value, indent=2, allow_nan=False)))


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
            logger.debug(f"mammogan {__version__}: {_names(sys.argv[1:])}")
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException):  # typer's own, which it shows itself
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError) and output.is_unread():
                raise typer.Exit(output.UNREAD) from error
            logger.error(f"error: {errors.reason(error)}", exc_info=error)
            raise typer.Exit(2 if isinstance(error, ValueError) else 1) from error
        except KeyboardInterrupt as error:
            logger.info("stopped; run the same command again to resume")
            raise typer.Exit(130) from error


def _names(arguments: Sequence[str]) -> str:
    """The subcommand and the names of the options; a value may hold what signs in."""
    return " ".join(
        word.partition("=")[0] if word.startswith("-") else word if number == 0 else "..."
        for number, word in enumerate(arguments)
    )


def _add_verbosity(command: Any) -> None:  # noqa: ANN401  (of the click that typer carries)
    taken = {parameter.name for parameter in command.params}
    command.params += [option for option in _verbosity_options() if option.name not in taken]
