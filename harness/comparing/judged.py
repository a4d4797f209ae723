"""How one measure changed between two runs in all rows, and what a threshold says of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen

from harness.comparing.changes import Changes, changes_of
from harness.comparing.thresholds import Threshold
from harness.comparing.twin_values import TwinValues
from harness.comparing.twins import Twins
from harness.pepr import Codes
from harness.sources.table import Table

KEPT, UNDECIDED, BROKEN, MISSING = "kept", "undecided", "broken", "missing"


@frozen(eq=False)
class Judged:
    """The `changes` of the measure `values`, in `percent` or in its unit, and the `verdicts` `[rows]` on them.

    `threshold` is the text of what judges them. Where nothing does, it is None, and so are the verdicts.
    """

    twins: Twins
    values: TwinValues
    changes: Changes
    percent: bool
    threshold: str | None
    verdicts: npt.NDArray[np.object_]

    def having(self, verdict: str | None) -> Codes:
        """Return the numbers of the rows that have this *verdict*."""
        return np.flatnonzero(self.verdicts == verdict)

    def rows(self, chosen: Codes | None = None) -> Iterator[dict[str, Any]]:
        """Yield all rows, or those *chosen* by their numbers, as the JSON document has them."""
        changes, chosen = self.changes, np.arange(len(self.verdicts)) if chosen is None else chosen
        first = changes.lines.first[chosen]
        models, groups = (self.twins.a.frame[name].to_numpy(dtype=object)[first] for name in ("model", "group"))
        sides = [_plain(column[chosen]) for column in (changes.a, changes.b)]
        numbers = [_plain(column[chosen]) for column in (changes.change, changes.low, changes.high)]
        rest = changes.lines.counted[chosen].tolist(), self.verdicts[chosen].tolist(), first.tolist(), chosen.tolist()
        about = {"measure": self.values.name, "unit": self.values.unit}
        about["change_in"] = "%" if self.percent else self.values.unit
        for model, group, a, b, change, low, high, seeds, verdict, line, row in zip(
            models, groups, *sides, *numbers, *rest, strict=True
        ):
            yield {
                "model": str(model),
                "group": str(group),
                **about,
                "a": a,
                "b": b,
                "change": change,
                "low": low,
                "high": high,
                "seeds": seeds,
                "interval": None if change is None else changes.method[row],
                "threshold": self.threshold,
                "verdict": verdict,
                "reason": None if change is not None else self._why_missing(line, a, b),
            }

    def _why_missing(self, line: int, a: float | None, b: float | None) -> str:
        for name, table, value in (("first", self.twins.a, a), ("second", self.twins.b, b)):
            if value is None:
                return f"{name} run: {_why(table, self.values, line)}"
        return "no seed has both" if a else "the first run has 0, of which nothing is a percentage"


def unjudged(twins: Twins, values: TwinValues) -> Judged:
    """Return the changes of the measure *values*, which nothing judges."""
    changes = changes_of(twins.a.frame, values, values.relative)
    nothing = np.full(len(changes.change), None, dtype=object)
    return Judged(twins, values, changes, values.relative, None, nothing)


def judge(twins: Twins, values: TwinValues, threshold: Threshold, strict: bool) -> Judged:
    """Return the changes of the measure *values* with the verdicts of *threshold*; for *strict*, see `compare_runs`."""
    threshold = threshold.in_unit_of(values.unit)
    changes = changes_of(twins.a.frame, values, threshold.percent)
    sure = threshold.nearest(changes.low, changes.high)
    sure = changes.change if strict else np.where(np.isnan(sure), changes.change, sure)
    verdicts = np.where(threshold.breaks(sure), BROKEN, np.where(threshold.breaks(changes.change), UNDECIDED, KEPT))
    verdicts = np.where(np.isnan(changes.change), MISSING, verdicts)
    return Judged(twins, values, changes, threshold.percent, threshold.text, verdicts.astype(object))


def _why(table: Table, values: TwinValues, line: int) -> str:
    trial = table.frame["reason"].iloc[line] if "reason" in table.frame else None
    for part in values.parts or (values.name,):
        if part not in table.frame or not np.isfinite(table.frame[part].iloc[line]):
            gap = table.gaps[part][line] if part in table.gaps else None
            return gap or (trial if isinstance(trial, str) and trial else f"no {part}")
    return "its cost lies beside the bounds of the first run, which are one point"


def _plain(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    found = values.astype(object)
    found[~np.isfinite(values)] = None
    plain: list[float | None] = found.tolist()
    return plain
