"""Moving the aliases ``champion``, ``previous`` and ``challenger``: one move at a time, whole or not at all, recorded.

MLflow sets one alias per call and has no transactions. A move therefore takes a lock, writes what it is going to do
as a tag of the registered model, does it, and turns the tag into a record. Whoever comes after a process that died
in between finishes its move first.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from mammogan import results, tracking
from mammogan.codec import OlderFormatError
from mammogan.registry import contents, lock, model_page
from mammogan.registry.contents import AlteredError
from mammogan.results import AuditNote, Candidate, Contest, Move, Outcome, ResultNote, Verdict
from mammogan.selection import gates
from mammogan.tracking import environment
from mammogan.tracking.server import NOT_THERE

logger = logging.getLogger(__name__)

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
AUDIT_OUTCOME = "mammogan.audit_outcome"
"""Tag of a version that holds what the audit of its images came to, as JSON."""
RESULT_OUTCOME = "mammogan.result_outcome"
"""Tag of a version that holds what came of measuring it anew on test images, as JSON."""
METADATA = "candidate_document"
"""Key of a model's metadata under which its candidate stands, as JSON."""
BETTER = "better than the champion"
BEST = "mammogan.best_champion"
"""Tag of the registered model with the best champion so far: found better by test, and to be beaten by each new one."""
PENDING = "mammogan.pending_move"
RECORD = "mammogan.move."
LOCK_WAIT_S = 150.0


def alias_version(client: MlflowClient, model: str, alias: str) -> str | None:
    """Version that an alias points to, or None. Raises ValueError where there is no such model."""
    try:
        version = client.get_registered_model(model).aliases.get(alias)
    except MlflowException as error:
        if error.error_code != NOT_THERE:
            raise
        raise ValueError(f"model={model!r}: no registered model of that name") from error
    return str(version) if version is not None else None


def candidate_of(name: str, version: str, tracking_uri: str = "") -> Candidate | None:
    """The selection's candidate that the version was registered with.

    None for a model of other making, and for one that another version of this software registered. Raises ValueError
    where the version is not there, and where its files are not those that were registered.
    """
    with tempfile.TemporaryDirectory() as folder:
        model_files = contents.fetch(name, version, Path(folder, "model"), tracking_uri)
        document = (Model.load(str(model_files.folder)).metadata or {}).get(METADATA) if model_files.whole else None
    if document is None:
        return None
    try:
        return results.parse(Candidate, document, f"model {name} version {version}")
    except OlderFormatError as error:
        logger.info(str(error))
        return None


def incumbents(model: str, version: str, tracking_uri: str = "") -> list[str]:
    """Versions that ``version`` must be better than: the champion and, where that is another, the best one so far.

    The best so far stays what it is when somebody promotes by force, so that a chain of champions, each a little worse
    than the last, cannot come about; also where that champion's alias or version was removed since. Where those of the
    best were, it was withdrawn. Raises ValueError where there is no such model.
    """
    client = tracking.client(tracking_uri)
    champions = (alias_version(client, model, CHAMPION), _best(client, model))
    if champions[0] is None and (made := _recorded(client, model)) and made[-1].version == champions[1]:
        return []
    return [incumbent for incumbent in dict.fromkeys(champions) if incumbent is not None and incumbent != version]


def _best(client: MlflowClient, model: str) -> str | None:
    """The best champion so far; the present one where none is recorded, or it was deleted."""
    recorded = client.get_registered_model(model).tags.get(BEST)
    if recorded is not None:
        try:
            return str(client.get_model_version(model, recorded).version)
        except MlflowException as error:
            if error.error_code != NOT_THERE:
                raise
    return alias_version(client, model, CHAMPION)


