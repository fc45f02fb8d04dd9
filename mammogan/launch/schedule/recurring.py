"""Kubeflow's recurring runs: listed, made, switched on and off, removed, and which of their runs are in flight.

Kubeflow has no call that changes a recurring run, only whether it is enabled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING

from mammogan import config
from mammogan.launch import submit
from mammogan.launch.arguments import Parameter
from mammogan.launch.following.watch import ENDED
from mammogan.launch.schedule.ownership import Kind, describe, mark
from mammogan.launch.server import RefusedError

if TYPE_CHECKING:
    import kfp_server_api

    from mammogan.launch.server import Server

MISSING = 404


@dataclass(frozen=True)
class Recurring:
    """A recurring run, wanted or on the server, as far as a file rules it."""

    name: str
    cron: str
    parameters: Mapping[str, Parameter] = field(hash=False)
    pipeline_id: str
    version_id: str
    experiment_id: str
    service_account: str
    max_concurrency: int = 1
    no_catchup: bool = True
    enabled: bool = True
    owner: str = ""
    """Empty for one that was made before owners were recorded."""
    id: str = ""
    """Empty for a wanted one."""
    created_at: datetime | None = None
    """None for a wanted one."""

    def differences(self, other: Recurring) -> list[str]:
        """What has to change for this one to be as ``other``, apart from being enabled.

        Where ``other`` names no service account, Kubeflow has filled in its own.
        """
        apart = {"id", "created_at", "enabled"} | (set() if other.service_account else {"service_account"})
        return [
            f"{item.name} {_shown(getattr(self, item.name))} -> {_shown(getattr(other, item.name))}"
            for item in fields(self)
            if item.name not in apart and getattr(self, item.name) != getattr(other, item.name)
        ]


def _shown(value: object) -> str:
    return f"{config.digest(value)} (digest)" if isinstance(value, Mapping) else repr(value) if value else "none"


@dataclass(frozen=True)
class Flight:
    """A run that has not ended."""

    run_id: str
    state: str


def listed(server: Server, owner: str) -> list[Recurring]:
    """Recurring runs that files of this owner made, and those that files made before owners were recorded.

    Raises RuntimeError where a later version of this project made one of the owner's.
    """
    listing = server.recurring.recurring_run_service_list_recurring_runs
    entries = []
    for item in server.all_items("list recurring runs", listing, "recurring_runs", **server.scope()):
        owner_mark = mark(item.description or "")
        if owner_mark == mark(describe(owner)) or owner_mark.kind is Kind.UNOWNED:
            entries.append(_present(item, owner_mark.owner))
        elif owner_mark.kind is Kind.NEWER and owner_mark.owner == owner:
            raise RuntimeError(
                f"schedule {item.display_name}: a later version of this project made it ({item.description}); "
                "use that version"
            )
    return entries


def _present(item: kfp_server_api.V2beta1RecurringRun, owner: str) -> Recurring:
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
        owner=owner,
        id=item.recurring_run_id,
        created_at=item.created_at,
    )


def create(server: Server, wanted: Recurring) -> None:
    """Make a recurring run, once.

    Where an answer is lost nobody knows whether it was made: it is looked for by owner and name before it is asked for
    again, and what came late is removed. Raises RefusedError.
    """
    what = f"create schedule {wanted.name}"
    making = server.recurring.recurring_run_service_create_recurring_run
    requests = 0

    def find() -> str:
        return next((have.id for have in _equal(server, wanted)), "")

    def make() -> str:
        nonlocal requests
        requests += 1
        return server.once(what, making, _body(wanted)).recurring_run_id

    schedule_id = server.make(what, find, make)
    late = [have for have in _equal(server, wanted) if have.id != schedule_id] if requests > 1 else []
    for have in late:
        remove(server, have)


def _equal(server: Server, wanted: Recurring) -> list[Recurring]:
    """Recurring runs of the same owner and name that are as wanted."""
    return [
        have
        for have in listed(server, wanted.owner)
        if have.name == wanted.name and not have.differences(wanted) and have.enabled == wanted.enabled
    ]


def _body(wanted: Recurring) -> kfp_server_api.V2beta1RecurringRun:
    import kfp_server_api as api

    return api.V2beta1RecurringRun(
        display_name=wanted.name,
        description=describe(wanted.owner),
        experiment_id=wanted.experiment_id,
        pipeline_version_reference=submit.reference(wanted.pipeline_id, wanted.version_id),
        runtime_config=api.V2beta1RuntimeConfig(parameters=dict(wanted.parameters)),
        trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=wanted.cron)),
        max_concurrency=str(wanted.max_concurrency),
        no_catchup=wanted.no_catchup,
        mode="ENABLE" if wanted.enabled else "DISABLE",
        service_account=wanted.service_account,
    )


def enable(server: Server, target: Recurring) -> None:
    """Let it start runs again. One that it missed meanwhile it starts at once."""
    server.call(
        f"enable schedule {target.name}", server.recurring.recurring_run_service_enable_recurring_run, target.id
    )


def disable(server: Server, target: Recurring) -> None:
    """Let it start no further run; the one in flight goes on."""
    server.call(
        f"disable schedule {target.name}", server.recurring.recurring_run_service_disable_recurring_run, target.id
    )


def remove(server: Server, target: Recurring) -> None:
    """Remove it; where that was done already, by a request whose answer was lost, nothing is left to do.

    Kubernetes removes what it owns: a run in flight is killed without its exit step.
    """
    removing = server.recurring.recurring_run_service_delete_recurring_run
    try:
        server.call(f"remove schedule {target.name}", removing, target.id)
    except RefusedError as refusal:
        if refusal.status != MISSING:
            raise


def in_flight(server: Server, target: Recurring) -> list[Flight]:
    """Its runs that have not ended, as far as Kubeflow knows them, which takes a few seconds."""
    query = {"filter": submit.equals("recurring_run_id", target.id), **server.scope()}
    runs = server.all_items("list the schedule's runs", server.runs.run_service_list_runs, "runs", **query)
    return [Flight(run.run_id, run.state or "of no state") for run in runs if run.state not in ENDED]
