"""How a score is written: for people, as JSON, CSV or Parquet, with its warnings on stderr."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.quantities import LETTERS, format_quantity
from harness.scoring.score import PEPR, Score
from harness.tables import print_table, render_json, write_table, write_text


def warn(score: Score) -> None:
    """Tell what makes the *score* doubtful on stderr."""
    for text in score.warnings:
        print(f"harness: warning: {text}", file=sys.stderr)


def write_score(score: Score, format: str, output: Path | None) -> None:
    """Write *score* in *format*, one of `tables.FORMATS`, to *output* or stdout. Raises HarnessError if it cannot."""
    if format == "json":
        return write_text(render_json(score.document()), output)
    if format != "table" or output is not None:
        return write_table(score.flat_rows, score.columns, format, output)

    print_table(shown_rows(score), shown_columns(score))
    for line in [*bounds_lines(score), *([score.stability.told()] if score.stability else [])]:
        print(line)
    return None


def shown_columns(score: Score) -> list[str]:
    """Return the columns of the table for people; those that say nothing are left out."""
    table = score.table
    columns = ["model"]
    columns += ["group"] if table["group"].nunique() > 1 else []
    columns += ["performance", *[_title(score, name) for name in score.weights]]
    columns += [f"PePR-{letter}" for letter in score.alone] or [_score_title(score)]
    columns += ["95 % interval", "seeds"] if (table["seeds"] > 1).any() else []
    columns += ["first in", "beats next"] if score.stability else []
    columns += ["front"] if "pareto" in table else []
    return columns + (["reason"] if table["reason"].notna().any() else [])


def shown_rows(score: Score) -> list[dict[str, Any]]:
    """Return the rows of the table for people."""
    return [_shown(score, row) for row in score.flat_rows]


def bounds_lines(score: Score) -> list[str]:
    """Return one line for each resource and group: the bounds that its costs were normalised with, if any."""
    if score.bounds is None:
        return []
    lines = []
    for name in score.weights:
        for group, (low, high) in score.bounds.groups.get(name, {}).items():
            where = f" of {group}" if score.table["group"].nunique() > 1 else ""
            unit = score.units.get(name)
            span = f"{format_quantity(low, unit)} to {format_quantity(high, unit)}"
            lines.append(f"bounds ({score.bounds.normalization}) of {name}{where}: {span}")
    return lines


def _shown(score: Score, row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("model", "group", "performance", "seeds", "reason")}
    shown |= {_title(score, name): _for_people(row[name], score.units.get(name)) for name in score.weights}
    shown |= {f"PePR-{letter}": row[f"pepr_{letter}"] for letter in score.alone} or {
        _score_title(score): row[score.name]
    }
    low, high = row[f"{score.name}_low"], row[f"{score.name}_high"]
    how = {"t": " (t)", "bootstrap": " (bootstrap)"}.get(row.get("interval") or "", "")
    shown["95 % interval"] = "none: one seed" if row["seeds"] == 1 else None
    if low is not None:
        ends = f"{low:.4f} to {high:.4f}" if score.name == PEPR else f"{low:.4g} to {high:.4g}"
        shown["95 % interval"] = ends + how
    shown["first in"] = _of_hundred(row.get("probability_first"))
    shown["beats next"] = _of_hundred(row.get("probability_beats_next"))
    if row.get("pareto"):
        shown["front"] = "knee" if row["knee"] else "front"
    return shown


def _of_hundred(chance: float | None) -> str | None:
    """ "71 of 100"; what is neither never nor always is not rounded to it."""
    if chance is None or chance in (0.0, 1.0):
        return None if chance is None else f"{chance * 100:.0f} of 100"
    return "<1 of 100" if chance < 0.005 else ">99 of 100" if chance > 0.995 else f"{chance * 100:.0f} of 100"


def _title(score: Score, name: str) -> str:
    unit = score.units.get(name)
    return f"{name} [{'MiB' if unit == 'B' else unit}]" if unit else name


def _for_people(value: float | None, unit: str | None) -> float | None:
    """Bytes as MiB; files keep bytes."""
    return value / 2**20 if value is not None and unit == "B" else value


def _score_title(score: Score) -> str:
    if score.name != PEPR:
        return f"{score.name} [{score.unit}]" if score.unit else score.name
    letters = {name: letter for letter, name in LETTERS.items()}
    names: Sequence[str] = [name for name, weight in score.weights.items() if weight > 0]
    return f"PePR-{letters[names[0]]}" if len(names) == 1 and names[0] in letters else "PePR"
