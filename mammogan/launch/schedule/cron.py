"""When a recurring run fires, read as Kubeflow reads it: the ScheduledWorkflow controller's robfig/cron 1.2.

Five or six fields, seconds first, or a descriptor such as ``@weekly`` and ``@every 1h30m``; no L, W, #, 7 for Sunday
or time zone. Kubeflow counts in its own time zone, which is UTC unless its installation says otherwise.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Protocol

FIX = "give six fields, seconds first, such as '0 0 3 * * 1' for Mondays at three, or @weekly, or @every 12h"
YEARS = 5
"""How many calendar years ahead a time is looked for."""
_SECOND = timedelta(seconds=1)
_SPACE = re.compile("[\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LARGEST = 2**63 - 1
"""Of the parser's integers, and of its durations in nanoseconds."""
_DURATION = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_UNITS_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


class CronError(ValueError):
    """Kubeflow does not take the expression, or it never comes; says why, and the fix."""


class Cron(Protocol):
    """An expression that was understood."""

    def following(self, moment: datetime) -> datetime | None:
        """The first time after ``moment``; None where there is none in this calendar year and the next five."""


@dataclass(frozen=True)
class Every:
    """A time that comes again and again after a delay, counted from when the recurring run was made."""

    delay: timedelta

    def following(self, moment: datetime) -> datetime:
        """The time a delay later, on the second."""
        return moment.replace(microsecond=0) + self.delay


@dataclass(frozen=True)
class Field:
    """What one field allows."""

    values: frozenset[int]
    starred: bool
    """Whether ``*`` or ``?`` stands in it: a day then has to fit both of the fields for days, else one is enough."""


@dataclass(frozen=True)
class Fields:
    """Times whose seconds, minutes, hours, days and months are among those of the fields."""

    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field
    """0 is Sunday."""

    def following(self, moment: datetime) -> datetime | None:
        """The first time after ``moment``; None where there is none in this calendar year and the next five."""
        first = moment.replace(microsecond=0) + _SECOND
        clock = (first.hour, first.minute, first.second)
        for year in range(first.year, first.year + YEARS + 1):
            for month in sorted(self.month.values):
                for day in range(1, calendar.monthrange(year, month)[1] + 1):
                    here = date(year, month, day)
                    if here < first.date() or not self._fits(here):
                        continue
                    if time := self._time(clock if here == first.date() else (0, 0, 0)):
                        return datetime(year, month, day, *time, tzinfo=moment.tzinfo)
        return None

    def _fits(self, day: date) -> bool:
        fits = day.day in self.day.values, day.isoweekday() % 7 in self.weekday.values
        return all(fits) if self.day.starred or self.weekday.starred else any(fits)

    def _time(self, least: tuple[int, int, int]) -> tuple[int, int, int] | None:
        """The first time of a day from ``least`` on."""
        times = (
            (hour, minute, second)
            for hour in sorted(self.hour.values)
            if hour >= least[0]
            for minute in sorted(self.minute.values)
            if (hour, minute) >= least[:2]
            for second in sorted(self.second.values)
        )
        return next((time for time in times if time >= least), None)


@dataclass(frozen=True)
class _Bounds:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    """Names of the values from ``least`` on."""


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_BOUNDS = (
    _Bounds("second", 0, 59),
    _Bounds("minute", 0, 59),
    _Bounds("hour", 0, 23),
    _Bounds("day of the month", 1, 31),
    _Bounds("month", 1, 12, _MONTHS),
    _Bounds("day of the week", 0, 6, _DAYS),
)
_DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_EVERY = "@every "


def parse(text: str) -> Cron:
    """An expression as Kubeflow takes it. Raises CronError for one that it refuses."""
    if text.startswith(_EVERY):
        return Every(_delay(text))
    if text.startswith("@") and text not in _DESCRIPTORS:
        raise CronError(f"cron={text!r}: Kubeflow knows {', '.join(_DESCRIPTORS)} and @every, no other word; {FIX}")
    fields = _split(_DESCRIPTORS.get(text, text))
    if len(fields) not in (len(_BOUNDS) - 1, len(_BOUNDS)):
        raise CronError(f"cron={text!r}: it has {len(fields)} fields; {FIX}")
    fields += ["*"] * (len(_BOUNDS) - len(fields))
    try:
        return Fields(*(_field(field, bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)))
    except CronError as error:
        raise CronError(f"cron={text!r}: {error}; {FIX}") from error


