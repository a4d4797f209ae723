"""What importers share: the trials that they give, and how a cell of their files becomes a reading."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from attrs import frozen

from harness.errors import HarnessError
from harness.records import EpochDone, Finished, Reading, Source, Trial
from harness.sources.tabular import parse_number

JOULES_PER_KWH = 3.6e6


@frozen
class Imported:
    """A trial that others ran: its outcome, and its epochs where they are known."""

    trial: Trial
    finished: Finished
    epochs: tuple[EpochDone, ...] = ()


@frozen
class Row:
    """One row of a CSV, its cells as text; `number` counts from 1."""

    number: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return the cell, "" where there is none."""
        return self.cells.get(column, "").strip()

    def value(self, column: str) -> float | None:
        """Return the cell's number, None where it is empty. Raises HarnessError for other text."""
        number = parse_number(self.text(column))
        if number is None or math.isinf(number):
            raise HarnessError(
                f"row {self.number}: {self.text(column)!r} in column {column!r} is no number; correct it"
            )
        return None if math.isnan(number) else number

    def need(self, column: str) -> float:
        """Return the cell's number. Raises HarnessError where there is none."""
        number = self.value(column)
        if number is None:
            raise HarnessError(f"row {self.number}: column {column!r} is empty; fill it in, or delete the row")
        return number


@frozen
class Measure:
    """How a column becomes a reading: its number times `factor` is in `unit`; `note` says what it is."""

    column: str
    resource: str
    unit: str
    factor: float
    source: Source
    meter: str
    note: str
    phase: str = "train"
    epoch: int | None = None


def take(row: Row, measures: Iterable[Measure]) -> tuple[Reading, ...]:
    """Return the readings in *row*; an empty cell gives none."""
    taken = [(measure, row.value(measure.column)) for measure in measures]
    return tuple(_reading(measure, value) for measure, value in taken if value is not None)


def _reading(measure: Measure, value: float) -> Reading:
    return Reading(
        measure.resource,
        value * measure.factor,
        measure.unit,
        # Nobody publishes it; the note says so, since 0 would be a claim.
        0.0,
        measure.source,
        note=f"column {measure.column}: {measure.note}; uncertainty not published",
        meter=measure.meter,
        phase=measure.phase,
        epoch=measure.epoch,
    )
