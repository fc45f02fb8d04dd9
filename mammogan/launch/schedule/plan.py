"""What has to change for the recurring runs on Kubeflow to be those of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mammogan.launch.schedule.recurring import Recurring


class Verb(StrEnum):
    """What is done to a recurring run."""

    CREATE = "create"
    ENABLE = "enable"
    DISABLE = "disable"
    REPLACE = "replace"
    REMOVE = "remove"


_SIGNS = {Verb.CREATE: "+", Verb.REMOVE: "-"}


@dataclass(frozen=True)
class Change:
    """One step from what is to what is wanted."""

    verb: Verb
    target: Recurring
    """The one on the server; what is wanted where it is created."""
    why: str = ""
    wanted: Recurring | None = None
    """What comes in its place where it is replaced."""

    def __str__(self) -> str:
        """One line of the diff."""
        cron = (self.wanted or self.target).cron
        return (
            f"{_SIGNS.get(self.verb, '~')} {self.verb} {self.target.name} ({cron}){': ' if self.why else ''}{self.why}"
        )

    @property
    def ends(self) -> bool:
        """Whether the target goes, with which Kubeflow would kill its run in flight."""
        return self.verb in (Verb.REPLACE, Verb.REMOVE)


def plan(owner: str, wanted: Sequence[Recurring], present: Sequence[Recurring]) -> list[Change]:
    """Changes that turn what ``owner`` has of ``present`` into ``wanted``.

    What was made before owners were recorded is adopted by the first file that names it; the rest of it is nobody's
    and stays. What is interrupted after a replacement was made, and before the old one was removed, leaves one too
    many, which the next pass removes, and never none.
    """
    changes = [change for want in wanted for change in _for_one(want, _named(owner, want, present))]
    names = {want.name for want in wanted}
    gone = [have for have in present if have.owner == owner and have.name not in names]
    return changes + [Change(Verb.REMOVE, have, "not in the file") for have in gone]


def unadopted(present: Sequence[Recurring], changes: Sequence[Change]) -> list[str]:
    """Names of what was made before owners were recorded and stays as it is."""
    touched = {change.target.id for change in changes}
    return [have.name for have in present if not have.owner and have.id not in touched]


def _named(owner: str, want: Recurring, present: Sequence[Recurring]) -> list[Recurring]:
    """The owner's of that name, then those to be adopted.

    Beside the owner's own only a disabled one is left over from an adoption that was cut short; an enabled one was
    made by somebody since.
    """
    named = [have for have in present if have.name == want.name]
    own = [have for have in named if have.owner == owner]
    return own + [have for have in named if not have.owner and not (own and have.enabled)]


def _for_one(want: Recurring, named: Sequence[Recurring]) -> Iterator[Change]:
    same = next((have for have in named if not have.differences(want)), None)
    if not named:
        yield Change(Verb.CREATE, want)
        return
    if same is None:
        yield Change(Verb.REPLACE, named[0], _why(named[0], want), want)
    elif same.enabled != want.enabled:
        if want.enabled:
            yield Change(Verb.ENABLE, same, "the last run that it missed meanwhile starts at once")
        else:
            yield Change(Verb.DISABLE, same)
    kept = named[0] if same is None else same
    for have in named:
        if have is not kept:
            yield Change(Verb.REMOVE, have, "one too many" if have.owner else "left over from its adoption")


def _why(have: Recurring, want: Recurring) -> str:
    if have.owner:
        return "; ".join(have.differences(want))
    rest = replace(have, owner=want.owner).differences(want)
    return "; ".join([f"made before owners were recorded, adopted by {want.owner}", *rest])
