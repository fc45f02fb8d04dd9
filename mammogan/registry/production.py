"""What is in production, and why: the champion, the move that made it so, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping

from mammogan import tracking
from mammogan.records import Production
from mammogan.registry.promotion import CHAMPION, alias_version, audit_note, moves, now_ms
from mammogan.registry.versions import PARENT_RUN
from mammogan.results import Outcome


def run_of(model: str, version: str, tracking_uri: str = "") -> str:
    """Run id of the pipeline run that registered a version. Raises ValueError for a version of other making."""
    tags = tracking.client(tracking_uri).get_model_version(model, version).tags
    if PARENT_RUN not in tags:
        raise ValueError(f"model {model} version {version}: no run of this experiment's graph registered it")
    return tags[PARENT_RUN]


def in_production(model: str, tracking_uri: str = "") -> Production | None:
    """The model's champion at this moment; None where there is no such model or it has no champion."""
    client = tracking.client(tracking_uri)
    try:
        version = alias_version(client, model, CHAMPION)
    except ValueError:
        return None
    if version is None:
        return None
    tags = client.get_model_version(model, version).tags
    own_moves = [move for move in moves(model, tracking_uri) if move.version == version]
    return Production(
        model=model,
        version=version,
        asked_ms=now_ms(),
        since_ms=own_moves[-1].at_ms if own_moves else None,
        why=own_moves[-1].why if own_moves else "the alias was set by hand: no move is recorded",
        by=own_moves[-1].by if own_moves else "",
        run_id=tags.get(PARENT_RUN, ""),
        for_release=_for_release(tags),
        tags=tags,
    )


def _for_release(tags: Mapping[str, str]) -> bool:
    """Whether the version's images passed an audit that required every check there is; not where the tag is damaged."""
    try:
        note = audit_note(tags)
    except ValueError:
        return False
    return note is not None and note.outcome is Outcome.PASSED and note.for_release
