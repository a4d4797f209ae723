"""What an audit looks at, the same for a store and a table, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from attrs import Attribute, field, frozen

from harness.errors import HarnessError

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
# A cost is metered and never twice the same to the last digit: joules, seconds, grams. A size may rightly be: bytes of
# the same model. A score is in [0, 1] or a loss: it repeats by chance as often as its steps are wide.
Kind = Literal["cost", "size", "score"]
COST_UNITS = ("J", "s", "g")


def _is_positive(limits: object, attribute: Attribute[float], value: float) -> None:
    if not 0 < value < np.inf:
        raise HarnessError(f"{_option(attribute)} must be a number above 0, is {value:g}")


def _is_factor(limits: object, attribute: Attribute[float], value: float) -> None:
    if not 1 < value < np.inf:
        raise HarnessError(f"{_option(attribute)} must be a number above 1, is {value:g}")


def _is_share(limits: object, attribute: Attribute[float], value: float) -> None:
    if not 0.5 < value <= 1:
        raise HarnessError(f"{_option(attribute)} must be above 0.5 and at most 1, is {value:g}")


def _option(attribute: Attribute[float]) -> str:
    return f"--{attribute.name.replace('_', '-')}"


@frozen
class Limits:
    """What is still taken for right; docs/audit.md defends the defaults.

    `coincidences` is how many equal values a column may be expected to hold by chance before equality says nothing;
    `deviations` how many robust standard deviations, and `power_factor` which factor, an implied power must lie off;
    `multiples` the share of a group's accuracies that must be multiples of 1/n for an n to be believed.
    """

    coincidences: float = field(default=0.01, validator=_is_positive)
    deviations: float = field(default=5.0, validator=_is_positive)
    power_factor: float = field(default=2.0, validator=_is_factor)
    multiples: float = field(default=0.9, validator=_is_share)


@frozen
class Row:
    """One trial. `number` counts from 1 in a table's order of rows; `trial` is its key in a store, else None."""

    number: int
    model: str
    group: str
    seed: int | None = None
    trial: str | None = None


@frozen(eq=False)
class Column:
    """One quantity of every row, NaN where it is missing.

    `uncertainty` is in the column's unit, NaN where it is not known; `origins` say of each reading which meter took it
    and how; `images` is the number of images that a score counts over, NaN where that is not known.
    """

    name: str
    values: Floats
    kind: Kind
    unit: str | None = None
    uncertainty: Floats | None = None
    origins: Sequence[str | None] | None = None
    images: Floats | None = None


@frozen(eq=False)
class Laps:
    """The epochs of one row: `energy` [J] of the resource `name`, its `uncertainty` [J], and `time` [s] of each.

    `whole_energy` and `whole_time` are those of the phase; `complete` says whether every epoch is here.
    """

    row: int
    name: str
    energy: Floats
    uncertainty: Floats
    time: Floats
    whole_energy: float
    whole_uncertainty: float
    whole_time: float
    complete: bool


@frozen(eq=False)
class Evidence:
    """The rows and columns of a source.

    `groups` numbers the cohorts, `devices` what the rows ran on; `powers` names (energy, time) columns whose ratio is a
    power; `windows` are [s] between the edges of a time column's windows by its name; `traits` are what rows of one
    cohort should share.
    """

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    groups: Codes
    devices: Codes
    powers: tuple[tuple[str, str], ...] = ()
    windows: Mapping[str, Floats] = field(factory=dict)
    traits: Mapping[str, Sequence[str | None]] = field(factory=dict)
    laps: tuple[Laps, ...] = ()

    def column(self, name: str) -> Column:
        """Return the column called *name*."""
        return next(column for column in self.columns if column.name == name)

    def of_kind(self, kind: Kind) -> list[Column]:
        """Return the columns of *kind*."""
        return [column for column in self.columns if column.kind == kind]


@frozen
class Finding:
    """What cannot be right: in which rows (their indices in `Evidence.rows`) and columns, and why."""

    check: str
    rows: tuple[int, ...]
    columns: tuple[str, ...]
    reason: str


def number(labels: Sequence[object]) -> Codes:
    """Return a number for each of *labels*, equal for equal ones, from 0 in the order in which they come."""
    known: dict[object, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.intp)


def some(names: Sequence[str], at_most: int = 4) -> str:
    """Return *names* with commas, no more than *at_most* of them and how many more there are."""
    told = ", ".join(names[:at_most])
    return f"{told} and {len(names) - at_most} more" if len(names) > at_most else told
