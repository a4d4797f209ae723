"""The NVML meter on the fake library: cards, faults, and energies whose truth is known in closed form."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nvml as fake
import pytest

from harness.errors import HarnessError
from harness.measuring.stack import MeterStack
from harness.measuring.window import Window
from harness.meter import StackedMeter
from harness.meters.nvml import NvmlMeter
from harness.meters.time import TimeMeter
from harness.records import Reading

SHARP = pytest.mark.parametrize("sharp", [True, False], ids=["sharp", "unsharp"])


@contextmanager
def metered(folder: Path, *cards: str, **options: Any) -> Iterator[MeterStack]:
    """Open the meter on *cards*, with the clock beside it."""
    with fake.loaded(folder, *cards), MeterStack() as stack:
        meter = NvmlMeter({"sampler": stack.sampler, **options})
        stack.add([StackedMeter("nvml", meter, ("energy_gpu",)), StackedMeter("time", TimeMeter(), ("time",))])
        yield stack


def truth(window: Window, phase: float = 0.0) -> float:
    start, stop = window.edges_ns
    return fake.true_joules(start / 1e9, stop / 1e9, phase)


def is_inside(window: Window) -> bool:
    reading = window["energy_gpu"]
    return abs(reading.value - truth(window)) <= reading.uncertainty


def by_device(window: Window) -> dict[str | None, Reading]:
    return {reading.device: reading for reading in window.readings if reading.resource == "energy_gpu"}


@SHARP
@pytest.mark.parametrize(
    "about",
    [
        {"step_ms": 20},
        {"step_ms": 100},
        {"step_ms": 20, "instant": 0, "average": 1},
        {"step_ms": 100, "instant": 0, "average": 1},
        {"step_ms": 100, "sensor_ms": 50, "mean_ms": 25},
        {"counter": 0},
    ],
    ids=["20ms", "100ms", "20ms-averaged", "100ms-averaged", "100ms-stale", "no-counter"],
)
def test_truth_lies_inside_the_bar(about: dict[str, object], sharp: bool, tmp_path: Path) -> None:
    inside = []
    with metered(tmp_path, fake.card(**about), sample_period=0.02) as stack:
        for number in range(12):
            time.sleep(0.0137 * (number % 5))
            with stack.window(sharp=sharp) as window:
                time.sleep(0.213)
            inside.append(is_inside(window))

    assert sum(inside) >= 11


@pytest.mark.parametrize("work", ["block", "thread"])
def test_sharp_window_beside_work_that_holds_the_interpreter_stays_inside_its_bar(work: str, tmp_path: Path) -> None:
    ended = threading.Event()

    def burn(until: float) -> None:
        while time.monotonic() < until and not ended.is_set():
            pass

    inside = []
    if work == "thread":
        threading.Thread(target=burn, args=[time.monotonic() + 60]).start()
    with metered(tmp_path, fake.card(step_ms=100)) as stack:
        for _ in range(10):
            with stack.window(sharp=True) as window:
                burn(time.monotonic() + 0.213) if work == "block" else time.sleep(0.213)
            inside.append(is_inside(window))
    ended.set()

    assert sum(inside) >= 9


def test_sharp_window_has_a_narrow_bar(tmp_path: Path) -> None:
    with metered(tmp_path, fake.card(step_ms=20)) as stack:
        with stack.window(sharp=True) as sharp:
            time.sleep(1.037)
        with stack.window() as unsharp:
            time.sleep(1.037)

    assert sharp["energy_gpu"].uncertainty < 0.03 * sharp["energy_gpu"].value
    assert sharp["energy_gpu"].uncertainty < unsharp["energy_gpu"].uncertainty / 2


def test_laps_of_a_sharp_window_are_sharp(tmp_path: Path) -> None:
    with metered(tmp_path, fake.card(step_ms=100)) as stack, stack.window(sharp=True) as window:
        for _ in range(3):
            time.sleep(0.31)
            window.lap()

    laps = [r for r in window.readings if r.resource == "energy_gpu" and r.device is None and r.epoch is not None]
    for lap in laps:
        assert lap.start_ns is not None
        assert lap.stop_ns is not None
        assert abs(lap.value - fake.true_joules(lap.start_ns / 1e9, lap.stop_ns / 1e9)) <= lap.uncertainty
    assert 3 == len(laps)


def test_inner_window_leaves_the_outer_one_whole(tmp_path: Path) -> None:
    with metered(tmp_path, fake.card()) as stack, stack.window(sharp=True) as outer:
        time.sleep(0.1)
        with stack.window(sharp=True) as inner:
            time.sleep(0.1)

    assert is_inside(outer)
    assert is_inside(inner)


def test_two_cards_have_a_reading_each_and_their_sum(tmp_path: Path) -> None:
    with (
        metered(tmp_path, fake.card(), fake.card(fake.SECOND, phase_ms=300)) as stack,
        stack.window(sharp=True) as window,
    ):
        time.sleep(0.3)

    readings = by_device(window)
    assert {None, fake.FIRST, fake.SECOND} == readings.keys()
    assert readings[None].value == pytest.approx(readings[fake.FIRST].value + readings[fake.SECOND].value)
    assert abs(readings[fake.SECOND].value - truth(window, phase=0.3)) <= readings[fake.SECOND].uncertainty


@pytest.mark.parametrize(
    ("listed", "expected"), [("1", fake.SECOND), (fake.SECOND, fake.SECOND), ("GPU-111", fake.FIRST)]
)
def test_hidden_cards_are_not_metered(
    listed: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    with metered(tmp_path, fake.card(), fake.card(fake.SECOND)) as stack, stack.window() as window:
        time.sleep(0.05)

    assert {None, expected} == by_device(window).keys()


@pytest.mark.parametrize("listed", ["MIG-b", "1", fake.SECOND, None])
def test_slice_of_a_card_is_metered_as_the_whole_card_and_says_so(
    listed: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    with metered(tmp_path, fake.card(), fake.card(fake.SECOND, mig="MIG-a,MIG-b")) as stack, stack.window() as window:
        time.sleep(0.05)

    assert {None, fake.SECOND} <= by_device(window).keys()
    assert "the whole card" in str(by_device(window)[fake.SECOND].note)


@pytest.mark.parametrize("listed", ["0,1", "0"])
def test_of_unlike_cards_in_doubt_those_that_torch_uses_are_told(
    listed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 1,
        memory_reserved=lambda index: 0,
        current_device=lambda: 0,
        synchronize=lambda index: None,
        get_device_properties=lambda index: SimpleNamespace(uuid=fake.SECOND.removeprefix("GPU-")),
    )
    with metered(tmp_path, fake.card(name="A"), fake.card(fake.SECOND, name="B")) as stack:
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
        with stack.window() as window:
            time.sleep(0.05)

    assert {None, fake.SECOND} == by_device(window).keys()
    assert "CUDA_DEVICE_ORDER" in str(window["energy_gpu"].note)


@pytest.mark.parametrize("listed", ["", "-1", "7"])
def test_no_visible_card_is_told_with_the_way_out(listed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    with fake.loaded(tmp_path, fake.card()):
        reason = NvmlMeter({}).unavailable()

    assert f"CUDA_VISIBLE_DEVICES={listed} hides every card" in str(reason)
    assert fake.FIRST in str(reason)


def test_driver_that_does_not_answer_is_told() -> None:
    assert "no NVIDIA driver answers" in str(NvmlMeter({}).unavailable())


def test_driver_without_cards_is_told(tmp_path: Path) -> None:
    with fake.loaded(tmp_path, ""):
        assert "the NVIDIA driver sees no card" == NvmlMeter({}).unavailable()


def test_nvidia_smi_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with metered(tmp_path, fake.card()) as stack, stack.window() as window:
        time.sleep(0.05)

    assert "counter" == window["energy_gpu"].source


def test_card_lost_half_way_takes_no_other_reading_with_it(tmp_path: Path) -> None:
    lost = fake.card(fake.SECOND, lost_ns=time.monotonic_ns() + 400_000_000)
    with metered(tmp_path, fake.card(), lost) as stack, stack.window(sharp=True) as window:
        time.sleep(0.6)

    assert {fake.FIRST} == by_device(window).keys()
    assert "GPU is lost" in window.missing[0].reason
    assert window["time"].value > 0
    with pytest.raises(KeyError, match="GPU is lost"):
        window["energy_gpu"]


def test_card_lost_before_it_is_opened_is_missing_and_the_rest_is_read(tmp_path: Path) -> None:
    cards = fake.card(lost_ns=1), fake.card(fake.SECOND)
    with metered(tmp_path, *cards) as stack, stack.window(sharp=True) as window:
        time.sleep(0.05)
    assert {fake.SECOND} == by_device(window).keys()
    assert "GPU is lost" in window.missing[0].reason


@pytest.mark.parametrize(
    ("about", "power"),
    [
        ({"instant": 1, "average": 1}, "instantaneous"),
        ({"instant": 0, "arch": 9, "major": 9}, "mean of the last second"),
        ({"instant": 0, "arch": 7, "major": 8, "minor": 6}, "mean of the last second"),
        ({"instant": 0, "arch": 7, "major": 8, "minor": 0}, "instantaneous"),
        ({"instant": 0, "arch": 6, "major": 7, "minor": 5}, "instantaneous"),
        ({"legacy": 1}, "instantaneous"),
    ],
    ids=["field", "hopper", "ampere", "ga100", "turing", "old-driver"],
)
def test_meter_knows_whether_power_is_averaged(about: dict[str, object], power: str, tmp_path: Path) -> None:
    with metered(tmp_path, fake.card(**about)) as stack:
        assert power == stack.facts()["nvml"]["cards"][0]["power"]


def test_counter_that_begins_anew_is_missing(tmp_path: Path) -> None:
    reset = fake.card(reset_ns=time.monotonic_ns() + 300_000_000)
    with metered(tmp_path, reset) as stack, stack.window() as window:
        time.sleep(0.5)

    assert "began anew" in window.missing[0].reason


def test_counter_that_stands_still_is_missing_and_not_zero(tmp_path: Path) -> None:
    with metered(tmp_path, fake.card(step_ms=1_000_000)) as stack, stack.window() as window:
        time.sleep(0.3)

    assert "counter did not move" in window.missing[0].reason


def test_counter_that_stands_still_after_a_sharp_edge_is_missing_however_short_the_window(tmp_path: Path) -> None:
    with metered(tmp_path, fake.card(step_ms=1_000_000)) as stack, stack.window(sharp=True) as window:
        time.sleep(0.01)

    assert "counter did not move" in window.missing[0].reason


def test_meter_that_is_closed_keeps_no_edge_waiting(tmp_path: Path) -> None:
    with fake.loaded(tmp_path, fake.card(step_ms=1_000_000)):
        meter = NvmlMeter({})
        meter.open()
        mark = meter.mark()
        meter.sharpen(mark)
        meter.close()

    assert mark.sharp is not None
    assert mark.sharp.is_set()


def power_readings(stack: MeterStack) -> str:
    """What the card's power readings are found to be; on a busy machine, that takes more windows."""
    kind = "unproven"
    for number in range(30):
        with stack.window(sharp=True):
            pass
        kind = stack.facts()["nvml"]["cards"][0]["power_readings"]
        if number >= 2 and kind != "unproven":
            break
    return kind


