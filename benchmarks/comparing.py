"""How long `harness compare` and `harness score --stability` take.

    python benchmarks/comparing.py [TRIALS]

Writes two tables of TRIALS (default 10,000) trials and compares them with two thresholds, does the same with two stores
of as many, ranks 131 models of one and of five seeds with 10,000 draws, and splits one table in two groups. Medians of
three rounds, without the start of the interpreter.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas

from harness.__main__ import main as harness
from harness.records import Finished, Reading, Setting, Started, StudyRecord, Trial
from harness.scoring.score_table import score_table
from harness.sources.table import error_bar
from harness.store.store import Store

MODELS = 131
UNITS = {"energy_gpu": "J", "time": "s", "memory_cuda": "B", "memory_host": "B"}


def make_table(trials: int) -> pandas.DataFrame:
    """Return *trials* rows in groups of 131 models; half of the models are of kind a."""
    draw, number = np.random.default_rng(1), np.arange(trials)
    table = pandas.DataFrame({"model": [f"m{one % MODELS}" for one in number]})
    table["dataset"] = [f"d{one // MODELS}" for one in number]
    table["kind"] = ["ab"[one % MODELS % 2] for one in number]
    return table.assign(accuracy=draw.uniform(size=trials), energy=draw.uniform(1, 9, trials), energy_uncertainty=0.1)


def make_store(path: Path, table: pandas.DataFrame) -> None:
    """Write the rows of *table* as trials with four readings each."""
    with Store.open(path) as store:
        # There is no way of asking for a store that is not durable, which would take some minutes to be written.
        store._connection.execute("PRAGMA synchronous = OFF")
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


def median_seconds(call: Callable[[], object], rounds: int = 3) -> float:
    """Return the median wall time of *call*; what it prints is thrown away."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def cohort(seeds: int) -> pandas.DataFrame:
    """Return 131 models with *seeds* seeds each, and error bars."""
    size, draw = MODELS * seeds, np.random.default_rng(1)
    frame = pandas.DataFrame({"model": np.arange(size) // seeds, "group": "g", "seed": np.arange(size) % seeds})
    frame = frame.assign(performance=draw.uniform(size=size), energy=draw.uniform(1, 9, size))
    return frame.assign(**{error_bar("energy"): 0.1})


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    table = make_table(trials)
    with tempfile.TemporaryDirectory() as folder:
        paths = {kind: [str(Path(folder, f"{side}.{kind}")) for side in "ab"] for kind in ("csv", "sqlite")}
        table.to_csv(paths["csv"][0], index=False)
        table.assign(energy=table["energy"] * 1.01).to_csv(paths["csv"][1], index=False)
        for path in paths["sqlite"]:
            make_store(Path(path), table)
        limits = ["--fail-if", "energy>5%", "--fail-if", "performance<-1%"]
        calls = {
            f"two tables of {trials:,} trials": lambda: harness(["compare", *paths["csv"], *limits]),
            f"two stores of {trials:,} trials": lambda: harness(["compare", *paths["sqlite"], *limits]),
            "the same stores, all measures": lambda: harness(["compare", *paths["sqlite"]]),
            f"two groups of {trials:,} trials": lambda: harness(["compare", paths["csv"][0], "--by", "kind"]),
            f"{MODELS} models, 1 seed, 10,000 draws": lambda: score_table(cohort(1), {"energy": 1}, stability=True),
            f"{MODELS} models, 5 seeds, 10,000 draws": lambda: score_table(cohort(5), {"energy": 1}, stability=True),
        }
        for name, call in calls.items():
            print(f"{name:40}{median_seconds(call):8.2f} s")


if __name__ == "__main__":
    main()
