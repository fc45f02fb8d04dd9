"""The file that says which recurring runs an owner has."""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from mammogan import config, storage
from mammogan.launch import submit
from mammogan.launch.arguments import LAST_LETTER, GraphArguments, graph_arguments
from mammogan.launch.naming import is_subdomain
from mammogan.launch.pods import Pods
from mammogan.launch.schedule import cron

OWNER = re.compile(r"[A-Za-z0-9._-]{1,63}")
MOST_VALUES = 100_000
"""Values of a file, keys included, with every alias written out."""
NOT_YAML = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError)
"""What PyYAML raises for a file that is none: its own errors, and those of values as ``!!bool 3`` and ``!!int x``."""
_LONGEST = 128
"""Characters of an entry's name; Kubernetes names the schedule and its runs by what it can use of them."""


@dataclass(frozen=True)
class Schedule:
    """One entry of the file."""

    name: str
    """Name of the recurring run."""
    cron: str
    """When it fires, as Kubeflow reads it, in the server's time zone, which is UTC: six fields, seconds first."""
    source: str = ""
    """Images, as the option of submit."""
    labels: str = ""
    """Case-description CSVs, as the option of submit."""
    store: str = ""
    """Where trials keep their checkpoints: s3://bucket/prefix."""
    preset: str = "paper"
    """Starting configuration."""
    settings: config.Overrides = field(default_factory=dict)
    """Settings by their dotted names."""
    experiment: str = "mammogan"
    """MLflow's experiment, and Kubeflow's."""
    pods: config.Overrides = field(default_factory=dict)
    """Settings of mammogan/launch/pods.py, the image among them."""
    service_account: str = submit.SERVICE_ACCOUNT
    """Service account of the pods; empty is Kubeflow's own."""
    force: bool = False
    """Whether its runs train also where data, code and settings are those of the champion."""
    enabled: bool = True
    """Whether it starts runs."""

    def __post_init__(self) -> None:
        """Check what Kubeflow would only refuse, or not even that, when the time comes."""
        plain = self.name.isprintable() and all(ord(letter) <= LAST_LETTER for letter in self.name)
        if not plain or not 1 <= len(self.name) <= _LONGEST or self.name != self.name.strip():
            raise ValueError(f"name={self.name!r}: give 1 to {_LONGEST} plain characters in one line, without emoji")
        cron.require(self.cron)
        if self.service_account and not is_subdomain(self.service_account):
            raise ValueError(
                f"service_account={self.service_account!r}: give a Kubernetes name: small letters, digits, '-' and '.'"
            )
        arguments = self.arguments
        submit.require_store(arguments)
        submit.require_remote(arguments)
        if not self.pod_settings.image:
            raise ValueError("pods.image='': give the project's image by digest, NAME@sha256:...")

    @property
    def arguments(self) -> GraphArguments:
        """Arguments of its runs."""
        return graph_arguments(
            self.preset,
            self.settings,
            source=self.source,
            labels=self.labels,
            store=self.store,
            experiment=self.experiment,
            force=self.force,
        )

    @property
    def pod_settings(self) -> Pods:
        """Pods of its runs."""
        return config.override(Pods(), self.pods)


@dataclass(frozen=True)
class File:
    """All entries of one owner; what the owner has on Kubeflow beside them is removed."""

    owner: str
    """Whose they are: 1 to 63 letters, digits, ``.``, ``_`` and ``-``. Files of two owners do not touch each other."""
    schedules: Sequence[Schedule]


