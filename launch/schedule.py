"""Recurring runs as a file says: what is missing is created, what differs replaced, what is no longer there removed.

Kubeflow has no call that changes a recurring run, only whether it is enabled. Those that this file made carry
``OWNED`` in their description; all others are left alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from launch import submit
from launch.arguments import graph_arguments
from launch.pods import Pods
from mammogan import config

if TYPE_CHECKING:
    import kfp_server_api
    from kfp.dsl.base_component import BaseComponent

    from launch.server import Server

OWNED = "mammogan: made from schedules.yaml, change it there"
_CRON_FIELD = re.compile(r"[\d*/,\-?A-Za-z]+")
_CRON_FIELDS = 6


@dataclass(frozen=True)
class Schedule:
    """One entry of the file."""

    name: str
    """Name of the recurring run."""
    cron: str
    """Six fields, seconds first, in the server's time zone, which is UTC."""
    source: str = ""
    """Images, as the option of submit."""
    labels: str = ""
    """Case-description CSVs, as the option of submit."""
    store: str = ""
    """Where branches keep their checkpoints: s3://bucket/prefix."""
    preset: str = "paper"
    """Starting configuration."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings by their dotted names."""
    experiment: str = "mammogan"
    """MLflow's experiment, and Kubeflow's."""
    pods: Mapping[str, Any] = field(default_factory=dict)
    """Settings of launch/pods.py, the image among them."""
    service_account: str = submit.SERVICE_ACCOUNT
    """Service account of the pods; empty is Kubeflow's own."""
    force: bool = False
    """Whether its runs train also where data, code and settings are those of the champion."""
    enabled: bool = True
    """Whether it starts runs."""

    def __post_init__(self) -> None:
        """Check what Kubeflow would only refuse, or not even that, when the time comes."""
        parts = self.cron.split()
        if len(parts) != _CRON_FIELDS or not all(map(_CRON_FIELD.fullmatch, parts)):
            raise ValueError(f"cron={self.cron!r}: give six fields, seconds first, such as 0 0 3 * * 1")
        submit.require_store(self.arguments)
        submit.require_remote(self.arguments)
        if not self.pod_settings.image:
            raise ValueError("pods.image='': give the project's image by digest, NAME@sha256:...")

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of its runs."""
        found = graph_arguments(
            self.preset,
            self.settings,
            source=self.source,
            labels=self.labels,
            experiment=self.experiment,
            force=self.force,
        )
        return {**found, "store": self.store}

    @property
    def pod_settings(self) -> Pods:
        """Pods of its runs."""
        return config.override(Pods(), self.pods)


def read(path: Path) -> list[Schedule]:
    """Schedules of a YAML file. Raises ValueError naming the file, the entry, the field and the mend."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"--file={path}: it cannot be read ({error.strerror}); give a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"--file={path}: it is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or set(content) != {"schedules"} or not isinstance(content["schedules"], list):
        raise ValueError(f"--file={path}: give one list named schedules; [] removes all")
    found = [_parse(path, entry) for entry in content["schedules"]]
    for name, count in Counter(schedule.name for schedule in found).items():
        if count > 1:
            raise ValueError(f"--file={path}: schedule {name!r} stands there {count} times; give each its own name")
    return found


def _parse(path: Path, entry: object) -> Schedule:
    where = f"--file={path}: schedule {entry.get('name', '') if isinstance(entry, dict) else entry}"
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: write it as fields with values")
    known = {item.name for item in fields(Schedule)}
    wrong, missing = sorted(set(entry) - known), sorted({"name", "cron"} - set(entry))
    if wrong or missing:
        what = f"unknown field {wrong[0]!r}" if wrong else f"no field {missing[0]!r}"
        raise ValueError(f"{where}: {what}; the fields are {', '.join(sorted(known))}")
    kinds = {"enabled": bool, "force": bool, "settings": dict, "pods": dict}
    for name, value in entry.items():
        kind = kinds.get(name, str)
        if not isinstance(value, kind):
            raise ValueError(f"{where}: {name}={value!r}: give a value of type {kind.__name__}")
    try:
        return Schedule(**entry)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


@dataclass(frozen=True)
class Recurring:
    """A recurring run, wanted or on the server, as far as the file rules it."""

    name: str
    cron: str
    parameters: Mapping[str, Any] = field(hash=False)
    pipeline_id: str
    version_id: str
    experiment_id: str
    service_account: str
    max_concurrency: int = 1
    no_catchup: bool = True
    enabled: bool = True
    id: str = ""
    """Empty for a wanted one."""

    def differences(self, other: Recurring) -> list[str]:
        """What has to change for this one to be as ``other``, apart from being enabled.

        Where ``other`` names no service account, Kubeflow has filled in its own.
        """
        apart = {"id", "enabled"} | (set() if other.service_account else {"service_account"})
        return [
            f"{item.name} {_shown(getattr(self, item.name))} -> {_shown(getattr(other, item.name))}"
            for item in fields(self)
            if item.name not in apart and getattr(self, item.name) != getattr(other, item.name)
        ]


