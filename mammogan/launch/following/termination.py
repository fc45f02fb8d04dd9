"""Ending a run before its time: in Kubeflow, and in MLflow where its exit step does not get that far."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from mammogan.launch.following import run_pods
from mammogan.launch.following.verdict import close, summary
from mammogan.launch.following.watch import Watch
from mammogan.launch.server import RefusedError
from mammogan.ledger import Fate

if TYPE_CHECKING:
    from mammogan.launch.following.watch import View
    from mammogan.launch.server import Server

logger = logging.getLogger(__name__)

LIMIT_S = 600.0
"""How long the end of a run is waited for: its exit step pulls an image and writes a report."""
GRACE_S = 60.0
"""How long after Kubeflow's end the record may still be written."""
POLL_S = 5.0
STOPPED = "stopped by `mammogan stop`"


def stop(server: Server, run_id: str, tracking_uri: str = "", poll_s: float = POLL_S) -> str:
    """End a run in Kubeflow and in MLflow; return how it ended, one line. One that has ended already is only told of.

    The run's exit step closes its record; where it does not, as where it was deleted or no node takes it, that is done
    here. Raises RuntimeError where Kubeflow has not ended it after ten minutes.
    """
    watch = Watch(server, run_id, tracking_uri)
    view = first_view(watch, poll_s)
    if view.ended and not _is_open(view):
        return f"run {run_id} had ended already: {summary(view)}"
    if view.standing and _is_open(view):
        from mammogan.tracking.standing import ask_to_stop

        ask_to_stop(view.standing.run_id, tracking_uri)
    if not view.ended:
        _terminate(server, view, tracking_uri)
        logger.info(f"run {run_id} was told to end; waiting for its exit step")
    view = wait_for_end(watch, LIMIT_S, poll_s)
    if view.standing and _is_open(view):
        view = close(view, Fate(terminated=True), STOPPED, tracking_uri)
    if not view.ended:
        raise RuntimeError(f"run {run_id} is still {view.run.state} in Kubeflow; {hangs(watch)}")
    if view.unreadable:
        logger.info(f"{view.unreadable}; the run's exit step, or the janitor, ends its record")
    return f"run {run_id} was stopped: {summary(view)}"


def _terminate(server: Server, view: View, tracking_uri: str) -> None:
    """Ask Kubeflow to end it; where that is refused, the record must not say that somebody stopped it."""
    try:
        server.terminate(view.run.run_id)
    except RefusedError:
        if view.standing and _is_open(view):
            from mammogan.tracking.standing import UnreadableError, withdraw_stop

            with contextlib.suppress(UnreadableError):
                withdraw_stop(view.standing.run_id, tracking_uri)
        raise


def hangs(watch: Watch) -> str:
    """What to do with a run that Kubeflow cannot end, as where its exit step has an image that nobody has."""
    namespace = watch.server.pods_namespace()
    command = f"kubectl delete workflows -n {namespace} -l {run_pods.RUN_LABEL}={watch.run_id}"
    return f"its exit step cannot run either; `{command}` removes it"


def wait_for_end(watch: Watch, limit_s: float, poll_s: float = POLL_S) -> View:
    """The run when it has ended in Kubeflow and in its record, or in Kubeflow a minute ago, or after ``limit_s``."""
    until_s, ended_at_s = time.monotonic() + limit_s, None
    while True:
        view = first_view(watch, poll_s)
        now = time.monotonic()
        ended_at_s = now if view.ended and ended_at_s is None else ended_at_s
        if view.ended and (not _is_open(view) or now - (ended_at_s or now) >= GRACE_S):
            return view
        if now > until_s:
            return view
        time.sleep(poll_s)


def first_view(watch: Watch, poll_s: float = POLL_S) -> View:
    """The run as soon as Kubeflow answers."""
    reason = ""
    while not (view := watch.look()):
        if watch.away != reason:
            reason = watch.away
            logger.info(f"{reason}; waiting for it")
        time.sleep(poll_s)
    return view


def _is_open(view: View) -> bool:
    """Whether its record still says that it runs."""
    return bool(view.standing and view.standing.status == "RUNNING")
