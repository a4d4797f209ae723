"""What may not change by how much: `energy>5%`, `accuracy<-1%`, `PePR-E<-0.01`."""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from harness.errors import HarnessError
from harness.pepr import Floats
from harness.quantities import convert, find_unit

_FORM = re.compile(
    r"\s*(?P<name>[^<>=]*[^<>=\s])\s*(?P<sign>>=|<=|>|<)\s*"
    r"(?P<limit>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>%|[A-Za-z]+(?:/[A-Za-z]+)?)?\s*",
    re.ASCII,
)
_EXAMPLE = "write NAME>NUMBER or NAME<NUMBER, such as energy>5%, accuracy<-0.01 or memory>10MiB"


@frozen
class Threshold:
    """A change of the measure `name` that breaks it: one above (`sign` > or >=) or below (<, <=) `limit`.

    The change is in percent of the first run if `percent`, else in `unit` (None: that of the measure). `text` is as it
    was given.
    """

    text: str
    name: str
    sign: str
    limit: float
    percent: bool
    unit: str | None = None

    def in_unit_of(self, unit: str | None) -> Threshold:
        """Return this threshold in the *unit* of its measure. Raises HarnessError where it has a unit unlike that."""
        if self.unit is None:
            return self
        if unit is None:
            raise HarnessError(f"--fail-if {self.text!r} has a unit, and {self.name} has none; leave it out")
        return evolve(self, limit=convert(self.limit, self.unit, unit), unit=unit)

    def breaks(self, change: Floats) -> npt.NDArray[np.bool_]:
        """Return which changes `[rows]` break it; a missing one does not."""
        compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}[self.sign]
        broken: npt.NDArray[np.bool_] = compare(change, self.limit)
        return broken

    def nearest(self, low: Floats, high: Floats) -> Floats:
        """Return the end of the interval from *low* to *high* that breaks it last."""
        return low if self.sign.startswith(">") else high


def parse_threshold(text: str) -> Threshold:
    """Return the threshold that *text* means. Raises HarnessError for text that means none."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise HarnessError(f"--fail-if {text!r} is no threshold; {_EXAMPLE}")
    limit = float(match["limit"])
    if not math.isfinite(limit):
        raise HarnessError(f"--fail-if {text!r} has no finite number; {_EXAMPLE}")
    unit = find_unit(match["unit"]) if match["unit"] not in (None, "%") else None
    return Threshold(text.strip(), match["name"], match["sign"], limit, match["unit"] == "%", unit)