def test_power_that_is_read_seldom_is_told_from_power_that_is_not(tmp_path: Path) -> None:
    kinds = []
    for about in ({}, {"sensor_ms": 20, "mean_ms": 20}):
        with metered(tmp_path, fake.card(step_ms=100, **about)) as stack:
            kinds.append(power_readings(stack))

    assert ["instantaneous", "averaged"] == kinds


def test_laps_that_follow_each_other_quickly_keep_no_samples(tmp_path: Path) -> None:
    with metered(tmp_path, fake.card(step_ms=100)) as stack, stack.window(sharp=True) as window:
        for _ in range(100):
            time.sleep(0.001)
            window.lap()
        threads = [thread.name for thread in threading.enumerate()]

    assert 1 == threads.count("harness-sampler")
    laps = [r for r in window.readings if r.resource == "energy_gpu" and r.device is None and r.epoch is not None]
    total = window["energy_gpu"]
    assert abs(sum(lap.value for lap in laps) - total.value) <= total.uncertainty + sum(lap.uncertainty for lap in laps)


@pytest.mark.parametrize("period", [-1, float("nan"), 1e9])
def test_sampling_period_that_cannot_be_is_refused(period: float) -> None:
    with pytest.raises(HarnessError, match="sample_period must be above 0"):
        NvmlMeter({"sample_period": period})