def _shown(value: object) -> str:
    return f"{config.digest(value)} (digest)" if isinstance(value, Mapping) else repr(value) if value else "new"


@dataclass(frozen=True)
class Change:
    """One step from what is to what is wanted."""

    verb: str
    """create, remove, enable or disable."""
    target: Recurring
    why: str = ""

    def __str__(self) -> str:
        """One line of the diff."""
        sign = {"create": "+", "remove": "-"}.get(self.verb, "~")
        return f"{sign} {self.verb} {self.target.name} ({self.target.cron}){': ' if self.why else ''}{self.why}"


def plan(wanted: Sequence[Recurring], present: Sequence[Recurring]) -> list[Change]:
    """Changes that turn ``present`` into ``wanted``.

    A replacement is created before the old one is removed: what is interrupted in between leaves one too many, which
    the next pass removes, and never none. Removing one ends its run in flight, without an exit step: Kubernetes removes
    what the recurring run owns.
    """
    changes: list[Change] = []
    for want in wanted:
        named = [have for have in present if have.name == want.name]
        same = [have for have in named if not have.differences(want)]
        if not same:
            why = "; ".join(named[0].differences(want)) if named else ""
            changes.append(Change("create", want, why))
        elif same[0].enabled != want.enabled:
            changes.append(Change("enable" if want.enabled else "disable", same[0]))
        others = [have for have in named if have not in same[:1]]
        changes += [Change("remove", have, "replaced" if not same else "one too many") for have in others]
    names = {want.name for want in wanted}
    changes += [Change("remove", have, "not in the file") for have in present if have.name not in names]
    return changes


def reconcile(
    server: Server, pipeline: BaseComponent, schedules: Sequence[Schedule], *, dry_run: bool = False
) -> list[Change]:
    """Make the server's recurring runs those of the file; return what was, or with ``dry_run`` would be, changed."""
    wanted = [_wanted(server, pipeline, schedule, make=not dry_run) for schedule in schedules]
    changes = plan(wanted, list_owned(server))
    if not dry_run:
        for change in changes:
            _apply(server, change)
    return changes


def _wanted(server: Server, pipeline: BaseComponent, schedule: Schedule, *, make: bool) -> Recurring:
    """The recurring run that an entry asks for; ids are empty for what would have to be made first."""
    pods = schedule.pod_settings
    if make:
        version = submit.upload(server, pipeline, pods)
        experiment_id = submit.find_or_make_experiment(server, schedule.experiment)
    else:
        version = submit.find(server, pipeline, pods)
        experiment_id = submit.find_experiment(server, schedule.experiment)
    return Recurring(
        name=schedule.name,
        cron=schedule.cron,
        parameters=schedule.arguments,
        pipeline_id=version.pipeline_id,
        version_id=version.version_id,
        experiment_id=experiment_id,
        service_account=schedule.service_account,
        enabled=schedule.enabled,
    )


def list_owned(server: Server) -> list[Recurring]:
    """Recurring runs that a file like this one made."""
    listing = server.recurring.recurring_run_service_list_recurring_runs
    listed = server.each("list recurring runs", listing, "recurring_runs", **server.scope())
    return [_present(item) for item in listed if item.description == OWNED]


def _present(item: kfp_server_api.V2beta1RecurringRun) -> Recurring:
    reference = item.pipeline_version_reference
    cron = item.trigger.cron_schedule if item.trigger else None
    return Recurring(
        name=item.display_name,
        cron=cron.cron if cron else "",
        parameters=(item.runtime_config.parameters if item.runtime_config else None) or {},
        pipeline_id=reference.pipeline_id if reference else "",
        version_id=reference.pipeline_version_id if reference else "",
        experiment_id=item.experiment_id or "",
        service_account=item.service_account or "",
        max_concurrency=int(item.max_concurrency or 0),
        no_catchup=bool(item.no_catchup),
        enabled=item.mode == "ENABLE",
        id=item.recurring_run_id,
    )


def _apply(server: Server, change: Change) -> None:
    service, name = server.recurring, change.target.name
    if change.verb == "create":
        body = _body(change.target)
        server.call(f"create schedule {name}", service.recurring_run_service_create_recurring_run, body)
        return
    action = {
        "remove": service.recurring_run_service_delete_recurring_run,
        "enable": service.recurring_run_service_enable_recurring_run,
        "disable": service.recurring_run_service_disable_recurring_run,
    }[change.verb]
    server.call(f"{change.verb} schedule {name}", action, change.target.id)


def _body(wanted: Recurring) -> kfp_server_api.V2beta1RecurringRun:
    import kfp_server_api as api

    return api.V2beta1RecurringRun(
        display_name=wanted.name,
        description=OWNED,
        experiment_id=wanted.experiment_id,
        pipeline_version_reference=submit.reference(wanted.pipeline_id, wanted.version_id),
        runtime_config=api.V2beta1RuntimeConfig(parameters=dict(wanted.parameters)),
        trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=wanted.cron)),
        max_concurrency=str(wanted.max_concurrency),
        no_catchup=wanted.no_catchup,
        mode="ENABLE" if wanted.enabled else "DISABLE",
        service_account=wanted.service_account,
    )
