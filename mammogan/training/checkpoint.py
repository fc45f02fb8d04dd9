"""Resumable state in the store: written whole, verified by the sha256 in its name, the last two kept."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass

from mammogan import codec, storage
from mammogan.results import TrialFile

logger = logging.getLogger(__name__)

FORMAT = 2
KEEP = 2
NAME = re.compile(r"step_(\d{9})\.([0-9a-f]{64})\.checkpoint")


@dataclass(frozen=True)
class Progress:
    """What a trial has come to, beside the trainer's state."""

    history: str
    """Lines of ``history.jsonl``."""
    epoch_s: float
    """Seconds of the epoch that is under way."""
    epochs_done: int
    train_s: float
    images_seen: int
    files: tuple[TrialFile, ...]
    """What was written beside the checkpoints until then."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a trial needs to continue."""

    progress: Progress
    trainer: bytes
    """``Trainer.state``."""


class Checkpoints:
    """Checkpoints below an address, local or ``s3://``: ``step_000000042.<sha256 of the file>.checkpoint``.

    A line of JSON, then the trainer's state. The digest stands in the name, so that one atomic write makes a checkpoint
    and its proof.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def save(self, step: int, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and then remove all but the newest two; raises OSError and keeps those when it cannot."""
        content = codec.line(checkpoint.progress, FORMAT) + checkpoint.trainer
        name = f"step_{step:09d}.{hashlib.sha256(content).hexdigest()}.checkpoint"
        storage.write_bytes(storage.join(self.uri, name), content)
        self._remove(keep=KEEP, newest=name)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; None where none was written.

        Says which ones it passed over. Raises ValueError when there are checkpoints and none is whole.
        """
        names = self._names()
        for name in reversed(names):
            content = storage.read_bytes(storage.join(self.uri, name))
            if hashlib.sha256(content).hexdigest() == name.split(".")[1]:
                progress, _, trainer = content.partition(b"\n")
                return Checkpoint(codec.loads(Progress, progress, FORMAT, name), trainer)
            logger.info(f"WARNING: checkpoint {name} in {self.uri} is CORRUPT (another sha256); trying the one before")
        if names:
            raise ValueError(f"store={self.uri!r}: every checkpoint is corrupt; remove the folder to start anew")
        return None

    def clear(self) -> None:
        """Remove all checkpoints, once the trial is finished."""
        self._remove(keep=0)

    def _remove(self, keep: int, newest: str = "") -> None:
        """Remove all but ``keep`` checkpoints, ``newest`` one of those kept.

        What stays costs room and nothing else, so a store that refuses is only told of.
        """
        try:
            others = [other for other in self._names() if other != newest]
            for old in others[: max(0, len(others) - max(0, keep - 1))]:
                storage.remove(storage.join(self.uri, old))
        except OSError as error:
            logger.info(f"old checkpoints stay in {self.uri}: {error}")

    def _names(self) -> list[str]:
        return sorted(name for name in storage.list_files(self.uri) if NAME.fullmatch(name))