def read(path: Path) -> File:
    """A YAML file. Raises ValueError naming the file, the entry, the field and the fix."""
    try:
        with storage.open_regular(path) as file:
            content = yaml.load(file.read().decode(), _EachKeyOnce)  # noqa: S506  (a safe loader)
    except OSError as error:
        raise ValueError(f"--file={path}: it cannot be read ({error.strerror}); give a YAML file") from error
    except NOT_YAML as error:
        raise ValueError(f"--file={path}: it is no YAML ({' '.join(str(error).split())[:300]})") from error
    except RecursionError as error:
        raise ValueError(f"--file={path}: it is nested too deeply; write schedules as fields with values") from error
    if (
        not isinstance(content, dict)
        or not {"schedules"} <= set(content) <= {"owner", "schedules"}
        or not isinstance(content["schedules"], list)
    ):
        raise ValueError(f"--file={path}: give an owner and one list named schedules; [] removes all of the owner's")
    owner = _owner(path, content)
    schedules = [_parse(path, entry) for entry in content["schedules"]]
    for name, count in Counter(schedule.name for schedule in schedules).items():
        if count > 1:
            raise ValueError(f"--file={path}: schedule {name!r} stands there {count} times; give each its own name")
    return File(owner, schedules)


class _EachKeyOnce(yaml.SafeLoader):
    """Plain YAML in which no key stands twice: the last one would win without a word.

    Aliases that unfold to more than any such file needs are refused before they are unfolded: a few lines of them make
    gigabytes.
    """

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _unfolded(node, {}) > MOST_VALUES:
            raise yaml.YAMLError(f"its aliases unfold to more than {MOST_VALUES} values")
        return node

    def construct_number(self, node: yaml.ScalarNode) -> int:
        """A whole number; of those in base 60, ``1:30``, YAML has some that Python cannot write out."""
        number = int(super().construct_yaml_int(node))
        if abs(number) > config.LARGEST_INTEGER:
            raise yaml.YAMLError(f"a number is beyond {config.LARGEST_INTEGER}{node.start_mark}")
        return number

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for name, count in Counter(map(str, names)).items():
            if count > 1:
                raise yaml.YAMLError(f"{name} stands {count} times in one place{node.start_mark}")
        return super().construct_mapping(node, deep)


_EachKeyOnce.add_constructor("tag:yaml.org,2002:int", _EachKeyOnce.construct_number)


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """Values of a node, an alias counted as often as it stands; more than ``MOST_VALUES`` for one within itself."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES  # while it is being counted: whoever meets it now lies within it
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = [part for item in parts for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_unfolded(part, known) for part in inner)
    return known[id(node)]


def _short(value: object) -> str:
    """A value as it may stand in a message, however large it is."""
    return value[:_LONGEST] if isinstance(value, str) else reprlib.repr(value)


def _owner(path: Path, content: Mapping[str, object]) -> str:
    if "owner" not in content:
        raise ValueError(
            f"--file={path}: no owner; say at its top whose schedules these are, such as 'owner: imaging-group', "
            "another one in each file"
        )
    owner = content["owner"]
    if not isinstance(owner, str) or not OWNER.fullmatch(owner):
        raise ValueError(
            f"--file={path}: owner={reprlib.repr(owner)}: give 1 to 63 letters, digits, '-', '.' and '_', in quotes"
        )
    return owner


def _parse(path: Path, entry: object) -> Schedule:
    where = f"--file={path}: schedule {_short(entry.get('name', '') if isinstance(entry, dict) else entry)}"
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: write it as fields with values")
    known = {item.name for item in fields(Schedule)}
    wrong, missing = sorted(set(map(str, entry)) - known), sorted({"name", "cron"} - set(entry))
    if wrong or missing:
        what = f"unknown field {wrong[0]!r}" if wrong else f"no field {missing[0]!r}"
        raise ValueError(f"{where}: {what}; the fields are {', '.join(sorted(known))}")
    kinds = {"enabled": bool, "force": bool, "settings": dict, "pods": dict}
    for name, value in entry.items():
        kind = kinds.get(name, str)
        if not isinstance(value, kind):
            raise ValueError(f"{where}: {name}={reprlib.repr(value)}: give a value of type {kind.__name__}")
    try:
        return Schedule(**entry)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
