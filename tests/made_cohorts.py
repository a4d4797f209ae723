"""Cohorts made up at random, right in every row, and ways to make single rows wrong."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve
from stores import reading, trial

from harness.records import EpochDone, Finished, Started, StudyRecord, Trial
from harness.store.store import Store

Rows = list[dict[str, Any]]
EPOCHS = 4
SCORES = (*(f"accuracy_{epoch}" for epoch in range(1, EPOCHS)), "accuracy")
# Millijoules of an NVIDIA card, a processor's counter, twelve printed digits of a kWh, and as fine as doubles are.
ENERGY_STEPS = (1e-3, 2.0**-14, 3.6e6 * 1e-12, 0.0)
PAGES = 2**21


def make_rows(draw: np.random.Generator, models: int = 60, datasets: int = 3) -> Rows:
    """Rows of every model on every dataset: accuracies k/n, and energies at a power of each dataset's own."""
    step = ENERGY_STEPS[draw.integers(len(ENERGY_STEPS))]
    cost = np.exp(draw.normal(0, 1, models))
    rows = []
    for dataset in range(datasets):
        images, watts, seconds = int(draw.integers(150, 5000)), draw.uniform(60, 400), np.exp(draw.uniform(2, 6))
        for model in range(models):
            time = cost[model] * seconds * np.exp(draw.normal(0, 0.02))
            energy = watts * np.exp(draw.normal(0, draw.uniform(0.02, 0.2))) * time
            right = draw.binomial(images, np.clip(draw.normal(0.7, 0.1), 0, 0.99), EPOCHS)
            rows.append(
                {"model": f"m{model}", "dataset": f"d{dataset}", "images": images, "time": time}
                | {"energy": round(energy / step) * step if step else energy}
                | {"memory": PAGES * int(1 + 100 * cost[model])}
                | dict(zip(SCORES, (right / images).tolist(), strict=True))
            )
    return rows


def copy_row(rows: Rows, row: int, other: int, draw: np.random.Generator) -> None:
    """Put what was measured in *other* into *row*."""
    rows[row] |= {name: value for name, value in rows[other].items() if name not in ("model", "dataset", "images")}


def carry_energy(rows: Rows, row: int, other: int, draw: np.random.Generator) -> None:
    """Leave the energy of *other* in *row*."""
    rows[row]["energy"] = rows[other]["energy"]


def add_constant(rows: Rows, row: int, other: int, draw: np.random.Generator) -> None:
    """Add something to the accuracy of *row* that is no multiple of 1/n."""
    images = rows[row]["images"]
    rows[row]["accuracy"] += (draw.integers(1, 3) + draw.uniform(0.05, 0.95)) / images


def stop_clock(rows: Rows, row: int, other: int, draw: np.random.Generator) -> None:
    """Let the clock of *row* stand still after some of its time."""
    rows[row]["time"] *= draw.uniform(0, 0.2)


CORRUPTIONS: tuple[Callable[[Rows, int, int, np.random.Generator], None], ...] = (
    copy_row,
    carry_energy,
    add_constant,
    stop_clock,
)


def write_csv(path: Path, rows: Rows) -> Path:
    """Write *rows* without the number of images, and return the path."""
    columns = [name for name in rows[0] if name != "images"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_store(path: Path, rows: Rows) -> Path:
    """Write *rows* as trials that ran here, whose windows were as long as their clocks say; return the path."""
    with Store.open(path) as store, store.batch():
        study = store.begin_study(StudyRecord("2026-01-01T00:00:00Z"))
        for row in rows:
            one = trial(row["model"], row["dataset"], epochs=EPOCHS)
            store.add_trials(study, [one])
            epochs = [EpochDone(one.key, number, None, row[name]) for number, name in enumerate(SCORES, start=1)]
            for event in (Started(one.key, 1, "forkserver"), *epochs, _finished(one, row)):
                store.record(study, event)
    return path


def _finished(one: Trial, row: dict[str, Any]) -> Finished:
    edges = {"start_ns": 0, "stop_ns": round(row["time"] * 1e9)}
    whole = [reading("energy_gpu", row["energy"], **edges), reading("time", row["time"], **edges)]
    epochs = [evolve(part, value=part.value / EPOCHS, epoch=e + 1) for part in whole for e in range(EPOCHS)]
    readings = (*whole, *epochs, reading("memory_host", row["memory"]))
    return Finished(one.key, row["accuracy"], facts={"test_images": row["images"]}, readings=readings)
