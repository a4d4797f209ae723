"""The readings of one resource in many windows that were metered alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import Attribute, field, frozen, validators

from harness.records import SOURCES, Source

Floats = npt.NDArray[np.float64]


def _are_finite_and_not_negative(record: object, attribute: Attribute[Floats], values: Floats) -> None:
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        raise ValueError(f"{attribute.name} must be finite and not negative, is {values[bad][0]!r}")


@frozen(eq=False)
class Readings:
    """What `Reading` says of one window, of many: all but `value` and `uncertainty`, both `[windows]`, is the same.

    They are totals over all devices, and of whole phases.
    """

    resource: str = field(validator=validators.instance_of(str))
    value: Floats = field(validator=_are_finite_and_not_negative)
    unit: str = field(validator=validators.instance_of(str))
    uncertainty: Floats = field(validator=_are_finite_and_not_negative)
    source: Source = field(validator=validators.in_(SOURCES))
    note: str | None = field(default=None, validator=validators.optional(validators.instance_of(str)))
    meter: str = ""
    device: None = None
    trial: None = None
    phase: str | None = None
    epoch: None = None
