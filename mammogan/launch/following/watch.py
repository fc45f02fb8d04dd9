"""One look after the other at a run, in Kubeflow and in MLflow, of which either may be away for a while."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mammogan.launch.following import rows
from mammogan.launch.server import RefusedError
from mammogan.ledger import State

if TYPE_CHECKING:
    import kfp_server_api

    from mammogan.launch.following.rows import Row
    from mammogan.launch.server import Server
    from mammogan.tracking.standing import Standing

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
TERMINATED = ("CANCELING", "CANCELED")
"""States of a run that somebody ended; it becomes FAILED after them."""
AWAY_S = 30 * 60.0
"""How long a Kubeflow that does not answer is waited for."""
MISSING = 404
EXPERIMENT = "mammogan"
"""The graph's own default."""


@dataclass(frozen=True)
class View:
    """A run at one moment."""

    run: kfp_server_api.V2beta1Run
    """As Kubeflow last showed it."""
    standing: Standing | None
    """As MLflow shows it; None where it has no such run, or cannot be read."""
    away: str = ""
    """Why Kubeflow's part is an older one; empty where it is not."""
    unreadable: str = ""
    """Why MLflow cannot be read; empty where it can, or where nobody said where it is."""
    may_be_read_later: bool = False
    """Whether it is worth waiting for it."""

    @property
    def ended(self) -> bool:
        """Whether the run has ended in Kubeflow."""
        return self.run.state in ENDED

    @property
    def terminated(self) -> bool:
        """Whether somebody ended it in Kubeflow."""
        return any(status.state in TERMINATED for status in self.run.state_history or ())

    def rows(self) -> list[Row]:
        """Its steps, by the record where that can be read."""
        if self.standing:
            return rows.from_record(self.standing, trials(self.run))
        return rows.from_kubeflow(self.run)

    def stands_still(self, older_than_s: float) -> bool:
        """Whether Kubeflow's list of tasks lags behind: a step was done long ago that it does not show as ended.

        A run that has ended in Kubeflow with tasks that still run shows the same.
        """
        details = (self.run.run_details.task_details if self.run.run_details else None) or ()
        if self.ended and any(task.state == "RUNNING" for task in details):
            return True
        if not self.standing:
            return False
        before_ms = (time.time() - older_than_s) * 1000
        entries = [entry for entry in self.standing.ledger.entries.values() if entry.state is State.DONE]
        done = [entry.task.step for entry in entries if entry.ended_ms is not None and entry.ended_ms < before_ms]
        shown = [row.task.step for row in rows.from_kubeflow(self.run) if row.state in (State.DONE, State.FAILED)]
        return any(done.count(step) > shown.count(step) for step in set(done))


class Watch:
    """Looks at one run of a server."""

    def __init__(self, server: Server, run_id: str, tracking_uri: str = "") -> None:
        self.server, self.run_id, self.tracking_uri = server, run_id, tracking_uri
        self.away = ""
        """Why Kubeflow did not answer the last time; empty where it did."""
        self._run: kfp_server_api.V2beta1Run | None = None
        self._away_since_s: float | None = None

    def look(self) -> View | None:
        """The run now; None as long as Kubeflow has not answered at all.

        Raises RefusedError where it refuses, or stays away for half an hour.
        """
        self._look_at_kubeflow()
        if self._run is None:
            return None
        standing, unreadable, may_pass = self._look_at_mlflow()
        return View(self._run, standing, self.away, unreadable, may_pass)

    def _look_at_kubeflow(self) -> None:
        """Ask for the run; where that fails for a while the older answer has to do."""
        try:
            self._run = self._ask()
        except RefusedError as refusal:
            now = time.monotonic()
            self._away_since_s = now if self._away_since_s is None else self._away_since_s
            if not refusal.may_pass or now - self._away_since_s > AWAY_S:
                raise
            self.away = str(refusal)
        else:
            self.away, self._away_since_s = "", None

    def _ask(self) -> kfp_server_api.V2beta1Run:
        """Ask once, a second time with a fresh sign-in where that was refused."""
        try:
            return self.server.once("follow the run", self.server.runs.run_service_get_run, self.run_id)
        except RefusedError as refusal:
            if refusal.status == MISSING:
                raise RefusedError(
                    f"run {self.run_id}: there is none in Kubeflow; it was deleted, or check the id, --host and "
                    f"--namespace ({refusal})",
                    MISSING,
                ) from refusal
            if not refusal.asks_to_sign_in:
                raise
        self.server.sign_in()
        return self.server.once("follow the run", self.server.runs.run_service_get_run, self.run_id)

    def _look_at_mlflow(self) -> tuple[Standing | None, str, bool]:
        """Where the run stands, else why that cannot be read, and whether waiting may help."""
        if not self.tracking_uri:
            return None, "", False
        from mammogan.tracking import standing

        try:
            return standing.find_standing(self.run_id, self.tracking_uri), "", False
        except standing.UnreadableError as error:
            return None, str(error), error.may_pass


def trials(run: kfp_server_api.V2beta1Run) -> Sequence[str]:
    """Names of the run's trials, as it was started."""
    return _parameters(run).get("trials") or ()


def experiment(run: kfp_server_api.V2beta1Run) -> str:
    """Name of MLflow's experiment, as the run was started."""
    return _parameters(run).get("experiment") or EXPERIMENT


def _parameters(run: kfp_server_api.V2beta1Run) -> dict:
    return (run.runtime_config.parameters if run.runtime_config else None) or {}
