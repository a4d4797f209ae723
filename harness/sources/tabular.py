"""CSV and Parquet files to a table of performance and resources."""

from __future__ import annotations

import contextlib
import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from attrs import evolve

from harness.errors import HarnessError, unknown
from harness.quantities import LETTERS
from harness.sources.layouts import Layout, recognize, unit_of
from harness.sources.table import Query, Table, add_carbon, carried, checked_units, error_bar, resolve
from harness.tables import plain

if TYPE_CHECKING:
    import pandas

_MISSING = ("", "NA", "N/A", "n/a", "na", "null", "NULL", "None", "none", "-", "<NA>")
_DELIMITERS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+\.\d+", re.ASCII)
_Read = Callable[[list[str]], "pandas.DataFrame"]


def read_csv(path: Path, query: Query) -> Table:
    """Return the table in the CSV file *path* (UTF-8, a header, decimal points).

    Raises HarnessError for a column that is not there, text in a column of numbers, a wrong delimiter, no rows.
    """
    delimiter = "\t" if query.delimiter in ("tab", "\\t") else query.delimiter or ","
    header = read_header(path, delimiter)

    return _table(path, header, lambda columns: load_csv(path, delimiter, columns), query)


def read_parquet(path: Path, query: Query) -> Table:
    """Return the table in the Parquet file *path*; errors as `read_csv`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise HarnessError("Parquet needs pyarrow: pip install 'pepr-harness[parquet]'") from error

    def read(columns: list[str]) -> pandas.DataFrame:
        frame: pandas.DataFrame = pyarrow.parquet.read_table(path, columns=columns).to_pandas()
        return frame

    try:
        return _table(path, pyarrow.parquet.read_schema(path).names, read, query)
    except (pyarrow.ArrowException, OSError) as error:
        raise HarnessError(f"{str(path)!r} is a damaged Parquet file: {plain(error)}; write it again") from error


def load_csv(path: Path, delimiter: str, columns: Sequence[str]) -> pandas.DataFrame:
    """Return the *columns* as text, just as it is written; lines without a character in them are skipped.

    Raises HarnessError, with the line, for a row that has not as many fields as the header.
    """
    import pandas

    with _reading(path, delimiter) as lines:
        header = next(lines)
        rows: list[list[str]] = []
        for fields in lines:
            if len(fields) == len(header):
                rows.append(fields)
            elif fields:
                counted = f"line {lines.line_num} has {len(fields)} fields, the header {len(header)}"
                raise HarnessError(f"{str(path)!r}: {counted}; correct the line, or the delimiter with --delimiter")
    cells = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {}
    frame: pandas.DataFrame = pandas.DataFrame({name: cells.get(name, ()) for name in columns}, dtype=object)
    return frame


@contextlib.contextmanager
def _reading(path: Path, delimiter: str) -> Iterator[Any]:
    """The file's lines as csv.reader gives them; whatever is no CSV in UTF-8 ends as HarnessError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield csv.reader(file, delimiter=delimiter)
    except (UnicodeDecodeError, csv.Error, TypeError) as error:
        raise HarnessError(f"{str(path)!r} is neither a store, Parquet nor CSV in UTF-8: {plain(error)}") from error


