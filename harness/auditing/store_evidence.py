"""A store as evidence: the finished trials with the totals of their readings, metrics and epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.auditing.evidence import COST_UNITS, Column, Evidence, Floats, Row, number
from harness.auditing.store_laps import Taken, store_laps
from harness.errors import HarnessError
from harness.quantities import UNITS
from harness.sources.stored import chosen_trials, label_trials
from harness.sources.table import Query
from harness.store.reading import open_reader

Stored = dict[str, Any]
# metric -> the fact that says how many images it counts over
_IMAGES = {"performance": "test_images", "accuracy": "test_images", "validation_accuracy": "validation_images"}
_COUNTED_IN_TRAINING = "train"


def store_evidence(path: Path, query: Query) -> Evidence:
    """Return the finished trials of the store *path* (of `query.trials`, if that names some), as measured.

    Raises HarnessError for a store that cannot be read, has no finished trial, or is asked for a table's columns.
    """
    _check_query(query)
    with open_reader(path) as reader:
        attempts, readings, epochs = reader.trials(), reader.readings(accepted=True), reader.epochs(accepted=True)
        machines = {study["study"]: study["machine"] for study in reader.studies()}
    trials = [trial for trial in chosen_trials(attempts, query.trials, path) if trial["accepted"]]
    if not trials:
        raise HarnessError(f"store {str(path)!r} holds no finished trial; `harness run --store {path}` finishes some")
    labels = label_trials(trials, query.group)
    place = {trial["trial"]: row for row, trial in enumerate(trials)}
    taken = _totals(readings, place)
    columns = [*_scores(trials, epochs, place), *_costs(taken, len(trials))]
    traits = _traits(trials, machines)
    return Evidence(
        rows=tuple(
            Row(row, model, group, trial["seed"], trial["trial"])
            for row, ((model, group), trial) in enumerate(zip(labels, trials, strict=True), start=1)
        ),
        columns=tuple(columns),
        groups=number([group for _, group in labels]),
        devices=number([*zip(*traits.values(), strict=True)]),
        powers=_powers(columns),
        windows=_windows(taken, len(trials)),
        traits=traits | _data(trials),
        laps=store_laps(readings, taken, trials),
    )


def _check_query(query: Query) -> None:
    if query.id is not None:
        raise HarnessError("--id is for CSV and Parquet; a store's rows are named by their models")
    if query.performance is not None or query.performance_range is not None:
        raise HarnessError("--performance and its range are for CSV and Parquet; all metrics of a store are audited")
    if query.units:
        raise HarnessError("--unit is for CSV and Parquet; a store's readings have their units")
    if query.delimiter is not None:
        raise HarnessError("--delimiter is for CSV; leave it out for a store")


def _totals(readings: Iterable[Stored], place: Mapping[str, int]) -> Taken:
    """(phase, resource) -> row -> the total of a whole phase; of two meters of one resource the first."""
    found: Taken = {}
    for reading in readings:
        if reading["device"] is None and reading["epoch"] is None and reading["trial"] in place:
            of_resource = found.setdefault((reading["phase"], reading["resource"]), {})
            of_resource.setdefault(place[reading["trial"]], reading)
    return found


def _costs(taken: Taken, size: int) -> list[Column]:
    columns = []
    for key, by_row in taken.items():
        unit = next(iter(by_row.values()))["unit"]
        kept = UNITS[unit][0] if unit in UNITS else unit
        uncertainty = _filled(size, by_row, _known_uncertainty)
        origins: list[str | None] = [None] * size
        for row, reading in by_row.items():
            origins[row] = f"{reading['meter']}, {reading['source']}"
        values = _filled(size, by_row, lambda reading: reading["value"])
        kind = "cost" if kept in COST_UNITS else "size"
        columns.append(Column(_name(*key), values, kind, unit, uncertainty, origins))  # type: ignore[arg-type]
    return columns


def _known_uncertainty(reading: Stored) -> float:
    """What the reading may be off; NaN for 0, which imports say where nothing is published."""
    return float(reading["uncertainty"]) or np.nan


def _name(phase: str | None, resource: str) -> str:
    return resource if phase in (None, _COUNTED_IN_TRAINING) else f"{resource} of {phase}"


def _scores(trials: Sequence[Stored], epochs: Iterable[Stored], place: Mapping[str, int]) -> list[Column]:
    """Performance, metrics, and the performance and loss after each epoch."""
    found: dict[str, dict[int, float]] = {"performance": {row: t["performance"] for row, t in enumerate(trials)}}
    for place_of, trial in enumerate(trials):
        for name, value in (trial["metrics"] or {}).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found.setdefault(name, {})[place_of] = value
    last = {trial["trial"]: trial["epochs"] for trial in trials}
    for epoch in epochs:
        if (row := place.get(epoch["trial"])) is not None:
            for name in ("performance", "loss"):
                # The last epoch's performance is the trial's.
                if epoch[name] is not None and (name, epoch["epoch"]) != ("performance", last[epoch["trial"]]):
                    found.setdefault(f"{name} of epoch {epoch['epoch']}", {})[row] = epoch[name]
    return [_score(name, by_row, trials) for name, by_row in found.items()]


def _score(name: str, by_row: Mapping[int, float], trials: Sequence[Stored]) -> Column:
    fact = _IMAGES.get(name.partition(" of ")[0])
    facts = {row: trial["facts"] or {} for row, trial in enumerate(trials)}
    images = _filled(len(trials), facts, lambda known: known.get(fact))
    # With several labels to an image, an accuracy counts each of them.
    labels = _filled(len(trials), facts, lambda known: known.get("labels_per_image", 1))
    return Column(name, _filled(len(trials), by_row, lambda value: value), "score", images=images * labels)


def _filled(size: int, by_row: Mapping[int, Any], take: Callable[[Any], Any]) -> Floats:
    values = np.full(size, np.nan)
    for row, item in by_row.items():
        value = take(item)
        values[row] = value if isinstance(value, (int, float)) else np.nan
    return values


def _traits(trials: Sequence[Stored], machines: Mapping[int, Mapping[str, Any]]) -> dict[str, list[str | None]]:
    facts = [trial["facts"] or {} for trial in trials]
    return {
        "machines": [_text(machines[trial["study"]].get("host")) for trial in trials],
        "processors": [_text(machines[trial["study"]].get("processor")) for trial in trials],
        "devices": [
            _text(fact.get("device_name") or trial["device"]) for fact, trial in zip(facts, trials, strict=True)
        ],
    }


def _data(trials: Sequence[Stored]) -> dict[str, list[str | None]]:
    return {"versions of the data": [_text((trial["facts"] or {}).get("dataset_digest")) for trial in trials]}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _powers(columns: Sequence[Column]) -> tuple[tuple[str, str], ...]:
    """Each energy with the time of its phase, or of the last epoch where nothing else is known."""
    names = {column.name for column in columns if column.unit == "s"}
    pairs = []
    for column in columns:
        phase = f" of {column.name.partition(' of ')[2]}" if " of " in column.name else ""
        time = next((name for name in (f"time{phase}", f"time_last_epoch{phase}") if name in names), None)
        if column.unit == "J" and not column.name.partition(" of ")[0].endswith("_net") and time is not None:
            pairs.append((column.name, time))
    return tuple(pairs)


def _windows(taken: Taken, size: int) -> dict[str, Floats]:
    """[s] between the edges of the windows of each time."""
    return {
        _name(phase, resource): _filled(size, by_row, _window)
        for (phase, resource), by_row in taken.items()
        if resource == "time"
    }


def _window(reading: Stored) -> float | None:
    if reading["start_ns"] is None or reading["stop_ns"] is None:
        return None
    return float(reading["stop_ns"] - reading["start_ns"]) / 1e9
