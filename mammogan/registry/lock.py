"""A lock that processes of several machines share by MLflow alone: one holds it, others wait, a dead one's is taken.

It is a registered model of a reserved name, because creating one is the call that MLflow's database admits only once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from mammogan.config import MODEL_LOCK
from mammogan.tracking import heartbeat
from mammogan.tracking.server import NOT_THERE

OWNER = "owner"
"""Tag of a lock with its holder's id, which no other one has."""
NOTE = "Held while its process works on what it names; left alone it goes stale"
STALE_S = 120.0
"""How long a holder on another machine gives no sign of life before it is taken for dead."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0

Seen = dict[tuple[str, str], float]
"""Holder and its latest sign of life, to when that was first seen, by this process' own clock: those of two machines
may differ by more than a move takes."""


@contextmanager
def held(client: MlflowClient, subject: str, wait_s: float) -> Generator[bool]:
    """Whether this process holds the lock of ``subject``, for which it waits at most ``wait_s``.

    One left by a dead process is taken over: at once where that process was on this machine, else when it has given no
    sign of life for two minutes. A holder gives one every half a minute.
    """
    name, owner, seen = name_of(subject), uuid.uuid4().hex, Seen()
    until, pause_s = time.monotonic() + wait_s, SHORTEST_PAUSE_S
    while not (mine := _acquire(client, name, owner, seen)) and time.monotonic() < until:
        time.sleep(pause_s)
        pause_s = min(1.2 * pause_s, LONGEST_PAUSE_S)
    if not mine:
        yield False
        return
    try:
        with heartbeat.beating(lambda: _beat(client, name, owner), heartbeat.EVERY_S):
            yield True
    finally:
        _release(client, name, owner)


def is_left(client: MlflowClient, subject: str) -> bool:
    """Whether somebody holds the lock of ``subject``, or died with it."""
    return bool(client.search_registered_models(f"name = '{name_of(subject)}'"))


def name_of(subject: str) -> str:
    """Name of the registered model that is the lock of ``subject``, a model's name or a run's id."""
    return f"{subject}{MODEL_LOCK}"


def _acquire(client: MlflowClient, name: str, owner: str, seen: Seen) -> bool:
    """Whether the lock was free and is ours now; one whose holder is dead is removed for the next try."""
    try:
        client.create_registered_model(name, {OWNER: owner, **heartbeat.sign_on()}, NOTE)
    except MlflowException as error:
        # of a name that is taken MLflow reads the model, which its holder may have removed by then
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", NOT_THERE):
            raise
    else:
        return True
    holder = _holder(client, name)
    if holder is None:
        return False
    if holder.tags.get(OWNER) == owner:  # the answer to our own first try was lost on the way
        return True
    if _is_dead(holder, seen):
        _remove(client, holder, seen)
    return False


def _is_dead(holder: RegisteredModel, seen: Seen) -> bool:
    sign = holder.tags.get(OWNER, ""), holder.tags.get(heartbeat.HEARTBEAT, "")
    silent_s = time.monotonic() - seen.setdefault(sign, time.monotonic())
    return heartbeat.process_is_gone(holder.tags.get(heartbeat.PROCESS, "")) or silent_s > STALE_S


def _remove(client: MlflowClient, holder: RegisteredModel, seen: Seen) -> None:
    """Remove the lock of a dead holder, unless another has removed it and holds it by now.

    MLflow removes by name alone, whoever holds it. So of all who find the same holder dead one alone may: the one with
    the lock that bears that holder's id, who looks again before. That lock is taken from the dead as any other.
    """
    dead, own = holder.tags.get(OWNER, ""), uuid.uuid4().hex
    claim = name_of(dead or "nobody")
    if not _acquire(client, claim, own, seen):
        return
    try:
        _release(client, holder.name, dead)
    finally:
        _release(client, claim, own)


def _release(client: MlflowClient, name: str, owner: str) -> None:
    """Remove a lock that ``owner`` still holds."""
    with suppress(MlflowException):
        holder = _holder(client, name)
        if holder is not None and holder.tags.get(OWNER, "") == owner:
            client.delete_registered_model(name)


def _beat(client: MlflowClient, name: str, owner: str) -> None:
    """Give a sign of life in a lock that ``owner`` still holds."""
    holder = _holder(client, name)
    if holder is not None and holder.tags.get(OWNER) == owner:
        for tag, value in heartbeat.beat().items():
            client.set_registered_model_tag(name, tag, value)


def _holder(client: MlflowClient, name: str) -> RegisteredModel | None:
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != NOT_THERE:
            raise
        return None
