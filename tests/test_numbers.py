"""Numbers are shown with the digits that their intervals support, a column with one power of ten."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammogan import numbers
from mammogan.numbers import Point, Scale


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        (Point(0.00032, -0.00003, 0.00066), "0.32 (-0.03 to 0.66) x 10^-3"),
        (Point(179.352, 170.38, 188.32), "179.4 (170.4 to 188.3)"),
        (Point(0.1765, 0.1677, 0.1853), "0.1765 (0.1677 to 0.1853)"),
        (Point(0.0099, 0.0098, 0.01), "0.00990 (0.00980 to 0.01000)"),
        (Point(1.0, 1.0, 1.0), "1.00 (1.00 to 1.00)"),
        (Point(-0.000001, -0.0009, 0.0009), "0.00 (-0.90 to 0.90) x 10^-3"),
        (Point(0.17654), "0.177"),
        (Point(179.352), "179"),
        (Point(0.99996), "1.00"),
        (Point(1e-7), "0.100 x 10^-6"),
        (Point(123456.7), "123457"),
        (Point(2.5e6), "2.50 x 10^6"),
        (Point(5e-324), "0.000000 x 10^-300"),
        (Point(0.0), "0"),
        (Point(None), "–"),
        (Point(float("nan")), "nan"),
        (Point(float("inf"), 0.0, float("inf")), "inf (0 to inf)"),
    ],
)
def test_an_estimate_has_the_digits_that_its_interval_supports(item, shown):
    assert numbers.estimate(item) == shown


def test_a_column_shares_a_power_that_an_outlier_does_not_choose():
    """Epoch 1 of a training is hundreds of times the others."""
    first, later = Point(0.4, 0.39, 0.41), Point(0.0005, 0.0001, 0.0009)
    scale = Scale.of([first, later, later])
    assert scale.power == "x 10^-3"
    assert [scale.pair(item) for item in (first, later)] == ["400 (390 to 410)", "0.50 (0.10 to 0.90)"]
    assert scale.beside(0.00012345, later) == "0.12"
    assert scale.interval(Point(0.1, 0.05, None)) == ""


def test_an_interval_alone():
    assert numbers.interval(Point(0.00032, -0.00003, 0.00066)) == "(-0.03 to 0.66) x 10^-3"
    assert numbers.interval(Point(0.5, 0.25, 0.75)) == "0.25 to 0.75"
    assert numbers.interval(Point(0.5, 0.25, None)) == "–"


@given(st.floats(-0.999, 0.999), st.floats(1e-4, 1), st.integers(-9, 9))
def test_what_is_shown_is_within_a_tenth_of_the_half_width(value, half, power):
    item = Point(*(number * 10.0**power for number in (value, value - half, value + half)))
    match = re.fullmatch(r"(-?[\d.]+) \(.*\)(?: x 10\^(-?\d+))?", numbers.estimate(item))
    shown = float(match[1]) * 10.0 ** int(match[2] or 0)
    assert abs(shown - item.value) <= 0.051 * (item.high - item.low) + 0.501 * 10.0 ** (power - numbers.MOST_DECIMALS)


def test_signs_of_a_page():
    assert numbers.typeset("0.32 (-0.03 to 0.66) x 10^-3") == "0.32 (−0.03 to 0.66) × 10⁻³"
    assert numbers.typeset("-1 of run kid-1 on 2026-01-02") == "−1 of run kid-1 on 2026-01-02"
    assert numbers.typeset("x 10^-3") == "× 10⁻³"


def test_shares_and_times():
    assert [numbers.p_value(p) for p in (0.0004, 0.0126)] == ["< 0.001", "0.013"]
    assert numbers.percent(0.8) == "80%"
    assert [numbers.duration(s) for s in (5.2, 65, 3700, None)] == ["5 s", "1 min 05 s", "1 h 01 min", "–"]
    assert [numbers.date(at) for at in (1_790_040_000_000, None)] == ["2026-09-22 01:20 UTC", "–"]