def _judge(
    client: MlflowClient,
    model: str,
    version: str,
    candidate: Candidate | None,
    others: Sequence[str],
    contests: Sequence[Contest],
) -> list[Verdict]:
    """What ``version`` must pass to follow the champion: audited images, a figure on test images, and to be better."""
    note = _audit_note(client, model, version)
    audited = gates.audited(note.outcome if note else None, note.summary if note else "")
    released = [other for incumbent in others if (other := _audit_note(client, model, incumbent)) and other.for_release]
    if released and not audited.refuses:
        audited = gates.as_released(audited, for_release=note is not None and note.for_release)
    result = _result_note(client, model, version)
    measured = gates.measured_anew(result.outcome if result else None, result.summary if result else "")
    return [audited, measured, *_better(version, candidate, others, contests)]


def _better(
    version: str, candidate: Candidate | None, others: Sequence[str], contests: Sequence[Contest]
) -> list[Verdict]:
    """A verdict for each of the other champions; one where there is none."""
    if candidate is None:
        return [gates.verdict(BETTER, False, "this version carries no metrics that can be read")]
    own = gates.measured(candidate)
    if own.refuses or not others:
        return [gates.verdict(BETTER, not own.refuses, own.why if own.refuses else "there was no champion before")]
    held = {contest.incumbent: contest for contest in contests if contest.version == version}
    return [gates.better_than(held[incumbent]) if incumbent in held else _unmet(incumbent) for incumbent in others]


def _unmet(incumbent: str) -> Verdict:
    why = f"it was not measured on the same images as champion version {incumbent}; give a data set"
    return Verdict(f"better than version {incumbent}", Outcome.NOT_CHECKED, why)


def _audit_note(client: MlflowClient, model: str, version: str) -> AuditNote | None:
    return audit_note(client.get_model_version(model, version).tags)


def audit_note(tags: Mapping[str, str]) -> AuditNote | None:
    """What the tags of a version say of its audit; None where it had none. Raises ValueError where they are damaged."""
    tag = tags.get(AUDIT_OUTCOME)
    return results.parse(AuditNote, tag, f"tag {AUDIT_OUTCOME}") if tag else None


def _result_note(client: MlflowClient, model: str, version: str) -> ResultNote | None:
    tag = client.get_model_version(model, version).tags.get(RESULT_OUTCOME)
    return results.parse(ResultNote, tag, f"tag {RESULT_OUTCOME}") if tag else None


def promote(
    model: str,
    version: str,
    why: str,
    *,
    force: bool = False,
    contests: Sequence[Contest] = (),
    tracking_uri: str = "",
) -> Move:
    """Make ``version`` the champion and the present one ``previous``, if the gates let it pass or by ``force``.

    The gates: the audit of its images passed, it was measured anew on test images (``notes.write_result``), and it is
    better than each of ``incumbents``, by ``contests`` as ``reevaluation.contests`` measures them. What was not checked
    has not passed. A version that passed is the best champion so far; one that is promoted by force is not.

    A refusal is a ``Move`` too, with ``moved`` False. When another promotion gets in between, this one is refused:
    its gates were asked about a champion that is gone. For a version that is the champion already it is the move that
    made it so. Raises ValueError for an unknown model or version, for one whose files are not those that were
    registered, whatever ``force`` says, and for a champion of such files without it.
    """
    client = tracking.client(tracking_uri)
    before = alias_version(client, model, CHAMPION)
    candidate = candidate_of(model, version, tracking_uri)
    if before == version:
        return _finished(client, model, version)
    others = incumbents(model, version, tracking_uri)
    for incumbent in others:
        _require_unaltered(model, incumbent, force=force, tracking_uri=tracking_uri)
    verdicts = _judge(client, model, version, candidate, others, contests)
    failed = gates.not_passed(verdicts)
    if failed and not force:
        return Move(False, f"refused: {failed}", version, before)
    reason = f"{why}; {'by force, ' if failed else ''}{'; '.join(verdict.why for verdict in verdicts)}"
    best = _best(client, model) if failed and others else version
    return _move(client, model, Move(True, reason, version, before, "promote", _user(), now_ms(), best))


