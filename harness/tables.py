"""Rows to a table on the terminal, JSON, CSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.output_file import write_file

FORMATS = ("table", "json", "csv", "parquet")
Rows = Sequence[Mapping[str, Any]]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def plain(text: object) -> str:
    """Return *text* on one line and without control characters, so that it can steer no terminal."""
    return _CONTROL.sub(" ", str(text))


def render_json(document: object) -> str:
    """Return *document* as strict JSON; numbers that are not finite become null."""
    return json.dumps(_strict(document), indent=2, allow_nan=False)


def render_csv(rows: Rows, columns: Sequence[str]) -> str:
    """Return CSV with a header. Text that a spreadsheet would run as a formula gets a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[_csv_cell(row.get(column)) for column in columns] for row in rows])
    return out.getvalue()


def print_table(rows: Rows, columns: Sequence[str], title: str | None = None) -> None:
    """Print *rows* on stdout; numbers to the right, missing values as a dash. Not on a terminal, nothing is cut."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    numeric = [any(_is_number(row.get(column)) for row in rows) for column in columns]
    names = [plain(column) for column in columns]
    if sys.stdout.isatty():
        _print_on_terminal(cells, names, numeric, title)
    else:
        # Ten thousand rows take rich seconds.
        lines = _laid_out([names, *cells], numeric)
        sys.stdout.write("".join(f"{line}\n" for line in ([title] if title else []) + lines))


def _print_on_terminal(
    cells: Sequence[Sequence[str]], names: Sequence[str], numeric: Sequence[bool], title: str | None
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name, to_the_right in zip(names, numeric, strict=True):
        table.add_column(Text(name), justify="right" if to_the_right else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    Console(file=sys.stdout, highlight=False).print(table)


def _laid_out(rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> list[str]:
    """The *rows* as lines with their columns below each other, those that are *numeric* to the right."""
    from rich.cells import cell_len

    columns = []
    for column, to_the_right in zip(zip(*rows, strict=True), numeric, strict=True):
        sizes = [cell_len(cell) for cell in column]
        widest = max(sizes)
        gaps = [" " * (widest - size) for size in sizes]
        columns.append([gap + cell if to_the_right else cell + gap for cell, gap in zip(column, gaps, strict=True)])
    return ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]


def write_table(
    rows: Rows, columns: Sequence[str], format: str, output: Path | None = None, title: str | None = None
) -> None:
    """Write *rows* in *format* (one of `FORMATS`) to the file *output*, or to stdout.

    Raises HarnessError where the file cannot be written or the format needs one.
    """
    if format == "parquet":
        return write_parquet(rows, columns, output)
    if format == "table" and output is None:
        return print_table(rows, columns, title)
    if format == "table":
        raise HarnessError("--format table is for the terminal; write a file with --format csv, json or parquet")

    chosen = [{column: row.get(column) for column in columns} for row in rows]
    text = render_csv(rows, columns) if format == "csv" else render_json(chosen) + "\n"
    if output is None:
        sys.stdout.write(text)
        return None
    return write_file(output, text.encode())


def write_text(text: str, output: Path | None) -> None:
    """Write *text* and a newline to *output* or stdout."""
    if output is None:
        print(text)
    else:
        write_file(output, f"{text}\n".encode())


def write_parquet(rows: Rows, columns: Sequence[str], output: Path | None) -> None:
    """Write *rows* to the Parquet file *output*; errors as `write_table`."""
    if output is None:
        raise HarnessError("--format parquet needs a file: add -o FILE")
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise HarnessError("Parquet needs pyarrow: pip install 'pepr-harness[parquet]'") from error
    import pandas

    buffer = io.BytesIO()
    pandas.DataFrame([[row.get(column) for column in columns] for row in rows], columns=list(columns)).to_parquet(
        buffer
    )
    write_file(output, buffer.getvalue())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    if isinstance(value, (list, tuple)):
        return plain(", ".join(map(str, value)))
    return plain(value)


def _csv_cell(value: object) -> object:
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    if isinstance(value, Mapping):
        value = json.dumps(_strict(value))
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
