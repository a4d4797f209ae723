"""The curves of a store: each trial's performance after each epoch, and what it had cost by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.errors import HarnessError, unknown
from harness.meter import RESOURCE_UNITS
from harness.pepr import Floats
from harness.quantities import resource_name
from harness.records import Reading
from harness.sources.curve_table import EPOCH, Curve, Curves, incomplete
from harness.sources.measured import measured
from harness.sources.stored import chosen_trials, label_trials
from harness.sources.table import Query
from harness.store.reading import Row, open_reader

# trial -> epoch -> resource -> reading
Epochs = Mapping[str, Mapping[int, Mapping[str, Reading]]]


def read_store_curves(path: Path, query: Query) -> Curves:
    """Return the curves of the trials in the store *path*; see `curve_table.read_curves`."""
    with open_reader(path) as reader:
        trials = chosen_trials(reader.trials(), query.trials, path)
        epochs, readings, missing = (
            reader.epochs(accepted=True),
            reader.readings(accepted=True),
            reader.missing(accepted=True),
        )
    performance: dict[str, dict[int, float | None]] = {}
    for row in epochs:
        performance.setdefault(row["trial"], {})[row["epoch"]] = row["performance"]
    costs = _costs(trials, readings, missing, query)
    resource = _resource(query, performance, costs)
    labels = label_trials(trials, query.group)
    curves = [
        _curve(trial, label, performance.get(trial["trial"], {}), costs.get(trial["trial"], {}), resource)
        for trial, label in zip(trials, labels, strict=True)
    ]
    return Curves(tuple(curves), resource, RESOURCE_UNITS.get(resource))


def _costs(trials: Sequence[Row], readings: Sequence[Row], missing: Sequence[Row], query: Query) -> Epochs:
    grouped: dict[tuple[str, int], tuple[list[Row], list[Row]]] = {}
    for place, rows in enumerate((readings, missing)):
        for row in rows:
            if row["phase"] == query.phase and row["epoch"] is not None:
                grouped.setdefault((row["trial"], row["epoch"]), ([], []))[place].append(row)
    by_key = {trial["trial"]: trial for trial in trials}
    costs: dict[str, dict[int, Mapping[str, Reading]]] = {}
    for (key, epoch), (taken, lost) in grouped.items():
        if key in by_key:
            costs.setdefault(key, {})[epoch] = measured(by_key[key], taken, lost, query)[0]
    return costs


def _resource(query: Query, performance: Mapping[str, Mapping[int, float | None]], costs: Epochs) -> str:
    """The resource asked for; else the first that was read in every epoch; else their number."""
    names = {name for epochs in costs.values() for found in epochs.values() for name in found}
    if query.resources is None:
        every = [costs.get(key, {}).get(epoch, {}) for key, epochs in performance.items() for epoch in epochs]
        return next((name for name in ("energy", "time") if every and all(name in found for found in every)), EPOCH)
    if len(query.resources) > 1:
        raise HarnessError(f"a curve goes over one resource, not {len(query.resources)}; give --resource once")

    name = resource_name(query.resources[0])
    if name not in names and name != EPOCH:
        raise unknown("resource of epochs", query.resources[0], [*names, EPOCH])
    return name


def _curve(
    trial: Row,
    label: tuple[str, str],
    performance: Mapping[int, float | None],
    costs: Mapping[int, Mapping[str, Reading]],
    resource: str,
) -> Curve:
    steps = tuple(sorted(performance))
    gained = np.array([performance[step] for step in steps], dtype=np.float64)
    spent = np.array([_cost(costs.get(step, {}), resource) for step in steps], dtype=np.float64)
    total = _accumulated(spent, resource)
    reason = trial["reason"] or trial["status"] if trial["status"] != "done" else incomplete(gained, total, resource)
    return Curve(*label, trial["seed"], steps, gained, total, reason)


def _cost(found: Mapping[str, Reading], resource: str) -> float | None:
    if resource == EPOCH:
        return 1.0
    return found[resource].value if resource in found else None


def _accumulated(spent: Floats, resource: str) -> Floats:
    """What had been used by the end of each epoch: memory is a peak, all else a sum."""
    return np.maximum.accumulate(spent) if resource.startswith("memory") else np.cumsum(spent)
