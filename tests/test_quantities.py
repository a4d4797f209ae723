"""Quantities with units: what is understood, what is refused, how they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.quantities import UNITS, convert, find_unit, format_quantity, parse_quantity, resource_name


@pytest.mark.parametrize(
    ("text", "into", "expected"),
    [
        ("30Wh", "J", 108_000),
        ("0.5 kWh", "J", 1.8e6),
        ("7J", "J", 7),
        ("4GiB", "B", 4 * 2**30),
        ("4GB", "B", 4e9),
        ("512 MiB", "B", 512 * 2**20),
        ("100MB", "B", 1e8),
        ("12B", "B", 12),
        ("30m", "s", 1800),
        ("30min", "s", 1800),
        ("2h", "s", 7200),
        ("90s", "s", 90),
        ("1.5kg", "g", 1500),
        ("12g", "g", 12),
        ("1e3", "J", 1000),
        (".5", None, 0.5),
        ("108000 J", "Wh", 30),
    ],
)
def test_quantities_are_understood(text, into, expected):
    assert parse_quantity(text, into) == expected


@pytest.mark.parametrize(
    ("text", "into", "problem"),
    [
        ("lots", "J", "'lots' is no quantity"),
        ("", "J", "'' is no quantity"),
        ("-3J", "J", "'-3J' cannot be a budget"),
        ("3GiB", "J", "'GiB' is no unit like 'J'; use mJ, J"),
        ("3Joule", "J", "unknown unit 'Joule'"),
        ("3J", None, "the column's unit is not known"),
        ("1e999", "J", "cannot be a budget"),
    ],
)
def test_other_text_is_refused(text, into, problem):
    with pytest.raises(HarnessError) as caught:
        parse_quantity(text, into)

    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"), [("kwh", "kWh"), ("gib", "GiB"), ("Min", "min"), ("mJ", "mJ"), ("MJ", "MJ")]
)
def test_case_may_be_mixed_up_where_one_unit_can_be_meant(name, expected):
    assert find_unit(name) == expected


def test_case_that_could_be_two_units_is_refused():
    with pytest.raises(HarnessError, match="say one of mJ, MJ"):
        find_unit("mj")


@given(st.sampled_from(sorted(UNITS)), st.floats(0, 1e12))
def test_converting_there_and_back_gives_the_same(unit, value):
    kept = UNITS[unit][0]

    assert convert(convert(value, unit, kept), kept, unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (108_000, "J", "30 Wh"),
        (12, "J", "12 J"),
        (3 * 2**30, "B", "3 GiB"),
        (0, "B", "0 B"),
        (7, None, "7"),
        (90, "s", "1.5 min"),
    ],
)
def test_quantities_are_shown_in_the_largest_fitting_unit(value, unit, expected):
    assert format_quantity(value, unit) == expected


def test_letters_stand_for_resources():
    assert [resource_name(name) for name in ("E", "T", "parameters")] == ["energy", "time", "parameters"]
