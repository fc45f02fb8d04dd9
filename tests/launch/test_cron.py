"""Cron as Kubeflow reads it: against the answers of its own parser, and against brute force over every second."""

import calendar
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubeflow import recorded

from mammogan.launch.schedule.cron import CronError, Every, parse, require, upcoming, warning

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
ANSWERS = recorded("api", "crons")["answers"]
REFUSED = recorded("api", "refused-crons")


def shown(times):
    return [moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in times]


@pytest.mark.parametrize("part", range(5))
def test_each_expression_is_taken_refused_and_comes_as_the_backends_parser_says(part):
    for answer in ANSWERS[part::5]:
        if "error" in answer:
            with pytest.raises(CronError, match=r"^cron="):
                parse(answer["cron"])
        else:
            times = upcoming(parse(answer["cron"]), datetime.fromisoformat(answer["after"]))
            assert shown(times) == answer.get("next", []), answer["cron"]


def test_the_recorded_answers_hold_enough_of_both_kinds():
    refused = sum("error" in answer for answer in ANSWERS)
    assert refused > 100
    assert len(ANSWERS) - refused > 200


@pytest.mark.parametrize("text", REFUSED)
def test_what_the_server_refused_is_refused_here(text):
    with pytest.raises(CronError):
        parse(text)


# Brute force: each second is asked whether it fits, by the words of the dialect.

BOUNDS = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
NAMES = {
    4: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    5: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}


@st.composite
def parts(draw, place):
    """One element of a list: its text, its values, whether it has a star."""
    least, most = BOUNDS[place]
    form = draw(st.sampled_from(["star", "one", "span", "name"]))
    if form == "star":
        text, first, last, starred = draw(st.sampled_from("*?")), least, most, True
    elif form == "span":
        first, last = sorted(draw(st.tuples(st.integers(least, most), st.integers(least, most))))
        text, starred = f"{first}-{last}", False
    else:
        first = last = draw(st.integers(least, most))
        named = form == "name" and place in NAMES
        text, starred = (NAMES[place][first - least].upper() if named else str(first)), False
    step = draw(st.sampled_from([0, 0, 1, 2, 3, 7, 30]))
    if step:
        text, last = f"{text}/{step}", most if form in ("one", "name") else last
    return text, {value for value in range(first, last + 1) if (value - first) % (step or 1) == 0}, starred


@st.composite
def expressions(draw, least_fields=5):
    """Text, and for each field the values and whether it has a star."""
    count = draw(st.integers(least_fields, 6))
    fields = []
    for place in range(count):
        drawn = draw(st.lists(parts(place), min_size=1, max_size=3))
        values = set().union(*(values for _, values, _ in drawn))
        fields.append((",".join(text for text, _, _ in drawn), values, any(starred for _, _, starred in drawn)))
    text = " ".join(text for text, _, _ in fields)
    return text, fields + [("*", set(range(7)), True)] * (6 - count)


def fits_day(fields, moment):
    day, month, weekday = fields[3:]
    days = moment.day in day[1], (moment.weekday() + 1) % 7 in weekday[1]
    return moment.month in month[1] and (all(days) if day[2] or weekday[2] else any(days))


def fits(fields, moment):
    clock = moment.second, moment.minute, moment.hour
    return fits_day(fields, moment) and all(part in field[1] for part, field in zip(clock, fields, strict=False))


def next_by_brute_force(fields, moment):
    """The first second that fits within three years; days and hours that hold none are passed over."""
    moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    end = moment + timedelta(days=3 * 365)
    while moment < end:
        if not fits_day(fields, moment):
            moment = moment.replace(hour=0, minute=0, second=0) + timedelta(days=1)
        elif moment.hour not in fields[2][1]:
            moment = moment.replace(minute=0, second=0) + timedelta(hours=1)
        elif fits(fields, moment):
            return moment
        else:
            moment += timedelta(seconds=1)
    return None


moments = st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 31)).map(lambda moment: moment.replace(tzinfo=UTC))


@given(expressions(), moments)
def test_the_next_time_is_the_one_found_by_brute_force(expression, moment):
    text, fields = expression
    following = parse(text).following(moment)
    brute = next_by_brute_force(fields, moment)
    assert following == brute or (brute is None and (following is None or fits(fields, following)))


@given(expressions(least_fields=6), moments)
def test_every_second_of_an_hour_is_a_time_exactly_where_it_fits(expression, moment):
    text, fields = expression
    cron = parse(text)
    start = moment.replace(minute=0, second=0, microsecond=0)
    expected = [at for at in (start + timedelta(seconds=s) for s in range(1, 3600)) if fits(fields, at)]
    reached = iter(upcoming(cron, start, count=3))
    assert [at for at in reached if at < start + timedelta(hours=1)] == expected[:3]


@given(st.text(alphabet="0123456789*?,-/LW# @evrymonsun\t", max_size=24))
def test_any_text_is_read_or_refused_in_one_line(text):
    message, cron = "", None
    try:
        cron = parse(text)
    except CronError as error:
        message = str(error)
    if cron is None:
        assert len(message.splitlines()) == 1
        assert "give six fields" in message or "give one such as" in message
    else:
        following = cron.following(NOON)
        assert following is None or following > NOON


# The traps.


def test_five_fields_are_reported_with_what_they_mean_and_what_was_meant():
    message = warning("0 3 * * 1")
    assert "second 0, minute 3, hour *, day *, month 1; write six, '0 0 3 * * 1' if" in message
    assert shown(upcoming(parse("0 3 * * 1"), NOON))[0] == "2027-01-01T00:03:00Z"
    assert not warning("0 0 3 * * 1")
    assert not warning("@weekly")
    assert not warning("@every 1h")


@pytest.mark.parametrize("text", ["0 0 0 30 2 *", "0 0 0 31 4,6,9,11 ?", ", 0 3 * * *", "0 0 3 , * *"])
def test_what_never_comes_is_refused_because_the_controller_would_look_for_it_without_end(text):
    parse(text)
    with pytest.raises(CronError, match="no such time comes within 5 years"):
        require(text)


def test_a_delay_counts_from_when_the_schedule_was_made():
    created_at = NOON - timedelta(days=2, minutes=7)
    assert shown(upcoming(parse("@every 12h"), NOON, created_at))[:2] == [
        "2026-11-26T23:53:00Z",
        "2026-11-27T11:53:00Z",
    ]
    assert upcoming(parse("@every 12h"), NOON)[0] == NOON + timedelta(hours=12)
    assert parse("@every -5m") == parse("@every 900ms") == Every(timedelta(seconds=1))


def test_a_leap_day_is_found_up_to_five_years_on():
    assert shown(upcoming(parse("0 0 0 29 2 ?"), NOON))[0] == "2028-02-29T00:00:00Z"
    assert not calendar.isleap(2100)
    assert upcoming(parse("0 0 0 29 2 ?"), datetime(2096, 3, 1, tzinfo=UTC)) == []


def test_days_of_month_and_week_add_up_unless_one_of_them_has_a_star():
    assert shown(upcoming(parse("0 0 0 13 * FRI"), NOON)) == [
        f"{day}T00:00:00Z" for day in ("2026-11-27", "2026-12-04", "2026-12-11")
    ]
    both = list(itertools.islice(upcoming(parse("0 0 0 */2 * FRI"), NOON, count=9), 9))
    assert all(moment.weekday() == 4 and moment.day % 2 == 1 for moment in both)
