"""How a comparison of two runs is written: for people, as JSON, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.comparing.judged import BROKEN, KEPT, MISSING, UNDECIDED, Judged
from harness.comparing.runs import RunComparison
from harness.pepr import Codes
from harness.quantities import format_quantity
from harness.tables import print_table, render_json, write_table, write_text

_NAMED = 5
# More rows nobody reads, and 10,000 take seconds to be laid out.
_MOST = 500
# Rows without a verdict are there only where there are no thresholds; those that keep them are not shown.
_SHOWN_FIRST = (None, BROKEN, UNDECIDED, MISSING)


def write_runs(comparison: RunComparison, format: str, output: Path | None) -> None:
    """Write *comparison* in *format*, one of `tables.FORMATS`, to *output* or stdout.

    The table for people has, where there are thresholds, only the rows that do not keep them, broken ones first, and of
    very many rows the first.
    """
    if format == "json":
        return write_text(render_json(comparison.document()), output)
    if format != "table" or output is not None:
        return write_table(comparison.rows, list(comparison.rows[0]), format, output)

    found = [(one, one.having(verdict)) for verdict in _SHOWN_FIRST for one in comparison.judged]
    print(f"A: {comparison.names[0]}; B: {comparison.names[1]}")
    if rows := _first(found, _MOST):
        print_table([_shown(row) for row in rows], _columns(rows))
    if (more := sum(len(chosen) for _, chosen in found) - len(rows)) > 0:
        print(f"... and {more:,} rows more; --format csv has all")
    for one in comparison.judged if comparison.thresholds else ():
        counts = [(len(one.having(verdict)), verdict) for verdict in (KEPT, BROKEN, UNDECIDED, MISSING)]
        print(f"{one.threshold}: {', '.join(f'{count} {verdict}' for count, verdict in counts if count)}")
    return None


def broken_lines(comparison: RunComparison) -> list[str]:
    """Return one line for each threshold that is broken: by which rows, and by how much."""
    found = [(one, one.having(BROKEN)) for one in comparison.judged]
    return [
        f"{one.threshold} is broken by {_named(one, rows, lambda row: str(_change(row)))}"
        for one, rows in found
        if len(rows)
    ]


def unsure_lines(comparison: RunComparison) -> list[str]:
    """Return one line for each threshold and verdict that lets a row pass without its keeping the threshold."""
    found = [(one, verdict, one.having(verdict)) for one in comparison.judged for verdict in (UNDECIDED, MISSING)]
    return [
        f"{one.threshold} is {verdict} of {_named(one, rows, lambda row: str(row['reason'] or _change(row)))}"
        for one, verdict, rows in found
        if len(rows)
    ]


def _first(found: Iterable[tuple[Judged, Codes]], most: int) -> list[dict[str, Any]]:
    """The first *most* rows of those *found*."""
    rows: list[dict[str, Any]] = []
    for one, chosen in found:
        rows += one.rows(chosen[: most - len(rows)])
    return rows


def _named(one: Judged, rows: Codes, about: Callable[[Mapping[str, Any]], str]) -> str:
    """The models of the first *rows*, each with what is to be told *about* it, and how many there are more."""
    told = [f"{row['model']} ({about(row)})" for row in one.rows(rows[:_NAMED])]
    return ", ".join(told + [f"{len(rows) - _NAMED} more"] * (len(rows) > _NAMED))


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    columns = ["model", "group", "measure", "A", "B", "change", "interval", "seeds", "threshold", "verdict", "reason"]
    empty = {name for name in ("threshold", "verdict", "reason", "interval") if all(row[name] is None for row in rows)}
    if len({row["group"] for row in rows}) == 1:
        empty.add("group")
    return [name for name in columns if name not in empty]


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("model", "group", "measure", "seeds", "threshold", "verdict", "reason")}
    for side in ("a", "b"):
        shown[side.upper()] = None if row[side] is None else format_quantity(row[side], row["unit"])
    interval = "no interval" if row["interval"] is None else f"{_end(row['low'])} to {_end(row['high'])}"
    how = f" ({row['interval']})" if row["interval"] else ""
    return shown | {"change": _change(row), "interval": None if row["change"] is None else interval + how}


def _end(value: float | None) -> str:
    return "any" if value is None else f"{value:+.3g}"


def _change(row: Mapping[str, Any]) -> str | None:
    if row["change"] is None:
        return None
    unit = f" {row['change_in']}" if row["change_in"] else ""
    return f"{row['change']:+.4g}{unit}"
