"""A durable queue between work that must not wait and a server that may not answer.

Records, a line of text each, are appended to a file at once and handed to ``send`` by a background thread, in order and
at least once; ``send`` must therefore be idempotent. What a process could not send stays in the file, and the next
process that opens the same file sends it first: each time some of it, so that one which dies again and again gets on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from mammogan import storage
from mammogan.errors import first_line

logger = logging.getLogger(__name__)

SEND_EVERY_S = 2.0
LONGEST_PAUSE_S = 30.0
MOST_DOUBLINGS = 5  # a server may stay away for days, which no power of two does
RECORDS_AT_ONCE = 200
LONGEST_REASON = 200


class Spool:
    """Queue at ``path``, drained by ``send``; ``name`` is what messages call the receiver.

    ``send`` gets up to 200 records, oldest first, takes as many from the front as belong together and returns how
    many that were; the others are handed over next. Any exception from it means "later": the same records are handed
    over again after a pause that doubles up to half a minute.
    """

    def __init__(self, path: Path, send: Callable[[Sequence[str]], int], name: str) -> None:
        self._path, self._send, self._name = path, send, name
        self._mark = path.with_suffix(".sent")
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(path)
        self._file = path.open("ab")
        self._sent = int(self._mark.read_text()) if self._mark.is_file() else 0
        self._written = path.stat().st_size
        self._lock = threading.Lock()
        self._closing, self._given_up = threading.Event(), threading.Event()
        self.trouble: Exception | None = None
        """Why the oldest record could not be sent at the last attempt; None where it could."""
        self._thread = threading.Thread(target=self._drain, name=f"spool {path.name}", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Size of what has not been sent yet; 0 when all is delivered."""
        return self._written - self._sent

    def append(self, record: str) -> None:
        """Keep one record, a text without line breaks, for sending; returns as soon as it is in the file."""
        line = f"{record}\n".encode()
        with self._lock:
            self._file.write(line)
            self._file.flush()
            self._written += len(line)

    def close(self, patience_s: float) -> bool:
        """Send what is left, for at most ``patience_s`` seconds; returns whether all was sent.

        The files are removed when all was sent, and kept for the next process otherwise: nothing more is sent then, and
        whoever opens them has them alone.
        """
        self._closing.set()
        self._thread.join(patience_s)
        self._given_up.set()
        self._file.close()
        if self.waiting_bytes:
            logger.info(
                f"{self._name} does not answer; {self.waiting_bytes} bytes wait in {self._path} for the next start"
            )
            return False
        self._path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
        return True

    def _drain(self) -> None:
        failures = 0
        while not self._given_up.is_set() and (self.waiting_bytes or not self._closing.is_set()):
            try:
                if self.waiting_bytes:
                    self._send_next()
                failures, self.trouble = 0, None
            except Exception as error:
                if not failures:
                    reason = first_line(error)[:LONGEST_REASON]
                    told = f"{self._name} does not answer ({reason}); records are kept and sent later"
                    logger.info(told, exc_info=error)
                failures, self.trouble = failures + 1, error
            self._pause(failures)

    def _pause(self, failures: int) -> None:
        if failures:
            self._given_up.wait(min(2.0 ** min(failures - 1, MOST_DOUBLINGS), LONGEST_PAUSE_S))
        elif not self.waiting_bytes:
            self._closing.wait(SEND_EVERY_S)

    def _send_next(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._sent)
            lines = [line for _, line in zip(range(RECORDS_AT_ONCE), file, strict=False) if line.endswith(b"\n")]
        taken = self._send([line.decode().rstrip("\n") for line in lines])
        if self._given_up.is_set():
            return
        self._sent += sum(map(len, lines[:taken]))
        storage.write_bytes(str(self._mark), str(self._sent).encode())


def _drop_torn_line(path: Path) -> None:
    """Cut a last line that a killed process left without its end."""
    content = path.read_bytes() if path.is_file() else b""
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
