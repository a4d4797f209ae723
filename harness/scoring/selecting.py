"""Which models fit a budget, and which of those is best."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen

from harness.quantities import format_quantity, parse_quantity
from harness.scoring.ranking import Request, read_request, score_request
from harness.scoring.score import Score
from harness.scoring.score_report import shown_columns, shown_rows, warn
from harness.sources.table import Table
from harness.tables import print_table, render_json, write_table, write_text

if TYPE_CHECKING:
    import pandas

# harness.select/1: the first.
SCHEMA = "harness.select/1"


@frozen(eq=False)
class Selection:
    """The rows of a score that fit `budgets` (resource -> the most it may be, in its unit).

    `score` holds only the rows that fit; their scores and bounds are those of all `total` rows that have a
    performance. `lacking` counts those that fit nothing because a reading is missing.
    """

    score: Score
    budgets: Mapping[str, float]
    total: int
    lacking: int
    cheapest: Mapping[str, float]

    def best(self) -> dict[str, dict[str, str | None]]:
        """Return for each group the model that is best by PePR, and the one that is best by performance."""
        groups = self.score.table.groupby("group", sort=False)
        columns = ("pepr", "performance")
        return {str(name): {column: _first(rows, column) for column in columns} for name, rows in groups}

    def document(self) -> dict[str, Any]:
        """Return the JSON document `harness.select/1`: rows as in `harness.score/1`."""
        scored = self.score.document()
        budgets = {name: {"limit": limit, "unit": self.score.units.get(name)} for name, limit in self.budgets.items()}
        counts = {"fit": len(self.score.table), "of": self.total, "lacking": self.lacking}
        return scored | {"schema": SCHEMA, "budgets": budgets, **counts, "best": self.best(), "rows": scored["rows"]}

    def told(self) -> str:
        """Return one line: how many fit what."""
        return f"{len(self.score.table)} of {self.total} fit {_limits(self.budgets, self.score.units)}"

    def refused(self) -> str:
        """Return one line for when nothing fits: the least that each budget would have to be."""
        units = self.score.units
        least = ", ".join(f"{name} {format_quantity(value, units[name])}" for name, value in self.cheapest.items())
        return f"{self.told()}; the least that any needs: {least or 'not known, the readings are missing'}"


def select(source: Path, budgets: Mapping[str, str], request: Request) -> Selection:
    """Return the rows of *source* that fit *budgets* (resource or letter -> "30Wh").

    A row that lacks a reading of a budget's resource does not fit it. Raises HarnessError as `ranking.rank` does, and
    for a budget that is no quantity or whose unit does not suit.
    """
    request = evolve(request, also=tuple(budgets))
    table = read_request(source, request)
    return fit(score_request(table, request), _parsed(budgets, table))


def fit(score: Score, budgets: Mapping[str, float]) -> Selection:
    """Return the rows of *score* that fit *budgets*, resource -> the most it may be, in its unit."""
    rows = score.table[score.table["performance"].notna()]
    needs = rows[list(budgets)].to_numpy(dtype=np.float64)
    fits = (needs <= np.array(list(budgets.values()))).all(axis=1)
    lacking = int(np.isnan(needs).any(axis=1).sum())
    cheapest = {name: float(rows[name].min()) for name in budgets if rows[name].notna().any()}
    kept = evolve(score, table=rows[fits].reset_index(drop=True))
    return Selection(kept, budgets, len(rows), lacking, cheapest)


def write_selection(selection: Selection, format: str, output: Path | None) -> None:
    """Write *selection* in *format* to *output* or stdout; warnings, and in other formats than a table, to stderr."""
    warn(selection.score)
    if selection.lacking:
        print(f"harness: warning: {selection.lacking} rows lack a reading and cannot be said to fit", file=sys.stderr)
    if format == "json":
        return write_text(render_json(selection.document()), output)
    if format != "table" or output is not None:
        return write_table(selection.score.flat_rows, selection.score.columns, format, output)
    if selection.score.table.empty:
        return None

    print_table(shown_rows(selection.score), shown_columns(selection.score))
    for line in _best_lines(selection):
        print(line)
    return print(selection.told())


def _parsed(budgets: Mapping[str, str], table: Table) -> dict[str, float]:
    names = {asked: table.resolve(asked) for asked in budgets}
    return {names[asked]: parse_quantity(text, table.units.get(names[asked])) for asked, text in budgets.items()}


def _best_lines(selection: Selection) -> list[str]:
    best = selection.best()
    return [
        f"best by {by}{f' in {group}' if len(best) > 1 else ''}: {models[column] or 'none: no row is scored'}"
        for group, models in best.items()
        for by, column in (("PePR", "pepr"), ("performance", "performance"))
    ]


def _first(rows: pandas.DataFrame, column: str) -> str | None:
    """The model with the largest value; the first, and so the better by PePR, on ties."""
    values = rows[column].to_numpy(dtype=np.float64)
    return None if np.isnan(values).all() else str(rows["model"].iloc[int(np.nanargmax(values))])


def _limits(budgets: Mapping[str, float], units: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} <= {format_quantity(limit, units.get(name))}" for name, limit in budgets.items())
