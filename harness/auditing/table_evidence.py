"""A CSV or Parquet file as evidence: every column of numbers in it, not only what a score would use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import evolve

from harness.auditing.evidence import COST_UNITS, Column, Evidence, Floats, Kind, Row, number
from harness.errors import HarnessError
from harness.quantities import UNITS
from harness.sources.number_columns import number_columns
from harness.sources.source import read_source
from harness.sources.table import Query, Table

if TYPE_CHECKING:
    import pandas

# What `read_source` makes of a file's columns bears these names.
_TAKEN = ("model", "group", "seed", "reason", "performance")
# A score in [0, 1] may be beside it in a few rows, which is then found.
_SHARE_IN_RANGE = 0.5


def table_evidence(path: Path, query: Query) -> Evidence:
    """Return the rows and columns of the file *path*, read as *query* says.

    Columns in units of energy, time or mass are costs; those of numbers from 0 to 1 in the performance's range are
    scores. Raises HarnessError for a file that cannot be read, names no performance, or has most of it out of range.
    """
    table = read_source(path, evolve(query, resources=None))
    used = {*_TAKEN, query.id, query.performance, *query.group, *table.resources}
    more = [name for name in number_columns(path, query.delimiter) if name not in used]
    table = read_source(path, evolve(query, resources=None, also=tuple(more)))
    frame = table.frame
    performance = Column("performance", _finite(table, "performance"), "score")
    _check_range(path, performance)
    others = [_column(table, name, query) for name in table.resources]
    # A file's performance is among its columns of numbers under its own name, too.
    twice = [one for one in others if one.kind == "score" and np.array_equal(one.values, performance.values, True)]
    columns = (performance, *[one for one in others if one not in twice])
    groups = number(frame["group"].tolist())
    # The file does not say what its rows ran on: one device, until its powers tell otherwise.
    return Evidence(_rows(frame), columns, groups, np.zeros(len(frame), dtype=np.intp), _powers(table, columns))


def _column(table: Table, name: str, query: Query) -> Column:
    values = _finite(table, name)
    unit = table.units.get(name)
    if unit is not None:
        return Column(name, values, "cost" if UNITS[unit][0] in COST_UNITS else "size", unit)
    if name in table.letters.values():
        return Column(name, values, _kind_of_letter(table, name), None)
    low, high = query.performance_range or (0.0, 1.0)
    scaled = (values - low) / (high - low)
    known = scaled[np.isfinite(scaled)]
    return Column(name, scaled, "score") if _within(known) else Column(name, values, "size")


def _finite(table: Table, name: str) -> Floats:
    values = table.frame[name].to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _kind_of_letter(table: Table, name: str) -> Kind:
    letters = {letter for letter, column in table.letters.items() if column == name}
    return "cost" if letters & {"E", "C", "T"} else "size"


def _within(known: Floats) -> bool:
    return bool(len(known)) and bool(np.mean((known >= 0) & (known <= 1)) >= _SHARE_IN_RANGE)


def _check_range(path: Path, performance: Column) -> None:
    known = performance.values[np.isfinite(performance.values)]
    if len(known) and not _within(known):
        outside = known[(known < 0) | (known > 1)][0]
        raise HarnessError(
            f"most of the performance in {str(path)!r} is outside 0 to 1, such as {outside:g};"
            " say --performance-range LOW..HIGH"
        )


def _powers(table: Table, columns: Sequence[Column]) -> tuple[tuple[str, str], ...]:
    energies = [column.name for column in columns if column.unit and UNITS[column.unit][0] == "J"]
    energy, time = table.letters.get("E"), table.letters.get("T")
    if energy is not None and energy not in energies:
        energies.append(energy)
    return () if time is None else tuple((name, time) for name in energies)


def _rows(frame: pandas.DataFrame) -> tuple[Row, ...]:
    seeds = frame["seed"].tolist() if "seed" in frame else [None] * len(frame)
    return tuple(
        Row(place, str(model), str(group), _seed(seed))
        for place, (model, group, seed) in enumerate(
            zip(frame["model"].tolist(), frame["group"].tolist(), seeds, strict=True), start=1
        )
    )


def _seed(seed: object) -> int | None:
    text = str(seed).strip().removesuffix(".0")
    return int(text) if text.isdecimal() else None
