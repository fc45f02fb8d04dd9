"""What a user asks for, turned into the arguments of the graph: the same for every way to run it."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from mammogan import config, user_folders
from mammogan.addresses import masked

LONGEST_EXPERIMENT = 128
"""Characters that Kubeflow's table has for an experiment's name; MLflow's has 500."""
LAST_LETTER = 0xFFFF
"""Last code point that the three-byte UTF-8 of Kubeflow's database can write; emoji lie behind it."""

_IN_BUCKET = re.compile(r"s3://[A-Za-z0-9._\-]+(/.*)?")


Parameter = str | bool | list[str]
"""What KFP takes for an argument of the graph."""


@dataclass(frozen=True)
class GraphArguments:
    """Arguments of the graph, ``mammogan.pipeline.experiment``, whose parameters bear these names."""

    trials: tuple[str, ...]
    """Names of the trials, in the order in which the fan-out starts them."""
    settings: str
    """Preset and what differs from it, as ``config.settings_text`` writes them."""
    source: str
    """Folder or s3:// address of the images, or phantom."""
    labels: str
    """Folder or s3:// address of the case-description CSVs; empty where the source brings its labels."""
    experiment: str
    """Name of MLflow's experiment, and of Kubeflow's."""
    force: bool
    """Whether to train also where data, code and settings are those of the champion."""
    store: str = ""
    """Folder or s3:// address where trials keep their checkpoints; empty is the graph's own default."""
    work: str = ""
    """Folder of finished images; empty is the graph's own default."""

    @property
    def configuration(self) -> config.Config:
        """The whole configuration of the run."""
        return config.parse(self.settings)

    def parameters(self) -> dict[str, Parameter]:
        """As KFP takes them, without those that are left to the graph's default."""
        given = {item.name: getattr(self, item.name) for item in fields(self)} | {"trials": list(self.trials)}
        return {name: value for name, value in given.items() if value or name not in ("store", "work")}


def graph_arguments(
    preset: str,
    overrides: config.Overrides,
    *,
    source: str = "",
    labels: str = "",
    store: str = "",
    experiment: str = "mammogan",
    force: bool = True,
) -> GraphArguments:
    """Arguments of the pipeline function for a preset, its overrides and where the data are.

    Without ``force`` the run stops before training where data, code and settings are those of the champion.
    Raises ValueError where the configuration, the experiment's name or an address is wrong, before anything runs.
    """
    text = config.settings_text(preset, overrides)
    settings = config.parse(text)
    require_experiment(experiment)
    for name, value in (*settings.flat().items(), ("--source", source), ("--labels", labels), ("--store", store)):
        require_public(name, value)
    source = source or config.DEFAULT_SOURCES.get(preset, "")
    if not source:
        raise ValueError("--source='': give a folder or an s3:// address with the images, or phantom")
    require_bucket("--source", source)
    require_bucket("--labels", labels)
    return GraphArguments(
        trials=tuple(trial.name for trial in settings.trials),
        settings=text,
        source=_absolute(source),
        labels=_absolute(labels),
        experiment=experiment,
        force=force,
        store=store,
    )


def require_experiment(name: str) -> None:
    """Raise ValueError for a name of an experiment that Kubeflow or MLflow cannot store, or not tell from another."""
    argument = f"experiment={name!r}"
    if not name or name != name.strip():
        raise ValueError(f"{argument}: give a name, without space at its ends")
    if len(name) > LONGEST_EXPERIMENT:
        raise ValueError(f"{argument}: give at most {LONGEST_EXPERIMENT} characters; Kubeflow stores no more")
    wrong = [letter for letter in name if ord(letter) > LAST_LETTER or not letter.isprintable()]
    if wrong:
        raise ValueError(f"{argument}: leave out {wrong[0]!r}; Kubeflow's database cannot store it")


def require_public(name: str, value: config.SettingValue) -> None:
    """Raise ValueError for an address that signs in or is signed: Kubeflow and the steps' records keep arguments."""
    if isinstance(value, str) and masked(value) != value:
        raise ValueError(
            f"{name}={masked(value)!r}: it carries what signs in, and the graph's arguments are kept where many can "
            "read; give a path, or an s3:// address and its keys in the environment"
        )


def require_bucket(argument: str, location: str) -> None:
    """Raise ValueError for an s3:// address without a bucket that there can be."""
    if location.startswith("s3://") and not _IN_BUCKET.fullmatch(location):
        raise ValueError(f"{argument}={location!r}: give s3://bucket/prefix, with the bucket's name")


def is_path(location: str) -> bool:
    """Whether a source or a file is given as a path, not as an address, the word phantom or nothing."""
    return location not in ("", "phantom") and "://" not in location


def _absolute(location: str) -> str:
    """A local path made absolute, because a step has a working folder of its own; anything else as it is."""
    path = user_folders.expanded(location)
    return str(path.resolve()) if location and "://" not in location and path.exists() else location
