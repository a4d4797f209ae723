"""What is peculiar to the meter: that it counts what it says, and only of its own process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from harness_example.switch_meter import SwitchMeter


def test_sleeping_is_a_switch_each_time(harness_meter: Callable[..., Any]) -> None:
    with harness_meter("switches") as m:
        for _ in range(20):
            time.sleep(0.001)

    assert m["switches"].value >= 20


def test_fresh_memory_is_a_fault_for_each_page(harness_meter: Callable[..., Any]) -> None:
    with harness_meter("switches") as m:
        for first in range(0, len(fresh := bytearray(64 << 20)), 4096):
            fresh[first] = 1

    # A page of memory may be a huge one of 2 MiB.
    assert m["page_faults"].value >= 32


def test_another_process_is_refused_rather_than_guessed() -> None:
    assert "its own process only" in str(SwitchMeter({"pid": os.getppid()}).unavailable())
