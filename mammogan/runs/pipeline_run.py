"""A pipeline run as a person holds it: its verdict, its trials side by side, its pictures, and where to see more."""

from __future__ import annotations

import html
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mammogan.reporting.markdown import plain
from mammogan.reporting.text_table import TextTable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mammogan.launch.server import Server
    from mammogan.records import RunRecord

POLL_S = 5.0
FRESH_S = 3.0
"""Age up to which the record of a run that goes on is not read again: one look asks it many times."""
RUNNING, FINISHED = "RUNNING", "FINISHED"
NOT_STARTED = "PENDING"
"""Status of a run that MLflow does not know yet."""


@dataclass(frozen=True)
class Kubeflow:
    """Where a run was submitted to."""

    host: str
    namespace: str
    pending_minutes: int
    """How long nothing of a run may run before it is ended."""
    settings: str
    """Name of the steps' ConfigMap."""

    def follow(self, server: Server, run_id: str, tracking_uri: str) -> None:
        """Show the run's steps until it has ended well; raises as ``launch.following.follow`` does."""
        from mammogan.launch import following

        following.follow(server, run_id, tracking_uri, pending_minutes=self.pending_minutes, settings=self.settings)


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture that a notebook shows by itself."""

    png: bytes

    def save(self, path: str | Path) -> Path:
        """Write the PNG, whole or not at all; returns its path."""
        from mammogan import storage

        storage.write_bytes(str(path), self.png)
        return Path(path)

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return f"<picture: a PNG of {len(self.png)} bytes>"


class Run:
    """A pipeline run in MLflow, read when it is asked for and again as long as it goes on."""

    def __init__(self, key: str, tracking_uri: str, kubeflow: Kubeflow | None = None, run_id: str = "") -> None:
        self.key = key
        """Kubeflow's id of the run, or the end of a local run's folder."""
        self.tracking_uri = tracking_uri
        """MLflow's address."""
        self._kubeflow, self._run_id = kubeflow, run_id
        self._record: RunRecord | None = None
        self._read_at_s = 0.0

    @classmethod
    def of(cls, run_id: str, tracking_uri: str) -> Run:
        """The run of that id in MLflow."""
        from mammogan import tracking

        tags = tracking.client(tracking_uri).get_run(run_id).data.tags
        return cls(tags.get(tracking.RUN_KEY, run_id), tracking_uri, run_id=run_id)

    @property
    def run_id(self) -> str:
        """Its id in MLflow; empty as long as no step of it has begun."""
        from mammogan import tracking

        if not self._run_id:
            self._run_id = tracking.find_parent(self.key, self.tracking_uri) or ""
        return self._run_id

    @property
    def record(self) -> RunRecord:
        """All that MLflow holds of it. Raises RuntimeError where no step of it has begun."""
        from mammogan import tracking

        if self._record is None or (self._record.status == RUNNING and self._age_s() >= FRESH_S):
            if not self.run_id:
                raise RuntimeError(f"run {self.key}: MLflow does not know it yet; run.wait() waits for its end")
            self._record = tracking.read_run(self.run_id, self.tracking_uri)
            self._read_at_s = time.monotonic()
        return self._record

    @property
    def status(self) -> str:
        """MLflow's RUNNING, FINISHED, FAILED or KILLED; PENDING as long as no step of it has begun."""
        return self.record.status if self.run_id else NOT_STARTED

    @property
    def verdict(self) -> str:
        """What the selection decided, or why there is no decision."""
        if not self.run_id:
            return "no decision yet: no step of the run has begun"
        if self.record.decision:
            return self.record.decision.verdict
        reason = self._reason
        return f"no decision was reached{f': {reason}' if reason else ''}"

    @property
    def winner(self) -> str:
        """Trial and epoch that won, such as ``lambda=3,seed=0, epoch 21``; empty where none did."""
        winner = self.record.decision.winner if self.record.decision else None
        return f"{winner.trial.name}, epoch {winner.epoch}" if winner else ""

    @property
    def model(self) -> str:
        """Address of the model that it registered, such as ``models:/mammogan/3``; empty where it registered none."""
        from mammogan import tracking

        record = self.record
        version = record.tags.get(tracking.MODEL_VERSION, "")
        return f"models:/{record.config.select.model_name}/{version}" if version and record.config else ""

    @property
    def promotion(self) -> str:
        """Why that model became champion, or why not; empty where it was not asked."""
        from mammogan import tracking

        return self.record.tags.get(tracking.PROMOTION, "")

    @property
    def link(self) -> str:
        """Address of its view in MLflow, with the command that has to run meanwhile where one has to."""
        from mammogan.tracking import links

        return links.link(self.run_id, self.tracking_uri) if self.run_id else ""

    def table(self) -> TextTable:
        """Its trials side by side: a column each, the metrics with interval and reference, the winner marked."""
        from mammogan.reporting.trial_table import trial_table

        return trial_table([self.record])

    def frame(self) -> pd.DataFrame:
        """The same as numbers, a row for each trial; columns as ``reporting.runs_table.compare`` has them."""
        from mammogan.reporting import runs_table

        return runs_table.compare([self.record])

    def plot(self) -> Picture:
        """The metrics over the epochs, a line for each lambda, dashed what real images reach among themselves.

        Raises RuntimeError where nothing was measured.
        """
        from mammogan.reporting import figures
        from mammogan.selection.pairing import pairing_of_run

        record = self.record
        return self._picture(figures.metrics_figure(record, pairing_of_run(record)), "measured")

    def samples(self) -> Picture:
        """Samples over the epochs, a row for each lambda, all of one latent. Raises RuntimeError without any."""
        from mammogan.reporting import figures

        record = self.record
        return self._picture(figures.samples_figure(record, record.config.data.size if record.config else 0), "drawn")

    def generate(self, count: int = 16, *, seed: int = 0, truncation: float = 1.0) -> np.ndarray:
        """Images (count, H, W), uint8, of the model that it registered, as ``mammogan.generate`` makes them.

        Raises RuntimeError where it registered none.
        """
        from mammogan.runs.generation import generate

        if not self.model:
            raise RuntimeError(f"run {self.key}: it registered no model: {self.verdict}")
        return generate(self.model, count, seed=seed, truncation=truncation, tracking_uri=self.tracking_uri)

    def report(self, out: str | Path = "report") -> Path:
        """Write its report to the folder ``out``; returns the page."""
        from mammogan.steps import finish

        return finish.rebuild(self.record.run_id, Path(out), self.tracking_uri)

    def wait(self) -> Run:
        """Wait for its end, showing its steps where it was submitted from here; returns the run.

        Raises RuntimeError with the reason where it did not end FINISHED. Interrupting it leaves the run alone.
        """
        if self._kubeflow:
            from mammogan.launch.server import reach

            with reach(self._kubeflow.host, self._kubeflow.namespace) as server:
                self._kubeflow.follow(server, self.key, self.tracking_uri)
            return self
        while self.status in (RUNNING, NOT_STARTED):
            time.sleep(POLL_S)  # longer than FRESH_S
        if self.status != FINISHED:
            raise RuntimeError(f"the run ended {self.status}: {self._reason}")
        return self

    def _age_s(self) -> float:
        """How long ago the record was read."""
        return time.monotonic() - self._read_at_s

    @property
    def _reason(self) -> str:
        from mammogan import tracking

        return self.record.tags.get(tracking.REASON, "")

    def _picture(self, png: bytes | None, done: str) -> Picture:
        if png is None:
            raise RuntimeError(f"run {self.key}: nothing was {done} yet; it is {self.status}")
        return Picture(png)

    def _facts(self) -> list[tuple[str, str]]:
        """What it came to, by name."""
        facts = [("run", self.key), ("status", self.status), ("verdict", self.verdict)]
        if self.run_id:
            facts += [
                ("winner", self.winner),
                ("model", self.model),
                ("champion", self.promotion),
                ("MLflow", self.link),
            ]
        return [(name, value) for name, value in facts if value]

    def __repr__(self) -> str:
        return "\n".join(f"{name:<8} {value}" for name, value in self._facts())

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left;vertical-align:top">{name}</th>'
            f'<td style="text-align:left">{_marked_up(value)}</td></tr>'
            for name, value in self._facts()
        )
        return f"<table>{rows}</table>"

    def _repr_markdown_(self) -> str:
        rows = [f"| {name} | {plain(value)} |" for name, value in self._facts()]
        return "\n".join(["| | |", "|---|---|", *rows])


def _marked_up(value: str) -> str:
    """HTML of a text, an address at its beginning as a link."""
    address, space, rest = value.partition(" ")
    if not address.startswith(("http://", "https://")):
        return html.escape(value)
    return f'<a href="{html.escape(address)}">{html.escape(address)}</a>{html.escape(space + rest)}'
