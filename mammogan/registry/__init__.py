"""The generator in MLflow's model registry: registered once, promoted by a gate, found by alias, exported."""

from mammogan.registry.contents import require_critic, require_snapshot, version_of
from mammogan.registry.model import generate, generator_of, snapshot_of
from mammogan.registry.production import in_production, run_of
from mammogan.registry.promotion import moves, promote, rollback
from mammogan.registry.reevaluation import contests, contests_of_run
from mammogan.registry.retraining import check_changes
from mammogan.registry.versions import register

__all__ = [
    "check_changes",
    "contests",
    "contests_of_run",
    "generate",
    "generator_of",
    "in_production",
    "moves",
    "promote",
    "register",
    "require_critic",
    "require_snapshot",
    "rollback",
    "run_of",
    "snapshot_of",
    "version_of",
]
