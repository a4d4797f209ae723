"""Windows that were metered alike, taken together, against the same windows one by one."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from stores import missing, reading

from harness.measuring.readings import Readings
from harness.records import Missing, Reading
from harness.sources.measured import Windows, measured, measured_alike
from harness.sources.table import Query

_RESOURCES = ("energy_gpu", "energy_cpu", "memory_cuda", "memory_host", "time", "carbon_intensity", "carbon")
_READINGS = st.builds(
    lambda resource, value, bar, source, note: evolve(reading(resource, value, source, note=note), uncertainty=bar),
    st.sampled_from(_RESOURCES),
    st.floats(0, 1e12),
    st.floats(0, 1e12),
    st.sampled_from(["counter", "estimated"]),
    st.sampled_from([None, "read at 3 o'clock", "memory_host of children", "PUE included"]),
)
_GAPS = st.builds(missing, st.sampled_from(_RESOURCES), st.sampled_from(["no card", "no right to read it"]))
_TRIALS = st.fixed_dictionaries(
    {
        "device": st.sampled_from(["cpu", "cuda", None]),
        "facts": st.sampled_from([None, {}, {"data": 0}, {"data": 50}, {"data": 70, "pue": 1.5}]),
        "readings": st.lists(_READINGS, max_size=4),
        "missing": st.lists(_GAPS, max_size=2),
    }
)
_QUERIES = [Query(), Query(pue=1.2), Query(carbon_intensity=300.0), Query(carbon_intensity=300.0, pue=2.0)]


def _plain(one: Reading | Readings | Missing, place: int = 0) -> tuple[object, ...]:
    """All that a table makes use of."""
    if isinstance(one, Missing):
        return one.resource, one.reason
    note = one.note if one.note != "read at 3 o'clock" else None
    numbers = [float(np.atleast_1d(number)[place]) for number in (one.value, one.uncertainty)]
    return one.resource, *numbers, one.unit, one.source, note


def _told(window: Windows, place: int) -> list[list[tuple[object, ...]]]:
    return [[_plain(one, place) for one in part.values()] for part in (window.found, window.lost)]


@given(st.lists(_TRIALS, min_size=1, max_size=6), st.sampled_from(_QUERIES))
def test_many_windows_at_once_are_what_each_is_by_itself(trials, query):
    rows = [{"trial": f"t{line}", **trial} for line, trial in enumerate(trials)]
    totals = [
        (row["trial"], one.value, one.uncertainty, one.resource, one.unit, one.source, one.note)
        for row in rows
        for one in row["readings"]
    ]
    gaps = [(row["trial"], one.resource, one.reason) for row in rows for one in row["missing"]]
    together = {
        line: _told(one, place)
        for one in measured_alike(rows, totals, gaps, query)
        for place, line in enumerate(one.lines.tolist())
    }
    alone = [
        measured(row, map(attrs.asdict, row["readings"]), map(attrs.asdict, row["missing"]), query) for row in rows
    ]

    assert [[[_plain(one) for one in part.values()] for part in pair] for pair in alone] == [
        together[line] for line in range(len(rows))
    ]


def test_trials_that_differ_in_numbers_only_are_metered_alike():
    rows = [{"trial": name, "device": "cpu", "facts": {}} for name in "abc"]
    totals = [
        (name, value, 0.0, "time", "s", "counter", f"at {value}")
        for name, value in zip("abc", (1.0, 2.0, 3.0), strict=True)
    ]
    (one,) = measured_alike(rows, totals, [], Query())

    assert [1.0, 2.0, 3.0] == one.found["time"].value.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_one_bad_number_among_many_is_told(bad):
    with pytest.raises(ValueError, match=f"value must be finite and not negative, is .*{bad}"):
        Readings("time", np.array([1.0, bad, 2.0]), "s", np.zeros(3), "counter")
    with pytest.raises(ValueError, match="uncertainty must be finite"):
        Readings("time", np.zeros(3), "s", np.array([1.0, bad, 2.0]), "counter")
