"""Following a run on Kubeflow to its end: its steps, what it waits for, and how it ended.

The run's record in MLflow decides, where it can be read: Kubeflow's own list of tasks stands still once the workflow
is above one megabyte, and its status knows no reasons.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import time
from typing import TYPE_CHECKING

from mammogan import shell
from mammogan.launch.following import table, termination, verdict
from mammogan.launch.following.links import Links, links
from mammogan.launch.following.termination import GRACE_S
from mammogan.launch.following.waiting import Waiting
from mammogan.launch.following.watch import MISSING, Watch, experiment
from mammogan.launch.server import RefusedError
from mammogan.ledger import Fate

if TYPE_CHECKING:
    from mammogan.launch.following.table import Show
    from mammogan.launch.following.watch import MISSING, View
    from mammogan.launch.server import Server

logger = logging.getLogger(__name__)

POLL_S = 5.0
MINUTE_S = 60.0
AGREE_S = 120.0
"""How long Kubeflow may say that a run goes on whose record has ended."""
RECORD_S = 600.0
"""How long a record is waited for that cannot be read when the run has ended."""
GIVE_UP_S = 120.0
"""How long the end of a run is waited for that could not begin a step."""
STANDS_STILL_S = 60.0
NO_RECORD = (
    "no --tracking-uri: states and reasons come from Kubeflow and the pods; epochs, losses, the names of the trials "
    "and the run's own verdict are missing"
)
STANDS_STILL = (
    "Kubeflow's own page is a minute behind or more, for ever where the workflow is above 1 MB; this table goes on"
)


def follow(
    server: Server,
    run_id: str,
    tracking_uri: str = "",
    *,
    pending_minutes: int = 60,
    settings: str = "mammogan",
    poll_s: float = POLL_S,
) -> None:
    """Show the run's steps until it has ended well.

    ``tracking_uri`` is MLflow as this machine reaches it, ``pending_minutes`` how long nothing of the run may run
    before it is ended, ``settings`` the steps' ConfigMap. Raises RuntimeError with the reason where the run ended
    otherwise, RefusedError where Kubeflow cannot be asked any more; then, and after Ctrl-C, the run goes on.
    """
    places = links(server, run_id, tracking_uri, settings)
    page = _log_links(server, run_id, tracking_uri, places)
    if not tracking_uri:
        logger.info(NO_RECORD)
    try:
        _Following(server, run_id, tracking_uri, pending_minutes, places, page).to_its_end(poll_s)
    except KeyboardInterrupt:
        logger.info(_continuation(server, run_id, tracking_uri, places))
        raise
    except RefusedError as refusal:
        if refusal.status == MISSING:
            raise
        raise RefusedError(
            f"{refusal}; {_continuation(server, run_id, tracking_uri, places)}", refusal.status
        ) from refusal


def show_links(server: Server, run_id: str, tracking_uri: str = "", settings: str = "mammogan") -> None:
    """Say where to look at a run that is not followed."""
    _log_links(server, run_id, tracking_uri, links(server, run_id, tracking_uri, settings))


def show_latest(server: Server, experiment_name: str, tracking_uri: str, settings: str = "mammogan") -> None:
    """Say where the latest run of an experiment is looked at, whichever that is by then."""
    from mammogan.tracking.standing import UnreadableError, find_experiment

    places = links(server, "", tracking_uri, settings)
    with contextlib.suppress(UnreadableError):
        if places.mlflow and tracking_uri:
            page = places.view(find_experiment(experiment_name, tracking_uri))
            logger.info(f"MLflow, the latest run of {experiment_name}: {page}")


def _log_links(server: Server, run_id: str, tracking_uri: str, places: Links) -> str:
    """Say where to look at a run; returns the line about MLflow."""
    logger.info(f"Kubeflow: {places.kubeflow}")
    line = f"MLflow: {_mlflow_page(server, run_id, tracking_uri, places)}" if places.mlflow else ""
    if line:
        logger.info(line)
    return line


def _mlflow_page(server: Server, run_id: str, tracking_uri: str, places: Links) -> str:
    """The run's view, which is there from its start on, where its experiment is; else the list of experiments."""
    from mammogan.tracking.standing import UnreadableError, find_experiment

    with contextlib.suppress(RefusedError, UnreadableError):
        view = Watch(server, run_id, tracking_uri).look()
        if view and view.standing:
            return places.view(view.standing.experiment_id, run_id)
        if view and tracking_uri:
            return places.view(find_experiment(experiment(view.run), tracking_uri), run_id)
    return places.view("")


def _continuation(server: Server, run_id: str, tracking_uri: str, places: Links) -> str:
    given = {
        "--host": "port-forward" if server.forwarded else server.host,
        "--namespace": server.namespace,
        "--tracking-uri": tracking_uri,
        "--follow": run_id,
    }
    options = " ".join(f"{name} {shlex.quote(value)}" for name, value in given.items() if value)
    command = f"{shell.command('mammogan')} submit {options}"
    return f"the run goes on: {places.kubeflow}; `{command}` comes back to it"


