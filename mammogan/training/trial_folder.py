"""The folder a trial hands on, and its copy in the store."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mammogan import codec, results, storage
from mammogan.config import Config, TrainConfig, Trial, digest
from mammogan.results import TrialFile, TrialResult, TrialStatus

logger = logging.getLogger(__name__)

RECORD = "trial.json"
HISTORY = "history.jsonl"
CRITIC = "critic.pt"
SNAPSHOTS, GRIDS = "snapshots/", "grids"
KEY_FORMAT = 3
_OF_EPOCH = re.compile("epoch_([0-9]{1,18})")


def snapshot_name(epoch: int) -> str:
    """Of an epoch's generator, below the trial's folder."""
    return f"{SNAPSHOTS}epoch_{epoch:04d}.pt"


def grid_name(epoch: int) -> str:
    """Of the samples that an epoch's generator drew, below the trial's folder and among its run's artifacts."""
    return f"{GRIDS}/epoch_{epoch:04d}.png"


def epoch_of(name: str) -> int | None:
    """Epoch of a snapshot's or a grid's file; None of another one, which somebody put beside them."""
    found = _OF_EPOCH.fullmatch(Path(name).stem)
    return int(found[1]) if found else None


def has_snapshot(epoch: int, train: TrainConfig) -> bool:
    """Whether an epoch leaves a snapshot and a grid."""
    return epoch in (1, train.epochs) or epoch % train.snapshot_every == 0


def trial_key(config: Config, trial: Trial, data_digest: str, frozen_sha256: str, judge_sha256: str = "") -> str:
    """Name of a trial's state in the store: equal for equal results, whatever machine or path they come from.

    ``judge_sha256`` is that of the features by whose KID the trial may stop early.
    """
    model, train = dataclasses.asdict(config.model), dataclasses.asdict(config.train)
    for section, without in ((model, ("frozen_weights", "frozen_sha256")), (train, ("device", "checkpoint_every"))):
        for name in without:
            del section[name]
    frozen = {"frozen": frozen_sha256, "size": config.data.size, "format": KEY_FORMAT}
    judge = [judge_sha256] if judge_sha256 else []
    return digest([data_digest, model, train, trial.gp_lambda, trial.seed, frozen, *judge])


@dataclass(frozen=True)
class EpochMetrics:
    """A line of ``history.jsonl``."""

    epoch: int
    metrics: Mapping[str, float]
    """By their names in MLflow."""


def parse_history(lines: str) -> list[EpochMetrics]:
    """Rows of the lines of ``history.jsonl``. Raises ValueError that names the line of a broken one."""
    places = ((f"{HISTORY}:{number}", line) for number, line in enumerate(lines.splitlines(), start=1))
    return [codec.decode(EpochMetrics, codec.parsed(line, place), place) for place, line in places]


@dataclass(frozen=True)
class Published:
    """A file that lies in the store now."""

    path: Path
    """In ``out``."""
    file: TrialFile


def require_files(folder: Path, files: Sequence[TrialFile]) -> None:
    """Raise ValueError where a trial's folder lacks one of the files that its record names, or has another content."""
    for file in files:
        path = storage.inside(folder, file.name)
        if not path.is_file():
            raise ValueError(f"{file.name} is missing")
        require_content(file, storage.sha256_of(path))


def require_content(file: TrialFile, sha256: str) -> None:
    """Raise ValueError where the content of a file is not what the training wrote."""
    if sha256 != file.sha256:
        raise ValueError(f"{file.name} has the sha256 {sha256}, but its training wrote {file.sha256}")


