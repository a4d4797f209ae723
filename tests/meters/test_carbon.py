"""The carbon meter: asked for at the right moments, averaged over the window, with an honest error bar."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import harness
from harness.errors import HarnessError
from harness.meters.carbon import CarbonMark, CarbonMeter
from harness.records import Missing, Reading

MINUTE = 60.0
HOUR = 3600.0
# 2026-01-01 00:00 UTC
NEW_YEAR = 1767225600.0

Answers = Callable[[str, datetime.datetime | None], Mapping[str, Any] | None]


def refuse(location: str, when: datetime.datetime | None) -> None:
    raise AssertionError("nobody may be asked")


def told(grams: Any, **more: Any) -> Answers:
    return lambda location, when: {"grams_per_kwh": grams, "source": "a test", **more}


def by_hour(*grams: float) -> Answers:
    """The intensity in the first hour of the year, in the second, and so on; exact."""

    def answer(location: str, when: datetime.datetime | None) -> Mapping[str, Any]:
        assert when is not None
        hour = int((when.timestamp() - NEW_YEAR) // HOUR)
        return {"grams_per_kwh": grams[hour], "uncertainty": 0.0, "source": "a test", "sampled": True}

    return answer


def between(answers: Answers, seconds: float, location: str = "FR", constant: Any = None) -> Reading | Missing:
    meter = CarbonMeter(location, constant, answers)
    (found,) = meter.between(CarbonMark(NEW_YEAR, 7.0), CarbonMark(NEW_YEAR + seconds, 7.0 + seconds))
    return found


def reading(answers: Answers, seconds: float = 60, **more: Any) -> Reading:
    found = between(answers, seconds, **more)
    assert isinstance(found, Reading)
    return found


def test_a_constant_is_given_exact_and_asks_nobody() -> None:
    found = reading(refuse, constant=56)

    assert (56, 0, "g/kWh", "estimated", "given") == (
        found.value,
        found.uncertainty,
        found.unit,
        found.source,
        found.note,
    )


def test_an_answer_is_read_with_its_error_bar_and_source() -> None:
    found = reading(told(44.2, uncertainty=30.0))

    assert (44.2, 30.0, "estimated", "a test", None) == (
        found.value,
        found.uncertainty,
        found.source,
        found.note,
        found.device,
    )


def test_an_answer_of_the_hour_is_sampled() -> None:
    assert "sampled" == reading(told(44.2, uncertainty=3.0, sampled=True)).source


def test_an_answer_without_an_error_bar_is_known_to_be_positive_only() -> None:
    assert 44.2 == reading(told(44.2)).uncertainty


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (20 * MINUTE, [0, 20 * MINUTE]),
        (30 * MINUTE, [0, 30 * MINUTE]),
        (40 * MINUTE, [0, 20 * MINUTE, 40 * MINUTE]),
        (2 * HOUR, [0, 30 * MINUTE, HOUR, 90 * MINUTE, 2 * HOUR]),
        (24 * HOUR, [hour * HOUR for hour in range(25)]),
        (240 * HOUR, [hour * HOUR for hour in range(0, 241, 10)]),
    ],
)
def test_moments_are_spread_over_the_window(seconds: float, expected: list[float]) -> None:
    asked: list[float] = []

    def answer(location: str, when: datetime.datetime | None) -> Mapping[str, Any]:
        assert when is not None
        asked.append(when.timestamp() - NEW_YEAR)
        return {"grams_per_kwh": 1.0}

    reading(answer, seconds)
    assert expected == pytest.approx(asked)


def test_moments_are_in_utc() -> None:
    zones: set[Any] = set()

    def answer(location: str, when: datetime.datetime | None) -> Mapping[str, Any]:
        assert when is not None
        zones.add(when.tzinfo)
        return {"grams_per_kwh": 1.0}

    reading(answer)
    assert {datetime.timezone.utc} == zones


def test_a_wall_clock_that_is_set_within_the_window_does_not_matter() -> None:
    asked: list[float] = []

    def answer(location: str, when: datetime.datetime | None) -> Mapping[str, Any]:
        assert when is not None
        asked.append(when.timestamp() - NEW_YEAR)
        return {"grams_per_kwh": 1.0}

    list(CarbonMeter("FR", None, answer).between(CarbonMark(NEW_YEAR, 0.0), CarbonMark(NEW_YEAR - HOUR, 60.0)))
    assert [0.0, 60.0] == pytest.approx(asked)


def test_steady_intensity_is_no_wider_than_its_answers() -> None:
    found = reading(told(100.0, uncertainty=10.0), 5 * HOUR)

    assert (100.0, 10.0) == pytest.approx((found.value, found.uncertainty))


@pytest.mark.parametrize("minutes", [1, 29, 31, 61, 90, 119, 150, 179])
@pytest.mark.parametrize("grams", [(100, 200, 50), (10, 10, 400), (300, 20, 20)])
def test_the_mean_over_the_window_is_within_the_error_bar(minutes: int, grams: tuple[float, ...]) -> None:
    truth = sum(grams[minute // 60] for minute in range(minutes)) / minutes
    found = reading(by_hour(*grams), minutes * MINUTE)

    assert abs(found.value - truth) <= found.uncertainty + 1e-9 * truth


def test_a_change_half_way_gives_the_mean_and_half_the_range() -> None:
    start, stop = CarbonMark(NEW_YEAR + HOUR - 60, 0.0), CarbonMark(NEW_YEAR + HOUR + 60, 120.0)
    (found,) = CarbonMeter("FR", None, by_hour(100, 300)).between(start, stop)

    assert isinstance(found, Reading)
    assert (200.0, 100.0) == (found.value, found.uncertainty)


def test_the_error_bar_reaches_the_answer_that_is_farthest_from_the_mean() -> None:
    found = reading(by_hour(100, 300), 2 * HOUR - 1)  # 100, 100, 100, 300, 300

    assert (175.0, 125.0) == (found.value, found.uncertainty)


def test_answers_of_several_kinds_are_all_named_and_the_worst_counts() -> None:
    def answer(location: str, when: datetime.datetime | None) -> Mapping[str, Any]:
        live = when is not None and when.timestamp() == NEW_YEAR
        return {"grams_per_kwh": 50.0, "uncertainty": 1.0, "source": "live" if live else "table", "sampled": live}

    found = reading(answer)
    assert ("live; table", "estimated") == (found.note, found.source)


def test_nobody_knows_the_intensity() -> None:
    found = between(lambda location, when: None, 60, "XX")

    assert isinstance(found, Missing)
    assert "no plugin knows the carbon intensity at 'XX'; give --carbon-intensity" in found.reason


def test_a_word_to_the_user_is_the_reason() -> None:
    def answer(location: str, when: datetime.datetime | None) -> None:
        raise HarnessError("set the token")

    assert Missing("carbon_intensity", "set the token") == between(answer, 60)


@pytest.mark.parametrize(
    "answer", [{}, {"grams_per_kwh": -1}, {"grams_per_kwh": float("nan")}, {"grams_per_kwh": "56"}], ids=str
)
def test_an_answer_without_grams_is_refused(answer: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match="tells no carbon intensity"):
        between(lambda location, when: answer, 60)


@pytest.mark.parametrize(
    ("location", "constant", "reason"),
    [
        (None, None, "no location is given; give --location with an ISO 3166 code such as DK, or --carbon-intensity"),
        ("", None, "no location is given"),
        (45, None, "location is 45, not an ISO 3166 code"),
        ("XX", None, "no plugin knows the carbon intensity at 'XX'"),
        (None, -1, "carbon_intensity is -1, not grams per kWh"),
        (None, float("inf"), "carbon_intensity is inf, not"),
        (None, "56", "carbon_intensity is '56', not"),
    ],
)
def test_unavailable_says_what_to_give(location: Any, constant: Any, reason: str) -> None:
    told_reason = CarbonMeter(location, constant, lambda location, when: None).unavailable()

    assert told_reason is not None
    assert told_reason.startswith(reason)


def test_whether_a_location_is_known_is_asked_without_a_moment() -> None:
    asked: list[Any] = []

    def answer(location: str, when: datetime.datetime | None) -> Mapping[str, Any]:
        asked.append((location, when))
        return {}

    assert CarbonMeter("FR", None, answer).unavailable() is None
    assert [("FR", None)] == asked


def test_edges_ask_nobody() -> None:
    meter = CarbonMeter("FR", None, refuse)
    meter.open()

    assert meter.mark().clock <= meter.mark().clock


def test_measure_takes_the_meters_options() -> None:
    with harness.measure("carbon", carbon_intensity=56) as window:
        pass

    assert 56 == window["carbon_intensity"].value
