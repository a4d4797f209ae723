"""Two runs to the trials that are in both: stores by the trials' identity, tables by the names of their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from harness.comparing.naming import named
from harness.errors import HarnessError
from harness.pepr import Codes
from harness.quantities import convert
from harness.scoring.ranking import Request
from harness.sources.source import is_store, read_sources
from harness.sources.table import Table, carried, error_bar

if TYPE_CHECKING:
    import pandas

_SURROUNDINGS = ("trial", "metrics", "facts", "start_method", "study")


@frozen(eq=False)
class Twins:
    """The tables `a` and `b` of two runs, line by line the same trial, under the names and in the units of `a`.

    `cohort` is the whole of the first run. `only_a` and `only_b` count the trials without a twin.
    """

    a: Table
    b: Table
    cohort: Table
    only_a: int
    only_b: int
    stores: bool


def read_twins(first: Path, second: Path, request: Request, names: Iterable[str]) -> Twins:
    """Return the trials that the runs *first* and *second* share, with the measures *names*.

    Raises HarnessError for a source that cannot be read, a store beside a table, rows of a table that cannot be told
    apart, and runs that share no trial.
    """
    stores = is_store(first)
    if stores != is_store(second):
        raise HarnessError(f"{str(first)!r} and {str(second)!r} are a store and a table; compare two of one kind")
    wanted = evolve(request, also=() if stores else tuple(names))
    query = evolve(request.query, columns=_SURROUNDINGS if stores else ())
    tables = read_sources((first, second), evolve(wanted, query=query).whole_query)
    keys = [_keys(path, table, tables, stores) for path, table in zip((first, second), tables, strict=True)]
    _, in_a, in_b = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    if not len(in_a):
        way = "compare runs of the same study" if stores else "--id and --group name the columns that tell rows apart"
        raise HarnessError(f"no trial of {str(first)!r} is in {str(second)!r}; {way}")
    order = np.argsort(in_a)
    a, b = _take(tables[0], in_a[order]), _take(tables[1], in_b[order])
    named = b.frame.assign(model=a.frame["model"], group=a.frame["group"])
    b = _in_units_of(a, evolve(b, frame=named))
    return Twins(a, b, tables[0], len(keys[0]) - len(in_a), len(keys[1]) - len(in_b), stores)


def _keys(path: Path, table: Table, tables: Iterable[Table], stores: bool) -> npt.NDArray[np.str_]:
    """What tells the lines of one table apart."""
    if stores:
        return np.asarray(table.frame[carried("trial")], dtype=np.str_)
    columns = [table.frame["model"], table.frame["group"]]
    if all("seed" in one.frame for one in tables):
        columns.append(table.frame["seed"].map(named))
    keys = ["\1".join(map(str, row)) for row in zip(*columns, strict=True)]
    if len(set(keys)) < len(keys):
        model = next(key for key, times in Counter(keys).items() if times > 1).split("\1")[0]
        raise HarnessError(
            f"{str(path)!r} has several rows of {model!r}; tell them apart with --group COLUMN or a column 'seed'"
        )
    return np.asarray(keys, dtype=np.str_)


def _take(table: Table, lines: Codes) -> Table:
    gaps = {name: [reasons[line] for line in lines.tolist()] for name, reasons in table.gaps.items()}
    return evolve(table, frame=table.frame.take(lines).reset_index(drop=True), gaps=gaps)


def _in_units_of(a: Table, b: Table) -> Table:
    """The table *b* with its resources in the units of *a*, where both are known."""
    frame: pandas.DataFrame = b.frame
    for name, unit in b.units.items():
        into = a.units.get(name)
        if unit and into and unit != into:
            factor = convert(1.0, unit, into)
            scaled = [column for column in (name, error_bar(name)) if column in frame]
            frame = frame.assign(**{column: frame[column] * factor for column in scaled})
    return evolve(
        b, frame=frame, units={**b.units, **{name: a.units.get(name, unit) for name, unit in b.units.items()}}
    )
