"""What may not change by how much: `energy>5%`, `accuracy<-1%`, `PePR-E<-0.01`."""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt
from attrs import frozen

from harness.errors import HarnessError
from harness.pepr import Floats

_FORM = re.compile(
    r"\s*(?P<name>[^<>=]*[^<>=\s])\s*(?P<sign>>=|<=|>|<)\s*"
    r"(?P<limit>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<percent>%?)\s*",
    re.ASCII,
)
_EXAMPLE = "write NAME>NUMBER or NAME<NUMBER, such as energy>5% or accuracy<-0.01"


@frozen
class Threshold:
    """A change of the measure `name` that breaks it: one above (`sign` > or >=) or below (<, <=) `limit`.

    The change is in percent of the first run if `percent`, else in the unit of the measure. `text` is as it was given.
    """

    text: str
    name: str
    sign: str
    limit: float
    percent: bool

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
    return Threshold(text.strip(), match["name"], match["sign"], limit, bool(match["percent"]))