def test_facts_of_card_and_driver_are_told(tmp_path: Path) -> None:
    with metered(tmp_path, fake.card(name="Fake_H100", limit_w=350, others=2, step_ms=20)) as stack:
        with stack.window(sharp=True):
            pass
        facts = stack.facts()["nvml"]

    card = facts["cards"][0]
    assert "580.1.2-fake" == facts["driver"]
    assert ("Fake H100", fake.FIRST, 350.0, 2) == tuple(
        card[name] for name in ("name", "uuid", "power_limit_watts", "other_processes")
    )
    assert card["celsius_at_first"] >= 40
    assert card["celsius_at_last"] >= 40
    assert 0.02 == pytest.approx(card["counter_step_seconds"], abs=0.005)


def test_counter_needs_no_thread_between_edges(tmp_path: Path) -> None:
    with metered(tmp_path, fake.card()) as stack, stack.window() as window:
        time.sleep(0.05)
        threads = [thread.name for thread in threading.enumerate()]

    assert "harness-sampler" not in threads
    assert {"nvml", "time"} == window.costs.keys()


def test_without_a_counter_one_thread_samples_for_all_cards_and_windows(tmp_path: Path) -> None:
    with (
        metered(tmp_path, fake.card(counter=0), fake.card(fake.SECOND, counter=0), sample_period=0.01) as stack,
        stack.window() as outer,
        stack.window(),
    ):
        time.sleep(0.3)
        threads = [thread.name for thread in threading.enumerate()]

    assert 1 == threads.count("harness-sampler")
    assert "sampled" == outer["energy_gpu"].source
    assert outer.costs["sampler"] > 0


