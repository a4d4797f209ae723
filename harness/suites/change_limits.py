"""What `--harness-compare-fail` allows a resource to grow by: "energy:5%", "memory:10MiB"."""

from __future__ import annotations

import math
import re

from attrs import frozen

from harness.errors import HarnessError
from harness.meter import RESOURCE_UNITS
from harness.quantities import parse_quantity, resource_name

_PERCENT = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*%\s*", re.ASCII)
_EXAMPLE = "write RESOURCE:PERCENT or RESOURCE:QUANTITY, such as energy:5% or memory:10MiB"


@frozen
class ChangeLimit:
    """The growth of `resource` that is still allowed; `text` is what was given, `limit` its part behind the colon."""

    text: str
    resource: str
    limit: str

    def growth(self, before: float, unit: str) -> float:
        """Return the growth from *before* that is allowed, in *unit*. Raises HarnessError for a limit unlike that."""
        percent = _PERCENT.fullmatch(self.limit)
        if percent:
            return float(percent[1]) / 100 * before
        return parse_quantity(self.limit, RESOURCE_UNITS.get(self.resource, unit))


def parse_limit(text: str) -> ChangeLimit:
    """Return the limit that *text* means. Raises HarnessError for text that means none."""
    name, colon, limit = (part.strip() for part in text.partition(":"))
    if not (name and colon and limit):
        raise HarnessError(f"--harness-compare-fail {text!r} is no limit; {_EXAMPLE}")
    found = ChangeLimit(text, resource_name(name), limit)
    if limit.endswith("%") and not _is_percent(limit):
        raise HarnessError(f"--harness-compare-fail {text!r} has no percentage from 0 up; {_EXAMPLE}")
    if not limit.endswith("%") and found.resource in RESOURCE_UNITS:
        try:
            parse_quantity(limit, RESOURCE_UNITS[found.resource])
        except HarnessError as error:
            raise HarnessError(f"--harness-compare-fail {text!r}: {error}") from error
    return found


def _is_percent(limit: str) -> bool:
    match = _PERCENT.fullmatch(limit)
    return match is not None and math.isfinite(float(match[1]))
