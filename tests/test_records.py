"""Records: what they refuse, and that they cross a pipe unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from harness.plugins_loader import PluginChoice
from harness.records import EpochDone, Event, Failed, Finished, Missing, Reading, Setting, Started, Trial
from harness.wire import decode, decode_event, encode
from harness.workers.executor import Job

READING: dict[str, Any] = {"resource": "time", "value": 1, "unit": "s", "uncertainty": 0, "source": "counter"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": -1},
        {"value": float("nan")},
        {"value": float("inf")},
        {"uncertainty": -1},
        {"uncertainty": float("nan")},
        {"source": "guessed"},
        {"device": 3},
        {"resource": None},
    ],
    ids=str,
)
def test_reading_of_the_wrong_kind_is_refused(wrong: dict[str, Any]) -> None:
    Reading(**READING)

    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        Reading(**READING | wrong)


@pytest.mark.parametrize(
    "event",
    [
        Started("k", 12, "spawn"),
        EpochDone("k", 1, None, 0.5),
        Finished("k", 0.1 + 0.2, {"a": 1}, {"b": None}, (Reading(**READING),), (Missing("x", "why"),)),
        Failed("k", "oom", "too much", "line\nline"),
    ],
    ids=lambda event: event.kind,
)
def test_event_crosses_the_pipe_unchanged(event: Event) -> None:
    assert event == decode_event(encode(event))


def test_job_crosses_the_pipe_unchanged() -> None:
    job = Job(Trial("m", "d", Setting(lr=0.1)), ("time",), PluginChoice(("a",), ("b",), False))

    assert job == decode(encode(job), Job)


@pytest.mark.parametrize("performance", [-0.1, 1.1, float("nan"), float("inf")])
def test_performance_is_from_0_to_1(performance: float) -> None:
    with pytest.raises(ValueError, match="performance must be from 0 to 1"):
        Finished("k", performance)


def test_number_that_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode(EpochDone("k", 1, float("nan"), 0.5))
