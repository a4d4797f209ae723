"""How fast tables are scored, against the loop over groups that one writes first.

    python benchmarks/reducer.py [ROWS]

Scores ROWS (default 1,000,000) x 3 resources x 1,000 groups with `harness.pepr.score_arrays`, with
`harness.scoring.score_table` (rows, reasons and ranks as well) and with a plain pandas loop, doubles the rows to see
how time grows, and marks the two-dimensional Pareto front of ROWS points. Medians of five rounds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import pandas

from harness.pepr import score_arrays
from harness.scoring.pareto import pareto_front
from harness.scoring.score_table import score_table

RESOURCES = ("energy", "memory", "time")
GROUPS = 1000


def make_table(rows: int) -> pandas.DataFrame:
    """Return random performances and costs of *rows* models in 1,000 groups, in random order."""
    draw = np.random.default_rng(1)
    table = pandas.DataFrame({name: draw.exponential(size=rows) for name in RESOURCES})
    table["performance"] = draw.uniform(size=rows)
    table["group"] = [f"group{number}" for number in draw.integers(0, GROUPS, rows)]
    table["model"] = [f"model{number}" for number in range(rows)]
    return table


def loop_over_groups(table: pandas.DataFrame) -> pandas.Series:
    """Return the scores, group by group in pandas."""
    scores = []
    for _, rows in table.groupby("group"):
        costs = [(rows[name] - rows[name].min()) / (rows[name].max() - rows[name].min()) for name in RESOURCES]
        scores.append(rows["performance"] / (1 + sum(costs) / len(costs)))
    return pandas.concat(scores).sort_index()


def loop_with_masks(table: pandas.DataFrame) -> pandas.Series:
    """Return the scores, selecting each group from the whole table."""
    scores = []
    for group in table["group"].unique():
        rows = table[table["group"] == group]
        costs = [(rows[name] - rows[name].min()) / (rows[name].max() - rows[name].min()) for name in RESOURCES]
        scores.append(rows["performance"] / (1 + sum(costs) / len(costs)))
    return pandas.concat(scores).sort_index()


def score(table: pandas.DataFrame) -> np.ndarray:
    """Return the scores of *table* by the library."""
    resources = {name: table[name].to_numpy() for name in RESOURCES}
    return score_arrays(table["performance"].to_numpy(), resources, groups=table["group"].to_numpy(dtype=object))


def median_seconds(calls: Mapping[str, Callable[[], object]], runs: int = 5) -> dict[str, float]:
    """Return the median wall time of each call. They take turns, so that a busy machine is so to all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    table, half = make_table(rows), make_table(rows // 2)
    costs, performance = table["energy"].to_numpy(), table["performance"].to_numpy()
    largest = np.abs(score(table) - loop_over_groups(table).to_numpy()).max()
    seconds = median_seconds(
        {
            "loop, groupby": lambda: loop_over_groups(table),
            "score_arrays": lambda: score(table),
            "score_arrays, half the rows": lambda: score(half),
            "score_table": lambda: score_table(table, dict.fromkeys(RESOURCES, 1.0)),
            "Pareto front": lambda: pareto_front(costs, performance),
            "Pareto front, nearly all on it": lambda: pareto_front(costs, costs + 1e-9 * performance),
        }
    ) | median_seconds({"loop, one mask each": lambda: loop_with_masks(table)}, runs=1)

    print(f"{rows:,} rows x {len(RESOURCES)} resources x {GROUPS:,} groups; largest difference {largest:.1e}")
    for name, taken in seconds.items():
        print(f"{name:32}{taken:8.3f} s {taken / seconds['loop, groupby']:8.3f} of the loop with groupby")


if __name__ == "__main__":
    main()
