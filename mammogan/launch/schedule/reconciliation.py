"""Making the recurring runs on Kubeflow those of a file, without killing a run that one of them has in flight.

Removing a recurring run removes its run in flight, without an exit step. So one that differs or has to go is switched
off first, then the end of its run is waited for, then it is replaced or removed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mammogan.launch import submit
from mammogan.launch.following import termination
from mammogan.launch.following.watch import AWAY_S
from mammogan.launch.schedule import cron, recurring
from mammogan.launch.schedule.plan import Change, Verb, plan, unadopted
from mammogan.launch.schedule.recurring import Recurring
from mammogan.launch.server import RefusedError

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

    from mammogan.launch.schedule.entries import File, Schedule
    from mammogan.launch.schedule.recurring import Flight
    from mammogan.launch.server import Server

logger = logging.getLogger(__name__)

SETTLE_S = 15.0
"""How long after a recurring run was switched off Kubeflow may still learn of a run that it had just begun."""
POLL_S = 5.0
REMIND_S = 60.0
RESUMES = "the same command resumes"


def reconcile(
    server: Server,
    pipeline: BaseComponent,
    file: File,
    *,
    dry_run: bool = False,
    now: bool = False,
    tracking_uri: str = "",
    show: Callable[[Change], object] = print,
) -> list[Change]:
    """Make the server's recurring runs those of the file; return what was, or with ``dry_run`` would be, changed.

    ``show`` gets each change when it is made. A run in flight of one that differs or has to go is waited for, or with
    ``now`` stopped, also in MLflow at ``tracking_uri``. Raises ValueError before anything is changed where an entry
    cannot run, RefusedError for what the server does not grant; then, and after Ctrl-C, what was switched off stays so.
    """
    for schedule in file.schedules:
        _require_arguments(pipeline, schedule)
    server.require_namespace()
    wanted = [_wanted(server, pipeline, file.owner, schedule, make=not dry_run) for schedule in file.schedules]
    present = recurring.listed(server, file.owner)
    changes = plan(file.owner, wanted, present)
    if left := unadopted(present, changes):
        logger.info(
            f"left alone, made before owners were recorded: {', '.join(sorted(left))}; a file that names one adopts it"
        )
    if dry_run:
        for change in changes:
            show(change)
        return changes
    for change in changes:
        if not change.ends:
            _make(server, change)
            show(change)
    Ending(server, [change for change in changes if change.ends], show, now=now, tracking_uri=tracking_uri).carry_out()
    return changes


def forecast(server: Server, file: File, now: datetime) -> list[str]:
    """A line for each entry: when it fires next. Raises ValueError where a namespace is needed and none was given."""
    server.require_namespace()
    created_at = {have.name: have.created_at for have in recurring.listed(server, file.owner) if have.created_at}
    lines = []
    for schedule in file.schedules:
        times = cron.upcoming(cron.parse(schedule.cron), now, created_at.get(schedule.name))
        shown = ", ".join(moment.strftime("%a %Y-%m-%d %H:%M:%S") for moment in times)
        off = "" if schedule.enabled else "; switched off"
        lines.append(f"  {schedule.name} ({schedule.cron}): next {shown} UTC{off}")
    return lines


def _require_arguments(pipeline: BaseComponent, schedule: Schedule) -> None:
    """Raise ValueError where the pipeline does not take the arguments of an entry, which Kubeflow would refuse."""
    inputs = pipeline.component_spec.inputs or {}
    given = set(schedule.arguments.parameters())
    unknown = sorted(given - set(inputs))
    missing = sorted(name for name, spec in inputs.items() if not spec.optional and name not in given)
    if unknown or missing:
        raise ValueError(
            f"schedule {schedule.name}: the pipeline {pipeline.name} takes {', '.join(inputs)}; "
            f"unknown: {', '.join(unknown) or 'none'}, missing: {', '.join(missing) or 'none'}"
        )


def _wanted(server: Server, pipeline: BaseComponent, owner: str, schedule: Schedule, *, make: bool) -> Recurring:
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
        parameters=schedule.arguments.parameters(),
        pipeline_id=version.pipeline_id,
        version_id=version.version_id,
        experiment_id=experiment_id,
        service_account=schedule.service_account,
        enabled=schedule.enabled,
        owner=owner,
    )


def _make(server: Server, change: Change) -> None:
    """Carry out one change, of a replacement the new one first."""
    if change.verb is Verb.CREATE:
        recurring.create(server, change.target)
    elif change.verb is Verb.ENABLE:
        recurring.enable(server, change.target)
    elif change.verb is Verb.DISABLE:
        recurring.disable(server, change.target)
    else:
        if change.wanted:
            recurring.create(server, change.wanted)
        recurring.remove(server, change.target)


class Ending:
    """Recurring runs on their way out, each as soon as it has no run in flight."""

    def __init__(
        self,
        server: Server,
        changes: Sequence[Change],
        show: Callable[[Change], object],
        *,
        now: bool,
        tracking_uri: str,
    ) -> None:
        self._server, self._left, self._show = server, list(changes), show
        self._now, self._tracking_uri = now, tracking_uri
        self._stopped: set[str] = set()
        self._reminded_at_s: dict[str, float] = {}
        self._away_since_s: float | None = None

    def carry_out(self) -> None:
        """Switch them off, let their runs end, or end these, and make the changes."""
        try:
            for change in self._left:
                recurring.disable(self._server, change.target)
            off_at_s = time.monotonic()
            while self._left:
                settled = time.monotonic() - off_at_s >= SETTLE_S
                for change in tuple(self._left):
                    if not self._waits(change) and settled:
                        _make(self._server, change)
                        self._left.remove(change)
                        self._show(change)
                if self._left:
                    time.sleep(POLL_S)
        except BaseException:
            if self._left:
                logger.info(f"switched off until the change is made: {', '.join(self._names())}; {RESUMES}")
            raise

    def _names(self) -> list[str]:
        return [change.target.name for change in self._left]

    def _waits(self, change: Change) -> bool:
        """Whether a run of it is in flight, or nobody knows; it is told of, or with ``now`` ended."""
        flights = self._look(change.target)
        if flights is None:
            return True
        for flight in flights:
            if not self._now:
                self._tell(change, flight)
            elif flight.run_id not in self._stopped:
                self._stop(flight)
        return bool(flights) and not self._now

    def _look(self, target: Recurring) -> Sequence[Flight] | None:
        """Its runs in flight; None where Kubeflow does not answer for a while."""
        try:
            flights = self._ask(target)
        except RefusedError as refusal:
            now_s = time.monotonic()
            self._away_since_s = now_s if self._away_since_s is None else self._away_since_s
            if not refusal.may_pass or now_s - self._away_since_s > AWAY_S:
                raise
            self._remind("", f"{refusal}; waiting for it")
            return None
        self._away_since_s = None
        return flights

    def _ask(self, target: Recurring) -> Sequence[Flight]:
        """Ask, a second time with a fresh sign-in where that was refused."""
        try:
            return recurring.in_flight(self._server, target)
        except RefusedError as refusal:
            if not refusal.asks_to_sign_in:
                raise
        self._server.sign_in()
        return recurring.in_flight(self._server, target)

    def _tell(self, change: Change, flight: Flight) -> None:
        self._remind(
            flight.run_id,
            f"to {change.verb} {change.target.name}, its run in flight {flight.run_id} ({flight.state}) is waited "
            f"for; Ctrl-C leaves the schedule switched off, {RESUMES}, --now ends the run",
        )

    def _remind(self, key: str, line: str) -> None:
        now_s = time.monotonic()
        if now_s - self._reminded_at_s.get(key, -REMIND_S) >= REMIND_S:
            self._reminded_at_s[key] = now_s
            logger.info(line)

    def _stop(self, flight: Flight) -> None:
        """End a run; one that Kubeflow cannot end any more goes with its recurring run."""
        self._stopped.add(flight.run_id)
        try:
            logger.info(termination.stop(self._server, flight.run_id, self._tracking_uri, POLL_S))
        except RuntimeError as error:
            if isinstance(error, RefusedError) and not error.may_pass:
                raise
            logger.info(f"{error}; it goes with its schedule")
