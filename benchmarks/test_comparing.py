"""How long `harness compare` and `harness score --stability` take, without the start of the interpreter.

Two tables and two stores of ten thousand trials, four readings to a trial, with two thresholds and with all measures;
two groups of one table; 131 models of one and of five seeds ranked with ten thousand draws.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from harness.__main__ import main as harness
from harness.records import Finished, Reading, Setting, Started, StudyRecord, Trial
from harness.scoring.score_table import score_table
from harness.sources.table import error_bar
from harness.store.store import Store

MODELS = 131
UNITS = {"energy_gpu": "J", "time": "s", "memory_cuda": "B", "memory_host": "B"}
LIMITS = ("--fail-if", "energy>5%", "--fail-if", "performance<-1%")
ROUNDS = {"rounds": 3, "warmup_rounds": 1}
runs = pytest.mark.benchmark(group="compare two runs")
groups = pytest.mark.benchmark(group="compare two groups")
stability = pytest.mark.benchmark(group="rank with stability")


@pytest.fixture(scope="module")
def table(quick: bool) -> pandas.DataFrame:
    """Trials in groups of 131 models; half of the models are of kind a."""
    trials = 2 * MODELS if quick else 10_000
    draw, number = np.random.default_rng(1), np.arange(trials)
    made = pandas.DataFrame({"model": [f"m{one % MODELS}" for one in number]})
    made["dataset"] = [f"d{one // MODELS}" for one in number]
    made["kind"] = ["ab"[one % MODELS % 2] for one in number]
    return made.assign(accuracy=draw.uniform(size=trials), energy=draw.uniform(1, 9, trials), energy_uncertainty=0.1)


@pytest.fixture(scope="module")
def tables(table: pandas.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two CSV files, the second with one per cent more energy."""
    paths = [tmp_path_factory.getbasetemp() / f"{side}.csv" for side in "ab"]
    for path, factor in zip(paths, (1.0, 1.01), strict=True):
        table.assign(energy=table["energy"] * factor).to_csv(path, index=False)
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def stores(table: pandas.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two stores of the same trials, with four readings each."""
    paths = [tmp_path_factory.getbasetemp() / f"{side}.sqlite" for side in "ab"]
    for path in paths:
        make_store(path, table)
    return [str(path) for path in paths]


def make_store(path: Path, table: pandas.DataFrame) -> None:
    with Store.open(path) as store, store.batch():
        study = store.begin_study(StudyRecord("2026-01-01T00:00:00Z"))
        for row in table.itertuples():
            trial = Trial(str(row.model), str(row.dataset), Setting())
            taken = {"energy_gpu": row.energy, "time": 1.0, "memory_cuda": 1e9 + row.Index, "memory_host": 2e9}
            readings = tuple(
                Reading(name, value, UNITS[name], 0.1, "counter", meter="fake", phase="train")
                for name, value in taken.items()
            )
            store.add_trials(study, [trial])
            store.record(study, Started(trial.key, 1, "fork"))
            store.record(study, Finished(trial.key, row.accuracy, readings=readings))


def compare(benchmark: Any, *arguments: str) -> None:
    status = benchmark.pedantic(harness, args=(["compare", *arguments],), **ROUNDS)

    assert status == 0


@runs
def test_tables_with_two_thresholds(benchmark: Any, tables: list[str]) -> None:
    compare(benchmark, *tables, *LIMITS)


@runs
def test_stores_with_two_thresholds(benchmark: Any, stores: list[str]) -> None:
    compare(benchmark, *stores, *LIMITS)


@runs
def test_stores_with_all_measures(benchmark: Any, stores: list[str]) -> None:
    compare(benchmark, *stores)


@groups
def test_groups_of_a_table(benchmark: Any, tables: list[str]) -> None:
    compare(benchmark, tables[0], "--by", "kind")


@stability
@pytest.mark.parametrize("seeds", [1, 5])
def test_models_with_seeds(benchmark: Any, seeds: int) -> None:
    size, draw = MODELS * seeds, np.random.default_rng(1)
    frame = pandas.DataFrame({"model": np.arange(size) // seeds, "group": "g", "seed": np.arange(size) % seeds})
    frame = frame.assign(performance=draw.uniform(size=size), energy=draw.uniform(1, 9, size))
    frame = frame.assign(**{error_bar("energy"): 0.1})
    benchmark.pedantic(score_table, args=(frame, {"energy": 1}), kwargs={"stability": True}, **ROUNDS)