def require(text: str) -> Cron:
    """An expression that Kubeflow takes and that comes to pass. Raises CronError.

    Kubeflow takes those that never come too, and its controller then looks for their next time without end.
    """
    cron = parse(text)
    if cron.following(datetime.now(UTC)) is None:
        raise CronError(f"cron={text!r}: no such time comes within {YEARS} years; {FIX}")
    return cron


def upcoming(cron: Cron, now: datetime, since: datetime | None = None, count: int = 3) -> list[datetime]:
    """The next times after ``now`` of a recurring run made at ``since``, by default now; fewer where fewer come."""
    moment = now
    if isinstance(cron, Every) and since is not None and since < now:
        moment = since.replace(microsecond=0)
        moment += (now - moment) // cron.delay * cron.delay
    times: list[datetime] = []
    while len(times) < count and (following := cron.following(moment)) is not None:
        times.append(following)
        moment = following
    return times


def warning(text: str) -> str:
    """What a person may have meant otherwise; empty where that is clear."""
    fields = _split(text)
    if text.startswith("@") or len(fields) != len(_BOUNDS) - 1:
        return ""
    second, minute, hour, day, month = fields
    return (
        f"cron={text!r}: five fields begin with the second too, so this is second {second}, minute {minute}, "
        f"hour {hour}, day {day}, month {month}; write six, '0 {text.strip()}' if you meant minutes first"
    )


def _split(text: str) -> list[str]:
    return [field for field in _SPACE.split(text) if field]


def _field(text: str, bounds: _Bounds) -> Field:
    parts = [_range(part, bounds) for part in text.split(",") if part]
    return Field(frozenset().union(*(part.values for part in parts)), any(part.starred for part in parts))


def _range(text: str, bounds: _Bounds) -> Field:
    """One ``LOW[-HIGH][/STEP]``; what stands behind the hyphen of ``*-`` is not looked at."""
    span, *steps = text.split("/")
    low, *highs = span.split("-")
    starred = low in ("*", "?")
    if len(steps) > 1 or (len(highs) > 1 and not starred):
        raise CronError(f"{bounds.name} {text!r}: too many hyphens or slashes")
    first = bounds.least if starred else _value(low, bounds)
    last = bounds.most if starred or (steps and not highs) else _value(highs[0], bounds) if highs else first
    step = _integer(steps[0], bounds) if steps else 1
    if first < bounds.least or last > bounds.most or first > last:
        raise CronError(f"{bounds.name} {text!r}: values go from {bounds.least} up to {bounds.most}")
    if step == 0:
        raise CronError(f"{bounds.name} {text!r}: the step is 0")
    return Field(frozenset(range(first, last + 1, step)), starred)


def _value(text: str, bounds: _Bounds) -> int:
    name = text.lower()
    return bounds.least + bounds.names.index(name) if name in bounds.names else _integer(text, bounds)


def _integer(text: str, bounds: _Bounds) -> int:
    if not _INTEGER.fullmatch(text) or not 0 <= int(text) <= _LARGEST:
        raise CronError(f"{bounds.name} {text!r}: no number that Kubeflow can read")
    return int(text)


def _delay(text: str) -> timedelta:
    """The delay of ``@every``; whole seconds, one at least."""
    words = text.removeprefix(_EVERY)
    amount = words[1:] if words[:1] in ("+", "-") else words
    parts = list(_DURATION.finditer(amount))
    read = "".join(part[0] for part in parts) == amount and all(part[1] or part[2] for part in parts)
    total_ns = sum(_nanoseconds(part) for part in parts)
    if not (amount == "0" or (parts and read)) or total_ns > _LARGEST:
        raise CronError(
            f"cron={text!r}: {words!r} is no duration that Kubeflow can read; give one such as 12h or 1h30m"
        )
    if words.startswith("-"):
        total_ns = 0
    return timedelta(seconds=max(1, total_ns // 10**9))


def _nanoseconds(part: re.Match[str]) -> int:
    return int(Fraction(f"{part[1] or 0}.{part[2] or 0}") * _UNITS_NS[part[3]])