def to_numbers(frame: pandas.DataFrame, column: str, names: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return *column* as numbers, NaN where a cell is empty or says so.

    Raises HarnessError that gives the row, its name in *names*, and the value of text in it.
    """
    import pandas

    series = frame[column]
    if pandas.api.types.is_numeric_dtype(series) and not pandas.api.types.is_bool_dtype(series):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)

    cells = series.to_numpy(dtype=object)
    numbers = [parse_number(cell) for cell in cells]
    if None in numbers:
        row = numbers.index(None)
        raise HarnessError(
            f"row {row + 1} ({plain(names[row])!r}): {plain(cells[row])!r} in column {column!r} is no number;"
            " correct it, or leave the cell empty"
        )
    return np.array(numbers, dtype=np.float64)


def parse_number(cell: Any) -> float | None:
    """Return the number in a cell, NaN where it is missing, None where it is neither."""
    if isinstance(cell, str):
        # 1,014.45 can be one number only; 1,014 might be two, and 1_014, which Python reads, none that people write.
        cell = cell.replace(",", "") if _THOUSANDS.fullmatch(cell) else cell.replace("_", "?")
    elif isinstance(cell, bool):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan if cell is None or str(cell).strip() in _MISSING else None


def read_header(path: Path, delimiter: str = ",") -> list[str]:
    """Return the names of the columns in *path*. Raises HarnessError where it has none, or one that hides several."""
    with _reading(path, delimiter) as lines:
        header: list[str] = next(lines, [])
    if len(header) == 1 and (other := next((mark for mark in _DELIMITERS if mark in header[0]), None)):
        raise HarnessError(
            f"{str(path)!r} has one column, {plain(header[0])[:60]!r}; if {_DELIMITERS[other]} separates its columns,"
            f" add --delimiter {_DELIMITERS[other]}"
        )
    if not any(name.strip() for name in header):
        raise HarnessError(f"{str(path)!r} has no header; name its columns in the first line")
    return header


def _table(path: Path, header: Sequence[str], read: _Read, query: Query) -> Table:
    layout = recognize(header)
    chosen = _choose(path, header, layout, query)
    resources = _resources(path, header, layout, query)
    optional = [name for name in ("seed", "reason") if name in header and name not in (*chosen.values(), *resources)]
    groups = [name for name in query.group or layout.group if name not in query.apart]
    _require(path, header, [*chosen.values(), *resources, *groups, *query.columns])
    bars = {name: f"{name}_uncertainty" for name in resources if f"{name}_uncertainty" in header}

    wanted = (*chosen.values(), *groups, *optional, *resources, *bars.values(), *query.columns)
    raw = read([*dict.fromkeys(wanted)])
    frame = _frame(path, raw, chosen, groups, optional, resources, query.performance_range or layout.performance_range)
    frame = _beside(frame, raw, bars, query.columns)
    units = {name: unit_of(name, layout) for name in resources} | checked_units(query.units)
    table = Table(frame, tuple(resources), units, layout.letters, {}, () if query.apart else _repeats(frame))
    return _with_carbon(table, layout, query) if query.recomputes_carbon else table


def _choose(path: Path, header: Sequence[str], layout: Layout, query: Query) -> dict[str, str]:
    chosen = {"id": query.id or layout.id, "performance": query.performance or layout.performance}
    for option, column in chosen.items():
        if column is None:
            raise HarnessError(f"name the {option} column of {str(path)!r} with --{option}: it has {_listed(header)}")
    return {option: str(column) for option, column in chosen.items()}


def _resources(path: Path, header: Sequence[str], layout: Layout, query: Query) -> list[str]:
    found = () if query.resources is not None else tuple(layout.letters.values())
    asked = (*(query.resources or ()), *query.also)
    names = [*found, *[resolve(name, header, layout.letters) for name in asked]]
    for name in names:
        if name in LETTERS and name not in header and not (name == "C" and query.recomputes_carbon):
            what = f"no column of {str(path)!r} is known to be {LETTERS[name]}"
            raise HarnessError(f"{what}; name it: {_listed(header)}")
    if query.recomputes_carbon:
        energy = [layout.letters["E"]] if "E" in layout.letters else []
        names = [name for name in [*names, *energy, "carbon_intensity"] if name in header or name not in _COMPUTED]
    return list(dict.fromkeys(names))


_COMPUTED = ("C", "carbon", "carbon_intensity")


def _require(path: Path, header: Sequence[str], names: Sequence[str]) -> None:
    for name in names:
        if name not in header:
            raise unknown("column", name, header, hint=f"{str(path)!r} has {_listed(header)}")
        if (times := list(header).count(name)) > 1:
            raise HarnessError(f"{str(path)!r} has {times} columns called {name!r}; rename them")


def _frame(
    path: Path,
    raw: pandas.DataFrame,
    chosen: Mapping[str, str],
    groups: Sequence[str],
    optional: Sequence[str],
    resources: Sequence[str],
    performance_range: tuple[float, float],
) -> pandas.DataFrame:
    import pandas

    models = raw[chosen["id"]].astype(str).to_numpy(dtype=object)
    columns: dict[str, Any] = {"model": models, "group": _labels(raw, groups)}
    columns |= {name: raw[name].to_numpy(dtype=object) for name in optional}
    low, high = performance_range
    performance = to_numbers(raw, chosen["performance"], models)
    columns["performance"] = performance if (low, high) == (0, 1) else (performance - low) / (high - low)
    columns |= {name: to_numbers(raw, name, models) for name in resources}
    frame: pandas.DataFrame = pandas.DataFrame(columns)
    # Spreadsheets write rows of nothing but delimiters after the last one.
    blank = (frame["model"].str.strip() == "") & frame[["performance", *resources]].isna().all(axis=1)
    if blank.all():
        raise HarnessError(f"{str(path)!r} has a header but no rows")
    return frame[~blank] if blank.any() else frame


def _beside(
    frame: pandas.DataFrame, raw: pandas.DataFrame, bars: Mapping[str, str], columns: Sequence[str]
) -> pandas.DataFrame:
    """Add the error bars and the columns that are carried along."""
    rows = raw.loc[frame.index]
    names = frame["model"].to_numpy(dtype=object)
    more: dict[str, Any] = {error_bar(name): to_numbers(rows, bar, names) for name, bar in bars.items()}
    more |= {carried(name): rows[name].to_numpy(dtype=object) for name in columns}
    return frame.assign(**more).reset_index(drop=True) if more or len(rows) < len(raw) else frame


def _labels(raw: pandas.DataFrame, groups: Sequence[str]) -> npt.NDArray[Any] | str:
    if not groups:
        return "all"
    labels = raw[groups[0]].astype(str)
    for name in groups[1:]:
        labels = labels + ", " + raw[name].astype(str)
    return labels.to_numpy(dtype=object)


def _repeats(frame: pandas.DataFrame) -> tuple[tuple[str | None, str], ...]:
    """A warning where one model has several rows in a group, and nothing says that they are seeds."""
    if "seed" in frame:
        return ()
    repeated = frame.duplicated(["model", "group"])
    if not repeated.any():
        return ()
    model = frame["model"][repeated].iloc[0]
    told = (
        f"{int(repeated.sum())} rows repeat a name, such as {model!r}, and are ranked each on its own;"
        " a column 'seed' would join them, --group COLUMN tell them apart"
    )
    return ((None, told),)


def _with_carbon(table: Table, layout: Layout, query: Query) -> Table:
    table = add_carbon(table, query)
    if not layout.pue_included or query.pue is None:
        return table
    told = "the energies of this file include the PUE already; --pue multiplies it in once more"
    return evolve(table, warnings=(*table.warnings, ("carbon", told)))


def _listed(header: Sequence[str]) -> str:
    return ", ".join(plain(name) for name in header[:12]) + (", ..." if len(header) > 12 else "")