class TrialFolder:
    """``out``, where a trial's files are made, mirrored to ``uri`` in the store, where the next run finds them."""

    def __init__(self, out: Path, uri: str) -> None:
        self.out, self.uri = out, uri

    def publish(self, name: str) -> Published:
        """Copy a file of ``out`` to the store."""
        path = self.out / name
        content = path.read_bytes()
        storage.write_bytes(storage.join(self.uri, name), content)
        return Published(path, TrialFile(name, hashlib.sha256(content).hexdigest()))

    def restore(self, files: Sequence[TrialFile]) -> None:
        """Copy those files that an earlier run left in the store to ``out``.

        Whatever else lies there is not handed on: nobody knows whose it is. Raises ValueError where one of them is
        missing or has another content: it was changed after the trial wrote it, so nothing of it is to be believed.
        """
        names = {file.name for file in files}
        for name in storage.list_files(self.uri):
            if name in names:
                content = storage.read_bytes(storage.join(self.uri, name))
                storage.write_bytes(str(storage.inside(self.out, name)), content)
        try:
            require_files(self.out, files)
        except ValueError as error:
            raise ValueError(f"{self.uri}: {error}; remove the folder to train this trial anew") from error

    def copy_out(self, finished: TrialResult) -> None:
        """Copy a finished trial, its record and the files that this names, to ``out``. Raises as ``restore`` does."""
        self.restore(finished.files)
        results.write(finished, self.out / RECORD)

    def finished_result(self, wanted: TrialResult, train: TrainConfig) -> TrialResult | None:
        """Content of ``trial.json`` in the store, which only a finished trial leaves there.

        None also where another version wrote it: this one's training writes it again. Raises ValueError where it is
        not about the data, lambda, seed, weights and key of the trial ``wanted``, not finished, or not of the epochs
        and files that the settings ``train`` make: somebody changed it, and what lies beside it is as doubtful.
        """
        uri = storage.join(self.uri, RECORD)
        if not storage.exists(uri):
            return None
        try:
            result = results.read(TrialResult, uri)
        except codec.OlderFormatError as error:
            logger.info(str(error))
            return None
        if result.status is not TrialStatus.FINISHED:
            raise ValueError(f"{uri}: it is of a trial that is {result.status}, not finished; remove {self.uri}")
        for what, there, here in (
            ("data_digest", result.data_digest, wanted.data_digest),
            ("gp_lambda", result.gp_lambda, wanted.gp_lambda),
            ("seed", result.seed, wanted.seed),
            ("key", result.key, wanted.key),
            ("epochs", result.epochs, train.epochs),
            ("frozen weights", result.frozen.sha256, wanted.frozen.sha256),
        ):
            if there != here:
                raise ValueError(f"{uri}: it is of another trial ({what} {there!r}, not {here!r}); remove {self.uri}")
        if wrong := _unlike_its_settings(result, train):
            raise ValueError(f"{uri}: {wrong}; remove {self.uri} to train this trial anew")
        return result

    def write_result(self, result: TrialResult) -> None:
        """Write ``trial.json`` to ``out``, and to the store when the trial is finished.

        Raises OSError of one line that also tells the result's reason, where ``out`` has no room for it.
        """
        try:
            results.write(result, self.out / RECORD)
        except OSError as error:
            raise OSError(
                f"{self.out / RECORD} cannot be written ({error.strerror}); make room and run again: what was trained "
                f"is in the store ({result.status}{', ' if result.reason else ''}{result.reason})"
            ) from error
        if result.status is TrialStatus.FINISHED:
            self.publish(RECORD)

    def write_history(self, lines: str) -> None:
        """Write ``history.jsonl``, a JSON line an epoch, to ``out``."""
        storage.write_bytes(str(self.out / HISTORY), lines.encode())

    def append_history(self, row: EpochMetrics) -> None:
        """Add a line to ``history.jsonl`` in ``out``, whole or not at all; the rows before it are not written again."""
        line = (json.dumps(codec.encode(row)) + "\n").encode()
        with (self.out / HISTORY).open("ab", buffering=0) as file:
            before = file.tell()
            if file.write(line) != len(line):
                file.truncate(before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.out / HISTORY))

    def history_lines(self) -> str:
        """Content of ``history.jsonl`` in ``out``."""
        return (self.out / HISTORY).read_text(errors="replace")  # a byte that is no text is no JSON either

    def read_history(self) -> list[EpochMetrics]:
        """Rows of ``history.jsonl`` in ``out``."""
        return parse_history(self.history_lines())

    def grids(self, files: Sequence[TrialFile]) -> list[tuple[int, Path]]:
        """Epoch and path in ``out`` of every sample grid among a trial's files, oldest first."""
        epochs = {file.name: epoch_of(file.name) for file in files if file.name.startswith(f"{GRIDS}/")}
        return sorted((epoch, self.out / name) for name, epoch in epochs.items() if epoch is not None)


def _unlike_its_settings(result: TrialResult, train: TrainConfig) -> str:
    """What a finished record lacks or has too much of; empty where it is what a training of these settings writes."""
    done = result.epochs_done
    stopped_early = train.patience > 0 and 0 < done < train.epochs and has_snapshot(done, train)
    if done != train.epochs and not stopped_early:
        return f"epochs_done={done}, of {train.epochs} epochs, is no end of this training"
    epochs = [epoch for epoch in range(1, done + 1) if has_snapshot(epoch, train)]
    promised = {CRITIC, HISTORY, *map(snapshot_name, epochs), *map(grid_name, epochs)}
    there = {file.name for file in result.files}
    if missing := sorted(promised - there):
        return f"its files lack {missing[0]}, which this training leaves"
    if foreign := sorted(there - promised):
        return f"its files have {foreign[0]!r}, which this training does not leave"
    return ""
