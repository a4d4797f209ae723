"""The cpu-estimate meter: CPU time of a process and its children times watts, labelled for what it is."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.meters.cpu_estimate import DEFAULT_WATTS, CpuEstimateMeter
from harness.records import Reading

BURN = "import time\nwhile time.process_time() < {}: pass\n"


def burn(seconds: float) -> None:
    """Take so much CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def child(seconds: float, then: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", "-c", BURN.format(seconds) + then]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextmanager
def metered(meter: CpuEstimateMeter) -> Iterator[list[Reading]]:
    """Meter the block; the reading is in the list after it."""
    found: list[Reading] = []
    meter.open()
    start = meter.mark()
    yield found
    found += meter.between(start, meter.mark())  # type: ignore[arg-type]


def used() -> float:
    """Return the CPU seconds of this process and the children it waited for, as the kernel counts them."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def test_busy_seconds_times_the_watts_given() -> None:
    before = used()
    with metered(CpuEstimateMeter(watts=10)) as found:
        burn(0.2)

    (reading,) = found
    assert 2.0 - 1e-4 <= reading.value <= 10 * (used() - before)
    assert ("energy_cpu", "J", "estimated") == (reading.resource, reading.unit, reading.source)
    assert "10 W as given" in (reading.note or "")


def test_bar_is_half_the_value_by_default_and_the_clocks_with_watts_given() -> None:
    with metered(CpuEstimateMeter()) as guessed:
        burn(0.1)
    with metered(CpuEstimateMeter(watts=DEFAULT_WATTS)) as given:
        burn(0.1)

    assert guessed[0].uncertainty == pytest.approx(guessed[0].value / 2, rel=1e-3)
    assert given[0].uncertainty < 1e-4 * given[0].value
    assert "4 W for each busy thread, a default for unknown CPUs; give --cpu-watts" == guessed[0].note


def test_time_asleep_costs_nothing() -> None:
    with metered(CpuEstimateMeter(watts=1)) as found:
        time.sleep(0.2)

    assert found[0].value < 0.05


def test_child_that_ended_in_the_window_counts_once() -> None:
    before = used()
    with metered(CpuEstimateMeter(watts=1)) as found, child(0.3) as process:
        process.communicate()

    assert 0.3 <= found[0].value + found[0].uncertainty
    assert found[0].value - found[0].uncertainty <= used() - before


def test_child_that_runs_on_counts_for_what_it_did_in_the_window() -> None:
    with child(0.2, "print(1, flush=True); input()\n" + BURN.format(0.5) + "print(2, flush=True); input()") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        with metered(CpuEstimateMeter(watts=1)) as found:
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
        process.kill()

    assert abs(found[0].value - 0.3) <= found[0].uncertainty + 0.05


def test_grandchild_counts() -> None:
    inner = "import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', sys.argv[1]])"
    with metered(CpuEstimateMeter(watts=1)) as found:
        subprocess.run([sys.executable, "-c", inner, BURN.format(0.3)], check=True)

    assert found[0].value + found[0].uncertainty >= 0.3


def test_tree_of_another_process_is_metered_in_its_place() -> None:
    with child(0.3, "print(1, flush=True); input()") as process:
        assert process.stdout is not None
        with metered(CpuEstimateMeter(watts=1, pid=process.pid)) as found:
            burn(0.5)
            process.stdout.readline()
        process.kill()

    assert found[0].value <= 0.35 + found[0].uncertainty


def test_process_that_has_ended_still_counts_until_it_is_waited_for() -> None:
    with child(0.3) as process, metered(CpuEstimateMeter(watts=1, pid=process.pid)) as found:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert found[0].value + found[0].uncertainty >= 0.25


def test_process_that_vanishes_raises_nothing() -> None:
    process = child(0)
    with process, metered(CpuEstimateMeter(pid=process.pid)) as found:
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert 0 == found[0].value


def test_process_that_there_is_not_is_a_reason() -> None:
    process = child(0)
    process.communicate()

    assert f"no /proc/{process.pid}/stat" in (CpuEstimateMeter(pid=process.pid).unavailable() or "")
