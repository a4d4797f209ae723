"""How a comparison of two runs is written: for people, as JSON, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.comparing.runs import BROKEN, KEPT, MISSING, UNDECIDED, RunComparison
from harness.quantities import format_quantity
from harness.tables import print_table, render_json, write_table, write_text

_NAMED = 5
# More rows nobody reads, and 10,000 take seconds to be laid out.
_MOST = 500


def write_runs(comparison: RunComparison, format: str, output: Path | None) -> None:
    """Write *comparison* in *format*, one of `tables.FORMATS`, to *output* or stdout.

    The table for people has, where there are thresholds, only the rows that do not keep them, broken ones first, and of
    very many rows the first.
    """
    if format == "json":
        return write_text(render_json(comparison.document()), output)
    if format != "table" or output is not None:
        return write_table(comparison.rows, list(comparison.rows[0]), format, output)

    rows = [row for row in comparison.rows if row["verdict"] != KEPT]
    rows.sort(key=lambda row: (None, BROKEN, UNDECIDED, MISSING).index(row["verdict"]))
    print(f"A: {comparison.names[0]}; B: {comparison.names[1]}")
    if rows:
        print_table([_shown(row) for row in rows[:_MOST]], _columns(rows))
    if len(rows) > _MOST:
        print(f"... and {len(rows) - _MOST:,} rows more; --format csv has all")
    for threshold in comparison.thresholds:
        counts = [(comparison.count(threshold, verdict), verdict) for verdict in (KEPT, BROKEN, UNDECIDED, MISSING)]
        print(f"{threshold}: {', '.join(f'{count} {verdict}' for count, verdict in counts if count)}")
    return None


def broken_lines(comparison: RunComparison) -> list[str]:
    """Return one line for each threshold that is broken: by which rows, and by how much."""
    lines = []
    for threshold in comparison.broken:
        rows = [row for row in comparison.rows if row["threshold"] == threshold and row["verdict"] == BROKEN]
        told = [f"{row['model']} ({_change(row)})" for row in rows[:_NAMED]]
        told += [f"{len(rows) - _NAMED} more"] if len(rows) > _NAMED else []
        lines.append(f"{threshold} is broken by {', '.join(told)}")
    return lines


def unsure_lines(comparison: RunComparison) -> list[str]:
    """Return one line for each threshold and verdict that lets a row pass without its keeping the threshold."""
    lines = []
    for threshold in comparison.thresholds:
        judged = [row for row in comparison.rows if row["threshold"] == threshold]
        for verdict in (UNDECIDED, MISSING):
            rows = [row for row in judged if row["verdict"] == verdict]
            told = [f"{row['model']} ({row['reason'] or _change(row)})" for row in rows[:_NAMED]]
            told += [f"{len(rows) - _NAMED} more"] if len(rows) > _NAMED else []
            lines += [f"{threshold} is {verdict} of {', '.join(told)}"] if told else []
    return lines


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
