"""The folder a trial hands on, and its copy in the store."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mammogan import codec, results, storage
from mammogan.config import Config, Trial, digest
from mammogan.results import TrialFile, TrialResult, TrialStatus

logger = logging.getLogger(__name__)

RECORD = "trial.json"
HISTORY = "history.jsonl"
CRITIC = "critic.pt"
SNAPSHOTS, GRIDS = "snapshots/", "grids"
NOT_HANDED_ON = "checkpoints/"
KEY_FORMAT = 3


def snapshot_name(epoch: int) -> str:
    """Of an epoch's generator, below the trial's folder."""
    return f"{SNAPSHOTS}epoch_{epoch:04d}.pt"


def grid_name(epoch: int) -> str:
    """Of the samples that an epoch's generator drew, below the trial's folder and among its run's artifacts."""
    return f"{GRIDS}/epoch_{epoch:04d}.png"


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

    def restore(self) -> None:
        """Copy what an earlier run left in the store to ``out``, all but its checkpoints."""
        for name in storage.list_files(self.uri):
            if not name.startswith(NOT_HANDED_ON) and not Path(name).name.startswith("."):
                content = storage.read_bytes(storage.join(self.uri, name))
                storage.write_bytes(str(storage.inside(self.out, name)), content)

    def finished_result(self, wanted: TrialResult) -> TrialResult | None:
        """Content of ``trial.json`` in the store, which only a finished trial leaves there.

        None also where another version wrote it: this one's training writes it again. Raises ValueError where it is
        not about the data, lambda, seed, weights and key of the trial ``wanted``, or not finished: somebody put it
        there, and what lies beside it is as doubtful.
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
            ("frozen weights", result.frozen.sha256, wanted.frozen.sha256),
        ):
            if there != here:
                raise ValueError(f"{uri}: it is of another trial ({what} {there!r}, not {here!r}); remove {self.uri}")
        return result

    def require(self, files: Sequence[TrialFile]) -> None:
        """Raise ValueError where ``out``, as it was restored, lacks one of the files or has another in its place.

        It was changed after the trial wrote it, so nothing of that trial is to be believed.
        """
        try:
            require_files(self.out, files)
        except ValueError as error:
            raise ValueError(f"{self.uri}: {error}; remove the folder to train this trial anew") from error

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

    def grids(self) -> Iterator[tuple[int, Path]]:
        """Epoch and path of every sample grid in ``out``, oldest first."""
        for path in sorted((self.out / "grids").glob("epoch_*.png")):
            yield int(re.sub(r"\D", "", path.stem)), path
