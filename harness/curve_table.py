"""Curves of PePR of many models: read from a store's epochs or a CSV's columns, scored, and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from harness.curves import curve, peak, split
from harness.errors import HarnessError
from harness.pepr import Floats, cohort_bounds, group_codes, normalize
from harness.ranking import write_text
from harness.sources import Query, is_store, read_source
from harness.tables import render_json, write_table

# harness.curve/1: the first.
SCHEMA = "harness.curve/1"
COLUMNS = ("model", "group", "seed", "performance", "pepr", "at", "R", "start", "gain", "loss", "reason")
# A curve over epochs counts them; nothing was measured.
EPOCHS = "epoch"
_NUMBERED = re.compile(r"(.*?)(\d+)")


@frozen(eq=False)
class Curve:
    """The performance of one trial after each of its `steps`, and what it had cost by then.

    `costs` are cumulative, in the resource's unit; `reason` says why there is no curve.
    """

    model: str
    group: str
    seed: int | None
    steps: tuple[int, ...] = ()
    performance: Floats = field(factory=lambda: np.empty(0))
    costs: Floats = field(factory=lambda: np.empty(0))
    reason: str | None = None


@frozen(eq=False)
class Curves:
    """The curves of a source over one `resource` (in `unit`)."""

    curves: tuple[Curve, ...]
    resource: str
    unit: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the JSON document `harness.curve/1`."""
        resource = {"name": self.resource, "unit": self.unit, "bounds": self._bounds()}
        return {"schema": SCHEMA, "resource": resource, "rows": self.rows(points=True)}

    def rows(self, points: bool = False) -> list[dict[str, Any]]:
        """Return one row of `COLUMNS` for each curve, each group's best first; with *points*, those as well.

        `pepr` is the curve's scalar, its largest value, `at` the step and `R` the cost where it is reached; `start` +
        `gain` - `loss` is its last value.
        """
        bounds = self._bounds()
        rows = [_row(one, bounds.get(one.group), points) for one in self.curves]
        groups = {group: place for place, group in enumerate(dict.fromkeys(one.group for one in self.curves))}
        return sorted(rows, key=lambda row: (groups[row["group"]], -1 if row["pepr"] is None else row["pepr"] * -1))

    def _bounds(self) -> dict[str, tuple[float, float]]:
        known = [one for one in self.curves if one.reason is None]
        if not known:
            return {}
        codes, labels = group_codes([one.group for one in known for _ in one.steps])
        found = cohort_bounds(np.concatenate([one.costs for one in known]), codes)
        return {str(label): (float(low), float(high)) for label, (low, high) in zip(labels, found, strict=True)}
