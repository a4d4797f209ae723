"""The code of a stranger's plugin that brings one of each: its trials toss coins, without torch."""

from __future__ import annotations

import json
from pathlib import Path

from fresh_environment import FreshEnvironment

METER = """
from harness import DatasetSpec, FormulaScore, ModelSpec, Reading, hookimpl


class Meter:
    def __init__(self, options): self._count = 0
    def unavailable(self): return None
    def open(self): ...
    def mark(self):
        self._count += 1
        return self._count
    def between(self, start, stop): return [Reading("{name}", stop - start, "1", 0, "counter")]
    def close(self): ...


@hookimpl
def harness_register_meters(register):
    register("{name}", Meter, resources=("{name}",))
"""
COINS = (
    METER.format(name="tosses")
    + """

@hookimpl
def harness_register_models(register):
    for name in ("plain", "fancy"):
        register(ModelSpec(name, lambda *arguments: None))


@hookimpl
def harness_register_datasets(register):
    register(DatasetSpec("coins", lambda *arguments: None, num_classes=2, in_chans=1, task="tossing"))


@hookimpl
def harness_run_trial(trial, window):
    if trial.task != "tossing":
        return None
    with window("train"):
        sum(range(10**6 if trial.model == "fancy" else 10**5))
    return {"performance": 0.75 if trial.model == "fancy" else 0.5}


@hookimpl
def harness_register_executors(register):
    from harness.workers.local import LocalExecutor
    register("light", lambda options: LocalExecutor(options["plugins"], preload=()))


@hookimpl
def harness_register_scores(register):
    register("thrift", FormulaScore("thrift", lambda performance, time: performance / time, unit="1/s"))
"""
)
RUN = ("run", "--model", "plain", "--model", "fancy", "--dataset", "coins", "--device", "cpu")
RUN += ("--executor", "light", "--meter", "time", "--meter", "tosses")


def performances(store: Path, fresh: FreshEnvironment) -> dict[str, float]:
    """The performance of each model by `harness score`."""
    done = fresh.harness("score", str(store), "--format", "json")
    assert 0 == done.returncode, done.stderr
    return {row["model"]: row["performance"] for row in json.loads(done.stdout)["rows"] if row["pepr"] is not None}
