"""What came out of one trial, as `harness_trial(...)` returns it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, fields, frozen

from harness.records import Missing, Reading, Trial
from harness.sources.measured import measured
from harness.sources.stored import chosen_trials
from harness.sources.table import Query
from harness.store.reading import Row, open_reader
from harness.suites.taken import Taken


@frozen
class TrialResult:
    """A finished trial: `performance` in [0, 1], other `metrics`, and `facts` as they are stored.

    `readings` and `missing` are of all phases, epochs and devices, as measured.
    """

    trial: Trial
    performance: float
    metrics: Mapping[str, Any]
    facts: Mapping[str, Any]
    readings: tuple[Reading, ...] = field(repr=False)
    missing: tuple[Missing, ...] = field(repr=False)
    _phases: Mapping[str, Taken] = field(repr=False)

    def __getitem__(self, resource: str) -> Reading:
        """Return the total of *resource* in the training, derived ones included; see `total`."""
        return self.total(resource)

    def total(self, resource: str, phase: str = "train") -> Reading:
        """Return the total of *resource* in *phase*: "train", "infer_batch" or "infer_single".

        Raises KeyError with the reason where it is missing.
        """
        total = self.taken(phase).total(resource)
        if isinstance(total, Reading):
            return total
        raise KeyError(f"{resource}: {total.reason if total else f'no meter of this trial read it in {phase!r}'}")

    def taken(self, phase: str = "train") -> Taken:
        """Return all totals of *phase* and what is missing of it."""
        return self._phases.get(phase, Taken())


def read_result(store: Path, trial: Trial) -> TrialResult:
    """Return what *store* holds of *trial*. Raises HarnessError where that cannot be read."""
    with open_reader(store) as reader:
        (row,) = chosen_trials(reader.trials(), [trial.key], store)
        readings = [found for found in reader.readings(accepted=True) if found["trial"] == trial.key]
        missing = [found for found in reader.missing(accepted=True) if found["trial"] == trial.key]
    phases = dict.fromkeys(found["phase"] for found in [*readings, *missing])
    return TrialResult(
        trial=trial,
        performance=row["performance"],
        metrics=row["metrics"] or {},
        facts=row["facts"] or {},
        readings=tuple(Reading(**_of(Reading, found)) for found in readings),
        missing=tuple(Missing(**_of(Missing, found)) for found in missing),
        phases={phase: _taken(row, readings, missing, phase) for phase in phases},
    )


def _of(kind: type[Any], row: Row) -> Row:
    return {name: row[name] for name in (one.name for one in fields(kind))}


def _taken(trial: Row, readings: list[Row], missing: list[Row], phase: str) -> Taken:
    here, gone = (
        [row for row in rows if row["phase"] == phase and row["epoch"] is None] for rows in (readings, missing)
    )
    found, lost = measured(trial, here, gone, Query())
    return Taken(tuple(found.values()), tuple(lost.values()))
