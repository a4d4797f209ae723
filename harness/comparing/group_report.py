"""How a comparison of groups is written: for people, as JSON, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.comparing.group_tests import TESTS
from harness.comparing.groups import Comparison
from harness.tables import print_table, render_json, write_table, write_text

_STATISTICS = {"mann-whitney": "U", "wilcoxon": "W"}


def write_comparison(comparison: Comparison, format: str, output: Path | None) -> None:
    """Write *comparison* in *format*, one of `tables.FORMATS`, to *output* or stdout."""
    if format == "json":
        return write_text(render_json(comparison.document()), output)
    if format != "table" or output is not None:
        flat = [flat_row(row) for row in comparison.rows]
        return write_table(flat, list(flat[0]), format, output)

    print(f"A: {comparison.names[0]}; B: {comparison.names[1]}")
    shown = [_shown(row) for row in comparison.rows]
    columns = list(dict.fromkeys(name for row in shown for name in row))
    empty = {name for name in ("reason",) if all(row[name] is None for row in shown)}
    if len({row["group"] for row in comparison.rows}) == 1:
        empty.add("group")
    print_table(shown, [name for name in columns if name not in empty])
    return print(
        "A - B with its 95 % interval; g: Hedges' g; A > B: how often one of A is above one of B; "
        f"p (Holm): corrected over {sum(row['p'] is not None for row in shown)} questions"
    )


def flat_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as CSV and Parquet have it: `a_mean`, `welch_p` and so on, one value for each column."""
    flat = {name: value for name, value in row.items() if name not in ("a", "b", "tests", "reason")}
    for side in ("a", "b"):
        flat |= {f"{side}_{name}": value for name, value in row[side].items()}
    for test in TESTS:
        name = test.replace("-", "_")
        flat |= {f"{name}_{key}": row["tests"].get(test, {}).get(key) for key in ("statistic", "df", "p")}
    return flat | {"reason": row["reason"]}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    tested = row["tests"].get(row["test"] or "", {})
    # Bytes as MiB; files keep bytes.
    unit, size = ("MiB", 2.0**20) if row["unit"] == "B" else (row["unit"], 1.0)
    numbers = (row["a"]["mean"], row["b"]["mean"], *[row[f"difference{end}"] for end in ("", "_low", "_high")])
    a, b, difference, low, high = [None if number is None else number / size for number in numbers]
    statistic = tested.get("statistic")
    sizes = f"{row['a']['n']}, {row['b']['n']} {row['observations']}"
    return {
        "group": row["group"],
        "measure": f"{row['measure']} [{unit}]" if unit else row["measure"],
        "n": sizes,
        "A": a,
        "B": b,
        "A - B": difference,
        "95 % interval": None if low is None or high is None else f"{low:.4g} to {high:.4g}",
        "test": row["test"],
        "statistic": None if statistic is None else f"{_STATISTICS.get(row['test'], 't')} = {statistic:.4g}",
        "p": row["p"],
        "p (Holm)": row["p_holm"],
        "g": row["hedges_g"],
        "A > B": row["common_language"],
        "reason": row["reason"],
    }
