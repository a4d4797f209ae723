"""The runner killed with SIGKILL at random moments: no finished trial lost, the store intact, no process left."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.store.reading import open_reader

KILLS = 50
TRIALS = 40
STORE = Path("harness.sqlite")
MARK = "HARNESS_TEST_OF_KILLS"


def start(mark: str) -> subprocess.Popen[str]:
    words = ["--plugin", "chaos", "--executor", "bare", "--dataset", "nothing", "--device", "cpu", "--meter", "time"]
    return subprocess.Popen(
        [sys.executable, "-m", "harness", "run", *words, "--model", "wait-*"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), MARK: mark},
    )


def finished() -> set[str]:
    """Return the trials that are done; a runner killed at its very start leaves a store without tables."""
    if not STORE.stat().st_size:
        return set()

    with open_reader(STORE) as reader:
        return {row["trial"] for row in reader.trials(accepted=True)}


def marked(mark: str) -> list[int]:
    """Return the pids of living processes that were started with *mark* in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark:
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def acknowledged(line: str) -> bool:
    return "accuracy 0.5000, trained" in line


def kill_after(runner: subprocess.Popen[str], ends: int, pause: float) -> int:
    """Kill *runner* a little after it told of so many ends; return how many it told of in all."""
    assert runner.stderr is not None
    told = 0
    for line in runner.stderr:
        told += acknowledged(line)
        if told >= ends:
            break
    time.sleep(pause)
    runner.kill()
    told += sum(acknowledged(line) for line in runner.stderr)
    runner.wait()
    runner.stderr.close()
    return told


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runner_killed_at_random_moments_loses_nothing_and_leaves_nothing() -> None:
    chance = random.Random(20250107)
    known: set[str] = set()
    for number in range(KILLS):
        runner = start(str(number))
        told = kill_after(runner, ends=chance.randint(0, 1), pause=chance.uniform(0, 0.08))

        with sqlite3.connect(STORE) as connection:
            assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
        now = finished()
        assert known <= now
        assert len(now) - len(known) >= told
        _await_nothing_left(str(number))
        known = now
        if len(known) == TRIALS:
            for file in Path().glob(f"{STORE}*"):
                file.unlink()
            known = set()

    last = start("last")
    _, err = last.communicate(timeout=120)
    assert 0 == last.returncode, err
    assert TRIALS == len(finished())
    with open_reader(STORE) as reader:
        attempts = reader.trials()
    assert {"done", "interrupted"} >= {row["status"] for row in attempts}
    assert TRIALS == sum(row["accepted"] for row in attempts)


def _await_nothing_left(mark: str) -> None:
    end = time.monotonic() + 2
    while left := marked(mark):
        if time.monotonic() > end:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"left behind two seconds after the runner was killed: {left}")
        time.sleep(0.02)
