"""What select hands on: decision, snapshot and critic in one folder.

Kubeflow copies every artifact that a step reads six times into its workflow, of which it shows 1 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Chosen:
    """The folder's files; snapshot and critic are there where a snapshot wins."""

    folder: Path

    @property
    def decision(self) -> Path:
        """What was decided, and why."""
        return self.folder / "decision.json"

    @property
    def winner(self) -> Path:
        """Snapshot of the winner."""
        return self.folder / "winner"

    @property
    def critic(self) -> Path:
        """Critic at the end of the winner's trial."""
        return self.folder / "critic"