class _Following:
    """What is remembered from one look at the run to the next."""

    def __init__(
        self, server: Server, run_id: str, tracking_uri: str, pending_minutes: int, places: Links, line: str
    ) -> None:
        self._watch = Watch(server, run_id, tracking_uri)
        self._tracking_uri, self._places, self._pending_minutes = tracking_uri, places, pending_minutes
        self._over_since_s: float | None = None
        self._printed = {line}

    def to_its_end(self, poll_s: float) -> None:
        """Look until the run is over, then say how it ended, or raise RuntimeError."""
        termination.first_view(self._watch, poll_s)
        self._namespace = self._pods_namespace(poll_s)
        self._waiting = Waiting(self._watch.run_id, self._namespace, self._pending_minutes * MINUTE_S)
        with table.shown() as show:
            while True:
                view = self._watch.look()
                if view and self._is_over(view):
                    self._show(show, view, "")
                    break
                if view:
                    wait = self._waiting.look(view)
                    self._show(show, view, wait.reason)
                    if wait.too_long:
                        self._give_up(wait.reason, poll_s)
                time.sleep(poll_s)
        self._conclude(self._closed(view))

    def _pods_namespace(self, poll_s: float) -> str:
        """Where the run's pods are; a Kubeflow that is away just now is waited for as at any other time."""
        while True:
            try:
                return self._watch.server.pods_namespace()
            except RefusedError as refusal:
                if not refusal.may_pass:
                    raise
                termination.first_view(self._watch, poll_s)  # raises when the patience is over

    def _show(self, show: Show, view: View, waits_for: str) -> None:
        if view.standing:
            self._once(f"MLflow: {self._places.view(view.standing.experiment_id, self._watch.run_id)}")
        if view.stands_still(STANDS_STILL_S):
            self._once(STANDS_STILL)
        rows = [row for row in view.rows() if row.state or not view.ended]
        wait = f"; its record is waited for, for {RECORD_S / 60:.0f} minutes" if view.ended else ""
        unreadable = view.unreadable and f"{view.unreadable}; Kubeflow's states are shown"
        if view.may_be_read_later:
            unreadable += wait
        show(rows, [remark for remark in (view.away, unreadable, waits_for) if remark])

    def _once(self, line: str) -> None:
        if line not in self._printed:
            self._printed.add(line)
            logger.info(line)

    def _is_over(self, view: View) -> bool:
        """Whether Kubeflow and the record agree that it has ended, or one of them has had time to follow the other."""
        standing = view.standing
        closed = standing is not None and standing.status != verdict.RUNNING
        if not view.ended and not (closed and standing and not standing.ledger.running()):
            self._over_since_s = None
            return False
        now = time.monotonic()
        self._over_since_s = now if self._over_since_s is None else self._over_since_s
        if view.ended and (closed or (standing is None and not view.unreadable)):
            return True
        patience_s = RECORD_S if view.may_be_read_later else GRACE_S if view.ended else AGREE_S
        return now - self._over_since_s >= patience_s

    def _closed(self, view: View) -> View:
        """The run with a record that has ended: where its exit step did not end it, that is done here."""
        if view.standing is None or view.standing.status != verdict.RUNNING:
            return view
        return verdict.close(view, verdict.fate(view, self._namespace), "", self._tracking_uri)

    def _give_up(self, why: str, poll_s: float) -> None:
        """End a run that cannot begin a step. Raises RuntimeError with the reason."""
        reason = f"nothing of it could run for {self._pending_minutes} minutes, so it was ended: {why}"
        logger.info(reason)
        self._tell_given_up(reason)
        self._watch.server.terminate(self._watch.run_id)
        view = termination.wait_for_end(self._watch, GIVE_UP_S, poll_s)
        if not view.ended:
            logger.info(f"Kubeflow still says {view.run.state}; {termination.hangs(self._watch)}")
        if not (view.standing and view.standing.status == verdict.FINISHED):
            view = verdict.close(view, Fate(terminated=False), reason, self._tracking_uri)
        raise RuntimeError(f"the run ended FAILED: {reason}; see {self._place(view)}")

    def _tell_given_up(self, reason: str) -> None:
        """Its exit step may come late, and would take it for a run that somebody stopped."""
        from mammogan.tracking.standing import UnreadableError, tell_given_up

        view = self._watch.look()
        if view and view.standing:
            with contextlib.suppress(UnreadableError):
                tell_given_up(view.standing.run_id, reason, self._tracking_uri)

    def _conclude(self, view: View) -> None:
        status = view.standing.status if view.standing else view.run.state
        if not verdict.is_good(view):
            why = verdict.reason(view, self._namespace)
            raise RuntimeError(f"the run ended {status}: {why}; see {self._place(view)}")
        if view.ended and view.run.state != verdict.SUCCEEDED:
            logger.info(f"Kubeflow says {view.run.state}; by the run's record every step that was due did its work")
        if view.standing is None and self._tracking_uri:
            reason = view.unreadable or f"MLflow at {self._tracking_uri} has no run {self._watch.run_id}"
            logger.info(f"{reason}; that it ended well is Kubeflow's word")
        logger.info(f"the run ended {status}; see {self._place(view)}")

    def _place(self, view: View) -> str:
        """Where a person reads on: the run in MLflow, else Kubeflow's page."""
        page = self._places.view(view.standing.experiment_id, self._watch.run_id) if view.standing else ""
        return page or self._places.kubeflow
