"""Starts the processes of the benchmark of meters, each with the fake library and a card of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
sys.path.insert(0, str(TESTS))

import nvml as fake  # noqa: E402  # lies in the folder just named
import tools  # noqa: E402

# Processes that sleep most of the time do not disturb each other.
_SIDE_BY_SIDE = 3


class Job(NamedTuple):
    """A script of this folder with its arguments, on a card like `about`; `alone` if timed or never asleep."""

    arguments: tuple[str, ...]
    about: Mapping[str, Any] = {}
    seconds: float = 30.0
    alone: bool = False


class Done(NamedTuple):
    """What a process printed, a record for each line of JSON, or why it failed, in one line."""

    records: list[dict[str, Any]]
    fault: str | None = None


def run_all(jobs: list[Job]) -> list[Done]:
    """Run the jobs, those that are alone one after the other, and return what each gave, in order."""
    fake.library_folder()  # built before the threads could build it twice
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        together = {index: pool.submit(run, job) for index, job in enumerate(jobs) if not job.alone}
    return [together[index].result() if index in together else run(job) for index, job in enumerate(jobs)]


def run(job: Job) -> Done:
    """Run one job."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / job.arguments[0]), *job.arguments[1:]]
        environment = fake.environment(Path(folder), fake.card(**job.about)) | {"HARNESS_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment["PYTHONPATH"] = f"{TESTS}:{environment.get('PYTHONPATH', '')}"
        environment["PATH"] = f"{_with_nvidia_smi(Path(folder))}:{environment.get('PATH', '')}"
        try:
            ended = subprocess.run(  # noqa: S603  # our own scripts
                command, env=environment, capture_output=True, text=True, check=False, timeout=60 + 3 * job.seconds
            )
        except subprocess.TimeoutExpired as error:
            return Done([], f"still running after {error.timeout:.0f} s")
    if ended.returncode:
        return Done([], _last_line(ended.stderr) or f"exit code {ended.returncode}")
    return Done([json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")])


def missing_package(tool: str) -> str | None:
    """Return why *tool* cannot be compared here, or None."""
    if tool in tools.PEERS and find_spec(tool) is None:
        return "not installed"
    return None


def _with_nvidia_smi(folder: Path) -> Path:
    """Return a folder with a program nvidia-smi that does nothing: without one, codecarbon takes the GPU for absent."""
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    return folder


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
