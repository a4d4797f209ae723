"""docs/testing.md: its Python runs as tests, over plugins that are right, and its command runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
MINE = """
from harness import FormulaScore, hookimpl
from harness.testing import PowerTrace, ReplayMeter, fake_dataset, fake_model
from harness.workers.local import LocalExecutor

MODEL, DATASET = fake_model("mine"), fake_dataset("mine")
SCORE = FormulaScore("mine", lambda energy, time: energy * time, smaller_is_better=True)

class MyMeter(ReplayMeter):
    def __init__(self, options):
        super().__init__(PowerTrace.of([(0, 100), (600, 200)]))

class MyExecutor(LocalExecutor):
    def __init__(self, options):
        super().__init__(options["plugins"], preload=())

@hookimpl
def harness_register_meters(register): register("mine", MyMeter, resources=("energy_gpu",))
@hookimpl
def harness_register_models(register): register(MODEL)
@hookimpl
def harness_register_datasets(register): register(DATASET)
@hookimpl
def harness_register_scores(register): register("mine", SCORE)
@hookimpl
def harness_register_executors(register): register("mine", MyExecutor)
"""


@pytest.mark.slow
def test_contracts_and_replayed_trace_of_the_page_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(harness_mine=MINE)
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)):
        pytester.makepyfile(**{f"test_block_{number}": block})
    pytester.syspathinsert()

    outcomes = pytester.runpytest_subprocess("-q", "-W", "error", "-p", "no:cacheprovider").parseoutcomes()
    assert {"passed", "skipped"} == outcomes.keys()  # skipped: the count of parameters, which the fake does not tell
    assert 1 == outcomes["skipped"]
    assert outcomes["passed"] > 70


@pytest.mark.slow
def test_command_of_the_page_ranks_the_fakes() -> None:
    (line,) = re.findall(r"```\nharness (run .*?)\n```", TEXT)
    command = [sys.executable, "-m", "harness", *shlex.split(line), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    assert 0 == done.returncode, done.stderr
    assert re.search(r"^fake +\d", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", re.findall(r"^\| `(\w+Contract)`", TEXT, re.MULTILINE))
def test_table_names_what_can_be_set(name: str) -> None:
    import harness.testing

    (cell,) = re.findall(rf"^\| `{name}` \| (.*?) \|", TEXT, re.MULTILINE)
    contract = getattr(harness.testing, name)
    own = {key for key in (*contract.__annotations__, *vars(contract)) if not key.startswith(("_", "test_"))}
    assert own == set(re.findall(r"`(\w+)", cell))
