"""Curves of PePR of many models: scored and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen

from harness.pepr import Floats, cohort_bounds, group_codes, normalize
from harness.scoring.curves import curve, peak, split
from harness.tables import render_json, write_table, write_text

# harness.curve/1: the first.
SCHEMA = "harness.curve/1"
COLUMNS = ("model", "group", "seed", "performance", "pepr", "at", "R", "start", "gain", "loss", "reason")
# A curve over epochs only counts them: nothing was measured.
EPOCH = "epoch"


@frozen(eq=False)
class Curve:
    """The performance of one trial after each of its `steps`, and what it had cost by then.

    `costs` are cumulative, in the resource's unit; `reason` says why there is no curve.
    """

    model: str
    group: str
    seed: int | None = None
    steps: tuple[int, ...] = ()
    performance: Floats = field(factory=lambda: np.empty(0))
    costs: Floats = field(factory=lambda: np.empty(0))
    reason: str | None = None


@frozen(eq=False)
class Curves:
    """The curves of a source over one `resource`, in `unit` where that is known."""

    curves: tuple[Curve, ...]
    resource: str
    unit: str | None = None

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return the smallest and largest cost of any point in each group: there R is 0 and 1."""
        known = [one for one in self.curves if one.reason is None]
        if not known:
            return {}
        codes, labels = group_codes([one.group for one in known for _ in one.steps])
        found = cohort_bounds(np.concatenate([one.costs for one in known]), codes)
        return {str(label): (float(low), float(high)) for label, (low, high) in zip(labels, found, strict=True)}

    def rows(self, points: bool = False) -> list[dict[str, Any]]:
        """Return one row of `COLUMNS` for each curve, each group's best first; with *points*, those as well.

        `pepr` is the curve's scalar, its largest value, `at` the step and `R` the cost where it is reached; `start` +
        `gain` - `loss` is its last value.
        """
        bounds = self.bounds()
        order = list(dict.fromkeys(one.group for one in self.curves))
        rows = [_row(one, bounds.get(one.group), points) for one in self.curves]
        return sorted(rows, key=lambda row: (order.index(row["group"]), row["pepr"] is None, -(row["pepr"] or 0.0)))

    def document(self) -> dict[str, Any]:
        """Return the JSON document `harness.curve/1`."""
        bounds = {group: list(pair) for group, pair in self.bounds().items()}
        resource = {"name": self.resource, "unit": self.unit, "bounds": bounds}
        return {"schema": SCHEMA, "resource": resource, "rows": self.rows(points=True)}


def write_curves(curves: Curves, format: str, output: Path | None) -> None:
    """Write *curves* in *format* to *output* or stdout. Raises HarnessError if it cannot."""
    if format == "json":
        return write_text(render_json(curves.document()), output)
    rows = curves.rows()
    told = [name for name in COLUMNS if any(row[name] is not None for row in rows)]
    return write_table(rows, told if format == "table" else COLUMNS, format, output, f"PePR over {curves.resource}")


def incomplete(performance: Floats, costs: Floats, resource: str) -> str | None:
    """Return why these points are no curve, or None if they are."""
    for name, values in (("performance", performance), (resource, costs)):
        lost = np.flatnonzero(~np.isfinite(values))
        if len(lost):
            return f"no {name} after epoch {lost[0] + 1}"
    return None if len(performance) else "no epochs"


def _row(one: Curve, bounds: tuple[float, float] | None, points: bool) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"model": one.model, "group": one.group, "seed": one.seed}
    if one.reason is not None or bounds is None:
        return row | {"reason": one.reason} | ({"points": []} if points else {})

    cost = normalize(one.costs, np.array([bounds]))
    scores = curve(one.performance, cost)
    top = peak(scores, cost)
    start, gain, loss = split(one.performance, cost)
    row |= {"performance": float(one.performance[-1]), "pepr": float(scores[top]), "at": one.steps[top]}
    row |= {"R": float(cost[top]), "start": start, "gain": gain, "loss": loss}
    return row | ({"points": _points(one, cost, scores)} if points else {})


def _points(one: Curve, cost: Floats, scores: Floats) -> list[dict[str, float]]:
    names = ("step", "performance", "value", "R", "pepr")
    columns = (one.steps, one.performance.tolist(), one.costs.tolist(), cost.tolist(), scores.tolist())
    return [dict(zip(names, point, strict=True)) for point in zip(*columns, strict=True)]