def _require_unaltered(model: str, version: str, *, force: bool, tracking_uri: str) -> None:
    """Raise ValueError for a champion whose files somebody has altered; by force it is replaced all the same."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            contents.fetch(model, version, Path(folder, "model"), tracking_uri)
    except AlteredError as error:
        if not force:
            raise AlteredError(f"champion {error}; --force replaces it") from error
        logger.warning(f"champion {error}", exc_info=error)
    except (ValueError, FileNotFoundError) as error:
        logger.info(f"champion {error}", exc_info=error)  # it cannot be measured, which the gate says


def rollback(model: str, why: str, tracking_uri: str = "") -> Move:
    """Make ``previous`` the champion again, and the champion ``previous``.

    Where the champion was the best so far, ``previous`` is so from now on: what was withdrawn is not to be beaten.
    Raises ValueError where there is none, and where its files are not those that were registered.
    """
    client = tracking.client(tracking_uri)
    before, version = (alias_version(client, model, alias) for alias in (CHAMPION, PREVIOUS))
    if version is None:
        raise ValueError(f"model={model!r}: it has no @previous to go back to; promote a version first")
    with tempfile.TemporaryDirectory() as folder:
        contents.fetch(model, version, Path(folder, "model"), tracking_uri)
    best = _best(client, model)
    best = version if best == before else best
    return _move(client, model, Move(True, why, version, before, "rollback", _user(), now_ms(), best))


def moves(model: str, tracking_uri: str = "") -> list[Move]:
    """Every move that was made, oldest first. Raises ValueError where there is no such model."""
    client = tracking.client(tracking_uri)
    alias_version(client, model, CHAMPION)
    return _recorded(client, model)


def _recorded(client: MlflowClient, model: str) -> list[Move]:
    tags = client.get_registered_model(model).tags
    return [_read_move(tags[name], name) for name in sorted(tags) if name.startswith(RECORD)]


def _read_move(text: str, tag: str) -> Move:
    return results.parse(Move, text, f"tag {tag}")


def _finished(client: MlflowClient, model: str, version: str) -> Move:
    """The move that made ``version`` champion, brought to its end, its lock removed, where its process died."""
    if lock.is_left(client, model) or PENDING in client.get_registered_model(model).tags:
        with lock.held(client, model, LOCK_WAIT_S) as mine:
            if mine:
                _settle(client, model)
    own_moves = [move for move in _recorded(client, model) if move.version == version]
    return own_moves[-1] if own_moves else Move(True, "it already is the champion", version, version)


def _move(client: MlflowClient, model: str, move: Move) -> Move:
    with lock.held(client, model, LOCK_WAIT_S) as mine:
        if not mine:
            return Move(False, "refused: another promotion is under way; try again", move.version, move.before)
        _settle(client, model)
        now = alias_version(client, model, CHAMPION)
        if now == move.version:  # an earlier attempt at the same, which died half-way
            return _recorded(client, model)[-1]
        if now != move.before:
            text = f"refused: the champion became version {now} in the meantime; judge again"
            return Move(False, text, move.version, now)
        client.set_registered_model_tag(model, PENDING, results.line(move))
        _settle(client, model)
        model_page.write(client, model, alias_version(client, model, CHAMPION), _recorded(client, model))
    return move


def _settle(client: MlflowClient, model: str) -> None:
    """Finish the move that was begun, if there is one; doing a part of it twice changes nothing."""
    registered = client.get_registered_model(model)
    if PENDING not in registered.tags:
        return
    move = _read_move(registered.tags[PENDING], PENDING)
    if move.before is not None:
        client.set_registered_model_alias(model, PREVIOUS, move.before)
    client.set_registered_model_alias(model, CHAMPION, move.version)
    if str(registered.aliases.get(CHALLENGER)) == move.version:
        client.delete_registered_model_alias(model, CHALLENGER)
    if move.best is not None:
        client.set_registered_model_tag(model, BEST, move.best)
    client.set_registered_model_tag(model, f"{RECORD}{move.at_ms:015d}", registered.tags[PENDING])
    client.delete_registered_model_tag(model, PENDING)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _user() -> str:
    return environment.user() or "unknown"
