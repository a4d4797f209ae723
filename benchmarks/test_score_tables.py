"""How fast tables are scored, against the loop over groups that one writes first.

A million rows, three resources, a thousand groups: the arrays alone, the table with reasons and ranks, and the Pareto
front of a million points, few or nearly all of them on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest

from harness.pepr import score_arrays
from harness.scoring.pareto import pareto_front
from harness.scoring.score_table import score_table

RESOURCES = ("energy", "memory", "time")
ROUNDS = {"rounds": 3, "warmup_rounds": 1}
scoring = pytest.mark.benchmark(group="score a table")
front = pytest.mark.benchmark(group="mark a Pareto front")


@pytest.fixture(scope="module")
def table(quick: bool) -> pandas.DataFrame:
    """Random performances and costs of models in groups, in random order."""
    rows, groups = (2_000, 20) if quick else (1_000_000, 1_000)
    draw = np.random.default_rng(1)
    made = pandas.DataFrame({name: draw.exponential(size=rows) for name in RESOURCES})
    made["performance"] = draw.uniform(size=rows)
    made["group"] = [f"group{number}" for number in draw.integers(0, groups, rows)]
    made["model"] = [f"model{number}" for number in range(rows)]
    return made


def loop_over_groups(table: pandas.DataFrame) -> pandas.Series:
    """Return the scores, group by group in pandas."""
    scores = []
    for _, rows in table.groupby("group"):
        costs = [(rows[name] - rows[name].min()) / (rows[name].max() - rows[name].min()) for name in RESOURCES]
        scores.append(rows["performance"] / (1 + sum(costs) / len(costs)))
    return pandas.concat(scores).sort_index()


def arrays(table: pandas.DataFrame) -> np.ndarray:
    """Return the scores by the library."""
    resources = {name: table[name].to_numpy() for name in RESOURCES}
    return score_arrays(table["performance"].to_numpy(), resources, groups=table["group"].to_numpy(dtype=object))


@scoring
def test_loop_over_groups_in_pandas(benchmark: Any, table: pandas.DataFrame) -> None:
    benchmark.pedantic(loop_over_groups, args=(table,), **ROUNDS)


@scoring
def test_score_arrays(benchmark: Any, table: pandas.DataFrame) -> None:
    scores = benchmark.pedantic(arrays, args=(table,), **ROUNDS)

    assert np.abs(scores - loop_over_groups(table).to_numpy()).max() < 1e-12


@scoring
def test_score_table(benchmark: Any, table: pandas.DataFrame) -> None:
    benchmark.pedantic(score_table, args=(table, dict.fromkeys(RESOURCES, 1.0)), **ROUNDS)


@front
def test_front_with_few_points_on_it(benchmark: Any, table: pandas.DataFrame) -> None:
    costs, performance = table["energy"].to_numpy(), table["performance"].to_numpy()
    benchmark.pedantic(pareto_front, args=(costs, performance), **ROUNDS)


@front
def test_front_with_nearly_all_points_on_it(benchmark: Any, table: pandas.DataFrame) -> None:
    costs, performance = table["energy"].to_numpy(), table["performance"].to_numpy()
    benchmark.pedantic(pareto_front, args=(costs, costs + 1e-9 * performance), **ROUNDS)
