"""Meters of one resource held against each other."""

from __future__ import annotations

import json
from pathlib import Path

import nvml as fake
import pytest

from harness.__main__ import main
from harness.measuring.checking import check_meters, compare
from harness.meter import Readings
from harness.records import Reading
from harness.registry import MeterEntry, Registry


def joules(value: float, uncertainty: float, meter: str = "a", device: str | None = None) -> Reading:
    return Reading("energy_cpu", value, "J", uncertainty, "counter", device, meter=meter)


@pytest.mark.parametrize(("bar", "agree"), [(2.5, True), (2.4, False)])
def test_meters_agree_within_the_sum_of_their_bars(bar: float, agree: bool) -> None:
    (comparison,) = compare([joules(20, bar), joules(15, bar, "b")])

    assert agree is comparison.agree
    assert 0.25 == comparison.apart


def test_devices_and_lone_totals_are_not_compared() -> None:
    assert [] == compare([joules(20, 1), joules(5, 1, device="x"), joules(15, 1, device="y")])


class Constant:
    def __init__(self, value: float) -> None:
        self.value = value

    def unavailable(self) -> str | None:
        return None if self.value else "not here"

    def open(self) -> None: ...

    def mark(self) -> int:
        return 0

    def between(self, start: int, stop: int, /) -> Readings:
        return [Reading("energy_cpu", self.value, "J", 0.1, "counter")]

    def close(self) -> None: ...


def test_all_meters_that_work_are_run_together() -> None:
    registry = Registry()
    for name, value in (("one", 10.0), ("two", 12.0), ("absent", 0.0)):
        registry.meters.add(name, "p", MeterEntry(lambda options, value=value: Constant(value), ("energy_cpu",)))

    comparisons, costs = check_meters(registry, 0.01)
    assert [["one", "two"]] == [[reading.meter for reading in each.readings] for each in comparisons]
    assert {"one", "two"} <= costs.keys()
    assert not comparisons[0].agree


def test_doctor_tells_disagreement_and_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    with fake.loaded(tmp_path, fake.card()), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        assert 0 == main(["doctor", "--check", "--plugin", "mine", "--format", "json"])

    rows = {(row["kind"], row["name"]): row for row in json.loads(capsys.readouterr().out)}
    told = rows["check", "energy_gpu"]
    assert "no" == told["works"]
    assert "nvml" in told["what"]
    assert "mine" in told["what"]
    assert "more than their error bars" in told["what"]
    assert "µs" in rows["cost", "nvml"]["what"]


PLUGIN = """
from harness import Reading, hookimpl

class Mine:
    def __init__(self, options): pass
    def unavailable(self): return None
    def open(self): pass
    def mark(self): return 0
    def between(self, start, stop):
        return [Reading("energy_gpu", 1e6, "J", 1, "estimated")]
    def close(self): pass

@hookimpl
def harness_register_meters(register):
    register("mine", Mine, resources=("energy_gpu",))
"""
