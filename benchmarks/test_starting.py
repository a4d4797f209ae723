"""How long commands take from the shell that do without torch, against a bare interpreter."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

COMMANDS = {
    "bare interpreter": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "harness --help": ["-m", "harness", "--help"],
    "harness list models": ["-m", "harness", "list", "models"],
    "harness measure": ["-m", "harness", "measure", "--meter", "time", "--", "true"],
}


@pytest.mark.benchmark(group="start from the shell")
@pytest.mark.parametrize("name", COMMANDS)
def test_command(benchmark: Any, name: str) -> None:
    command = [sys.executable, *COMMANDS[name]]
    done = benchmark.pedantic(
        subprocess.run, args=(command,), kwargs={"capture_output": True}, rounds=3, warmup_rounds=1
    )

    assert done.returncode == 0
