"""`harness measure` finds all processes of its command, for memory and CPU time, and lets them be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from metering import documented, measure, python, value


def test_processes_that_the_command_leaves_run_on() -> None:
    done = measure("sh", "-c", "sleep 30 >/dev/null 2>&1 & echo $!")
    left = int(done.stdout)

    os.kill(left, signal.SIGKILL)  # raises if there is none
    assert 0 == done.returncode


# Takes half a second of CPU time in a process that nobody waits for, and ends when that has been taken.
LEFT = """
import os, subprocess, sys, time
def burn(then):
    while time.process_time() < 0.5: pass
    os.write(tells, b"%d" % os.getpid())
    then()
    os._exit(0)
done, tells = os.pipe()
null = os.open("/dev/null", os.O_WRONLY)
KIND
pid = int(os.read(done, 16))
"""
LEAVING = {
    "ended": "if not os.fork(): burn(lambda: 0)",
    "running": "if not os.fork():\n for out in (1, 2): os.dup2(null, out)\n burn(lambda: time.sleep(60))\nleft = True",
    "grandchild": "if not os.fork():\n if os.fork(): os._exit(0)\n burn(lambda: 0)",
    "daemon": "if not os.fork():\n os.setsid()\n if os.fork(): os._exit(0)\n burn(lambda: 0)",
}


@pytest.mark.parametrize("kind", LEAVING)
def test_cpu_time_of_what_nobody_waits_for_counts_once(kind: str) -> None:
    code = LEFT.replace("KIND", LEAVING[kind]) + "print(pid if 'left' in dir() else '', flush=True)"
    options = ["--meter", "cpu-estimate", "--cpu-watts", "1", "--output", "cost.json"]
    done = measure(*python(code), options=options)
    if done.stdout.strip():
        os.kill(int(done.stdout), signal.SIGKILL)

    (reading,) = [r for r in json.loads(Path("cost.json").read_text())["readings"] if r["resource"] == "energy_cpu"]
    assert 0.5 <= reading["value"] + reading["uncertainty"]
    assert reading["value"] - reading["uncertainty"] < 0.9


def test_orphan_that_ended_is_gone_while_the_command_runs() -> None:
    code = LEFT.replace("KIND", LEAVING["daemon"]) + "while os.path.exists(f'/proc/{pid}'): time.sleep(0.01)"

    assert 0 == measure(*python(code), options=["--meter", "time"]).returncode


def test_memory_is_that_of_all_processes_together() -> None:
    code = "import subprocess, sys; a = bytearray(150 << 20); subprocess.run([sys.executable, '-S', '-c', sys.argv[1]])"
    grandchild = "import time; b = bytearray(100 << 20); time.sleep(0.5)"
    document = documented(*python(code), grandchild, options=["--meter", "memory"])

    assert 250 << 20 < value(document, "memory_host") < 320 << 20


def test_page_that_processes_share_counts_once() -> None:
    code = "import os, time; a = bytearray(200 << 20)\nif os.fork() == 0: time.sleep(0.3); os._exit(0)\nos.wait()"
    document = documented(*python(code), options=["--meter", "memory"])

    assert 200 << 20 < value(document, "memory_host") < 300 << 20


def test_peak_of_a_short_command_is_known() -> None:
    document = documented(*python("bytearray(300 << 20)"), options=["--meter", "memory"])

    (reading,) = [r for r in document["readings"] if r["resource"] == "memory_host"]
    assert 300 << 20 < reading["value"] < 330 << 20
    assert "sampled" == reading["source"]


def test_size_of_the_process_that_meters_is_not_in_it() -> None:
    code = f"""
import sys
from harness.measuring.commands import Metering, meter_command
from harness.measuring.passing_on import PassingOn
from harness.plugins_loader import load_plugins
ballast = bytearray(300 << 20)
ballast[::4096] = b"x" * len(ballast[::4096])
registry = load_plugins().registry
with PassingOn() as passing:
    for command in (["true"], {python("pass")!r}):
        metered = meter_command(command, Metering(["memory"], {{}}), registry, passing, print)
        print(int(metered.window["memory_host"].value + metered.window["memory_host"].uncertainty))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    sizes = [int(line) for line in done.stdout.split()]
    assert 2 == len(sizes)
    assert max(sizes) < 40 << 20
