"""Two runs of the same trials side by side, and the thresholds that a change between them breaks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from harness.comparing.changes import Changes, changes_of
from harness.comparing.surroundings import differences
from harness.comparing.thresholds import Threshold
from harness.comparing.twin_values import TwinValues, default_names, is_column, twin_values
from harness.comparing.twins import Twins, read_twins
from harness.errors import HarnessError
from harness.scoring.ranking import Request
from harness.scoring.scored_rows import lost_seeds
from harness.scoring.seeds import join_seeds
from harness.sources.table import Table

# harness.compare-runs/1: the first.
SCHEMA = "harness.compare-runs/1"
KEPT, UNDECIDED, BROKEN, MISSING = "kept", "undecided", "broken", "missing"


@frozen(eq=False)
class RunComparison:
    """The changes of each row and measure, as the JSON document has them, and what differs around the runs."""

    names: tuple[str, str]
    rows: list[dict[str, Any]]
    thresholds: tuple[str, ...]
    differences: tuple[str, ...]
    warnings: tuple[str, ...]

    def count(self, threshold: str, verdict: str) -> int:
        """Return of how many rows the *verdict* on *threshold* is that."""
        return sum(row["threshold"] == threshold and row["verdict"] == verdict for row in self.rows)

    @property
    def broken(self) -> list[str]:
        """The thresholds that some row breaks."""
        return [threshold for threshold in self.thresholds if self.count(threshold, BROKEN)]

    def document(self) -> dict[str, Any]:
        """Return the JSON document `harness.compare-runs/1`."""
        about = {"schema": SCHEMA, "a": self.names[0], "b": self.names[1], "differences": list(self.differences)}
        return about | {"thresholds": list(self.thresholds), "broken": self.broken, "rows": self.rows}


def compare_runs(
    first: Path, second: Path, request: Request, thresholds: Sequence[Threshold] = (), *, strict: bool = False
) -> RunComparison:
    """Return how each row changed from the run *first* to *second*: in what *thresholds* name, else in all measures.

    A row breaks a threshold only if all that its change may be does: the interval over its seeds and the error bars of
    its readings. With *strict*, and where neither is known, the change alone decides. Raises HarnessError for runs that
    share no trial, and for a threshold that can be judged in no row.
    """
    thresholds = list(dict.fromkeys(thresholds))
    columns = [threshold.name for threshold in thresholds if is_column(threshold.name)]
    twins = read_twins(first, second, request, columns)
    rows: list[dict[str, Any]] = []
    asked = [threshold.name for threshold in thresholds] or default_names(twins, request)
    measures = {name: twin_values(twins, name, request) for name in asked}
    for threshold in thresholds:
        judged = _judged(twins, measures[threshold.name], threshold, strict)
        if all(row["verdict"] == MISSING for row in judged):
            raise HarnessError(
                f"--fail-if {threshold.text!r} can be judged in no row: {judged[0]['model']}: {judged[0]['reason']}"
            )
        rows += judged
    if not thresholds:
        for values in measures.values():
            rows += list(_rows(twins, values, changes_of(twins.a.frame, values, values.relative), values.relative))
    names = tuple(dict.fromkeys(threshold.text for threshold in thresholds))
    told = tuple(differences(twins))
    return RunComparison(
        (str(first), str(second)), rows, names, told, tuple(_warnings(first, second, twins, measures.values()))
    )


def _judged(twins: Twins, values: TwinValues, threshold: Threshold, strict: bool) -> list[dict[str, Any]]:
    """The rows with the verdict of one threshold on each."""
    threshold = threshold.in_unit_of(values.unit)
    changes = changes_of(twins.a.frame, values, threshold.percent)
    sure = threshold.nearest(changes.low, changes.high)
    sure = changes.change if strict else np.where(np.isnan(sure), changes.change, sure)
    verdicts = np.where(threshold.breaks(sure), BROKEN, np.where(threshold.breaks(changes.change), UNDECIDED, KEPT))
    verdicts = np.where(np.isnan(changes.change), MISSING, verdicts)
    rows = _rows(twins, values, changes, threshold.percent)
    return [
        row | {"threshold": threshold.text, "verdict": verdict}
        for row, verdict in zip(rows, verdicts.tolist(), strict=True)
    ]


def _rows(twins: Twins, values: TwinValues, changes: Changes, percent: bool) -> Iterator[dict[str, Any]]:
    frame, lines = twins.a.frame, changes.lines
    models, groups = (frame[name].to_numpy(dtype=object)[lines.first] for name in ("model", "group"))
    counted = lines.counted.tolist()
    numbers = [_plain(column) for column in (changes.a, changes.b, changes.change, changes.low, changes.high)]
    about = {"measure": values.name, "unit": values.unit, "change_in": "%" if percent else values.unit}
    for row, (a, b, change, low, high) in enumerate(zip(*numbers, strict=True)):
        yield {
            "model": str(models[row]),
            "group": str(groups[row]),
            **about,
            "a": a,
            "b": b,
            "change": change,
            "low": low,
            "high": high,
            "seeds": counted[row],
            "interval": None if change is None else changes.method[row],
            "threshold": None,
            "verdict": None,
            "reason": None if change is not None else _why_missing(twins, values, int(lines.first[row]), a, b),
        }


def _why_missing(twins: Twins, values: TwinValues, line: int, a: float | None, b: float | None) -> str:
    for name, table, value in (("first", twins.a, a), ("second", twins.b, b)):
        if value is None:
            return f"{name} run: {_why(table, values, line)}"
    return "no seed has both" if a else "the first run has 0, of which nothing is a percentage"


def _why(table: Table, values: TwinValues, line: int) -> str:
    trial = table.frame["reason"].iloc[line] if "reason" in table.frame else None
    for part in values.parts or (values.name,):
        if part not in table.frame or not np.isfinite(table.frame[part].iloc[line]):
            gap = table.gaps[part][line] if part in table.gaps else None
            return gap or (trial if isinstance(trial, str) and trial else f"no {part}")
    return "its cost lies beside the bounds of the first run, which are one point"


def _warnings(first: Path, second: Path, twins: Twins, measures: Collection[TwinValues]) -> Iterator[str]:
    for path, alone in ((first, twins.only_a), (second, twins.only_b)):
        if alone:
            yield f"trials in {str(path)!r} only, which are left out: {alone}"
    told = {None, *(name for values in measures for name in (values.name, *values.parts))}
    for path, table in ((first, twins.a), (second, twins.b)):
        yield from (f"{str(path)!r}: {text}" for resource, text in table.warnings if resource in told)
    for values in measures:
        lines = join_seeds(twins.a.frame, np.isfinite(values.a.value) & np.isfinite(values.b.value))
        models = {"model": twins.a.frame["model"].to_numpy(dtype=object)[lines.first]}
        yield from (f"{values.name}: {text}" for text in lost_seeds(models, lines, "a value in both runs"))


def _plain(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    found = values.astype(object)
    found[~np.isfinite(values)] = None
    plain: list[float | None] = found.tolist()
    return plain