def test_counter_and_sampled_power_agree(tmp_path: Path) -> None:
    with (
        metered(tmp_path, fake.card(), fake.card(fake.SECOND, counter=0), sample_period=0.005) as stack,
        stack.window(sharp=True) as window,
    ):
        time.sleep(1.037)

    counted, sampled = by_device(window)[fake.FIRST], by_device(window)[fake.SECOND]
    assert ("counter", "sampled") == (counted.source, sampled.source)
    assert abs(counted.value - sampled.value) <= counted.uncertainty + sampled.uncertainty
    assert "sampled" == by_device(window)[None].source


def test_library_is_left_as_often_as_it_was_entered(tmp_path: Path) -> None:
    import pynvml

    with fake.loaded(tmp_path, fake.card()):
        NvmlMeter({}).unavailable()
        meter = NvmlMeter({})
        meter.open()
        meter.close()
        with pytest.raises(pynvml.NVMLError, match="Uninitialized"):
            pynvml.nvmlDeviceGetCount()


def test_import_is_light_and_finds_the_library_by_the_loaders_path(tmp_path: Path) -> None:
    program = (
        "import sys, harness\n"
        "with harness.measure('nvml', sharp=False) as m: pass\n"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)\n"
        "print(m['energy_gpu'].source)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=fake.environment(tmp_path, fake.card()),
        capture_output=True,
        text=True,
        check=True,
    )

    assert "counter\n" == done.stdout


def test_child_after_a_fork_opens_its_own(tmp_path: Path) -> None:
    program = (
        "import os, sys, time, harness\n"
        "with harness.measure('nvml', sharp=False): pass\n"
        "pid = os.fork()\n"
        "with harness.measure('nvml', sharp=True) as m: time.sleep(0.05)\n"
        "assert m['energy_gpu'].value > 0\n"
        "if pid: assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
    )
    environ = fake.environment(tmp_path, fake.card(), inherited=os.environ | {"PYTHONWARNINGS": "ignore"})

    subprocess.run([sys.executable, "-c", program], env=environ, check=True, timeout=60)


def test_meter_opened_before_a_fork_is_missing_in_the_child_and_hangs_in_none(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from harness.measuring.stack import MeterStack\n"
        "from harness.meter import StackedMeter\n"
        "from harness.meters.nvml import NvmlMeter\n"
        "stack = MeterStack()\n"
        "stack.add([StackedMeter('nvml', NvmlMeter({'sampler': stack.sampler}), ('energy_gpu',))])\n"
        "with stack.window(sharp=True): pass\n"
        "pid = os.fork()\n"
        "with stack.window(sharp=True) as window: pass\n"
        "if not pid: print(window.missing[0].reason); sys.stdout.flush(); os._exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "assert window.readings\n"
    )
    environ = fake.environment(tmp_path, fake.card(), inherited=os.environ | {"PYTHONWARNINGS": "ignore"})
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, check=True, timeout=60, capture_output=True, text=True
    )

    assert "opened before this process was forked; open it in the child" in done.stdout
