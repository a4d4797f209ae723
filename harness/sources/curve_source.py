"""Curves of PePR: read from a store's epochs or a table's columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import evolve

from harness.errors import HarnessError
from harness.sources.curve_table import EPOCH, Curve, Curves, incomplete
from harness.sources.source import is_store, read_source
from harness.sources.stored_curves import read_store_curves
from harness.sources.table import Query

_NUMBERED = re.compile(r"(.*?)(\d+)")


def read_curves(path: Path, query: Query, columns: str | None = None) -> Curves:
    """Return the curves in *path*: of a store from its epochs, else from *columns*, "FIRST..LAST" or "A,B,C".

    Of a store, the costs are those of the one resource in `query.resources`; without it energy, else time, else the
    number of epochs. A table has no costs of its epochs: they are counted. Raises HarnessError for what is not there.
    """
    if is_store(path):
        return read_store_curves(path, query)
    if columns is None:
        raise HarnessError("a table's curves need their columns: --curve FIRST..LAST, such as test_00..test_09")
    if query.resources is not None:
        raise HarnessError("a table has no costs of its single epochs; leave --resource out, and epochs are counted")
    return _table_curves(path, query, expand(columns))


def expand(columns: str) -> tuple[str, ...]:
    """Return the columns that "test_00..test_09" or "first,second" stands for. Raises HarnessError for neither."""
    first, dots, last = columns.partition("..")
    if not dots:
        return tuple(columns.split(","))

    low, high = _NUMBERED.fullmatch(first), _NUMBERED.fullmatch(last)
    if low is None or high is None or low[1] != high[1] or int(low[2]) >= int(high[2]):
        raise HarnessError(f"--curve {columns!r} must be FIRST..LAST with growing numbers, such as test_00..test_09")
    return tuple(f"{low[1]}{number:0{len(low[2])}d}" for number in range(int(low[2]), int(high[2]) + 1))


def _table_curves(path: Path, query: Query, columns: Sequence[str]) -> Curves:
    wanted = evolve(query, resources=(), also=tuple(columns), performance=columns[-1])
    frame = read_source(path, wanted).frame
    low, high = query.performance_range or (0.0, 1.0)
    values = (frame[list(columns)].to_numpy(dtype=np.float64) - low) / (high - low)
    if ((values < 0) | (values > 1)).any():
        raise HarnessError(
            "a performance in the columns of --curve is outside 0 to 1; say --performance-range LOW..HIGH"
        )

    steps = tuple(range(1, len(columns) + 1))
    costs = np.array(steps, dtype=np.float64)
    names = zip(frame["model"], frame["group"], values, strict=True)
    return Curves(tuple(Curve(m, g, None, steps, f, costs, incomplete(f, costs, EPOCH)) for m, g, f in names), EPOCH)
