"""Two runs of the same trials side by side, and the thresholds that a change between them breaks."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define

from harness.comparing.judged import BROKEN, MISSING, Judged, judge, unjudged
from harness.comparing.surroundings import differences
from harness.comparing.thresholds import Threshold
from harness.comparing.twin_values import TwinValues, default_names, is_column, twin_values
from harness.comparing.twins import Twins, read_twins
from harness.errors import HarnessError
from harness.scoring.ranking import Request
from harness.scoring.scored_rows import lost_seeds
from harness.scoring.seeds import join_seeds

# harness.compare-runs/1: the first.
SCHEMA = "harness.compare-runs/1"


@define(eq=False)
class RunComparison:
    """What each threshold, or where there are none each measure, says of all rows; and what differs around the runs."""

    names: tuple[str, str]
    judged: tuple[Judged, ...]
    differences: tuple[str, ...]
    warnings: tuple[str, ...]

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, as the JSON document has them."""
        return [row for one in self.judged for row in one.rows()]

    @property
    def thresholds(self) -> list[str]:
        """The texts of the thresholds."""
        return [one.threshold for one in self.judged if one.threshold is not None]

    @property
    def broken(self) -> list[str]:
        """The thresholds that some row breaks."""
        return [one.threshold for one in self.judged if one.threshold is not None and len(one.having(BROKEN))]

    def document(self) -> dict[str, Any]:
        """Return the JSON document `harness.compare-runs/1`."""
        about = {"schema": SCHEMA, "a": self.names[0], "b": self.names[1], "differences": list(self.differences)}
        return about | {"thresholds": self.thresholds, "broken": self.broken, "rows": self.rows}


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
    asked = [threshold.name for threshold in thresholds] or default_names(twins, request)
    measures = {name: twin_values(twins, name, request) for name in asked}
    judged = [_judged(twins, measures[threshold.name], threshold, strict) for threshold in thresholds]
    judged = judged or [unjudged(twins, values) for values in measures.values()]
    warnings = _warnings(first, second, twins, measures.values())
    return RunComparison((str(first), str(second)), tuple(judged), tuple(differences(twins)), tuple(warnings))


def _judged(twins: Twins, values: TwinValues, threshold: Threshold, strict: bool) -> Judged:
    """What one threshold says. Raises HarnessError where that is nothing in any row."""
    judged = judge(twins, values, threshold, strict)
    if len(judged.having(MISSING)) == len(judged.verdicts):
        row = next(judged.rows())
        raise HarnessError(f"--fail-if {threshold.text!r} can be judged in no row: {row['model']}: {row['reason']}")
    return judged


def _warnings(first: Path, second: Path, twins: Twins, measures: Collection[TwinValues]) -> Iterator[str]:
    for path, alone in ((first, twins.only_a), (second, twins.only_b)):
        if alone:
            yield f"trials in {str(path)!r} only, which are left out: {alone}"
    asked = {None, *(name for values in measures for name in (values.name, *values.parts))}
    for path, table in ((first, twins.a), (second, twins.b)):
        yield from (f"{str(path)!r}: {text}" for resource, text in table.warnings if resource in asked)
    for values in measures:
        lines = join_seeds(twins.a.frame, np.isfinite(values.a.value) & np.isfinite(values.b.value))
        models = {"model": twins.a.frame["model"].to_numpy(dtype=object)[lines.first]}
        yield from (f"{values.name}: {text}" for text in lost_seeds(models, lines, "a value in both runs"))
