"""The bounds that normalise a resource: of the cohort itself, or of an earlier one read from a file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from harness.errors import HarnessError
from harness.pepr import NORMALIZATIONS, Codes, Floats, cohort_bounds
from harness.quantities import convert

_NAMED = 5


@frozen
class Bounds:
    """The (low, high) of each resource in each group, in the resource's unit where that is known.

    `normalization` says what they are: see `pepr.cohort_bounds`. Groups without a single value have none. `phase` is
    that of the costs, where it is known.
    """

    normalization: str
    groups: Mapping[str, Mapping[Any, tuple[float, float]]]
    units: Mapping[str, str | None] = field(factory=dict)
    phase: str | None = None

    def array(self, resource: str, labels: Sequence[Any]) -> Floats:
        """Return the bounds of *resource*, a row for each of the groups *labels*; NaN where there are none."""
        known = self.groups.get(resource, {})
        return np.array([known.get(label, (np.nan, np.nan)) for label in labels], dtype=np.float64).reshape(-1, 2)

    def fit(self, resources: Sequence[str], labels: Sequence[Any], units: Mapping[str, str | None]) -> Bounds:
        """Return these bounds for a later table's *resources*, groups and units.

        Raises HarnessError for a resource or group that they lack, or a unit of another kind.
        """
        groups = {}
        for resource in resources:
            known = self.groups.get(resource)
            if known is None:
                raise HarnessError(f"the bounds hold no {resource!r}, only {_listed(self.groups)}; score those alone")
            for label in labels:
                if str(label) not in known:
                    raise HarnessError(
                        f"the bounds of {resource!r} hold no group {str(label)!r}, only {_listed(known)}"
                    )
            old, new = self.units.get(resource), units.get(resource)
            factor = convert(1.0, old, new) if old and new else 1.0
            groups[resource] = {label: _scaled(known[str(label)], factor) for label in labels}
        return evolve(self, groups=groups)


def bounds_of(values: Mapping[str, Floats], codes: Codes, labels: Sequence[Any], normalization: str) -> Bounds:
    """Return the bounds of a cohort: *values* of each resource, one for each model, whose group in *labels* is given
    by its *codes*."""
    found = {name: cohort_bounds(column, codes, normalization).tolist() for name, column in values.items()}
    known = {
        name: {label: (low, high) for label, (low, high) in zip(labels, pairs, strict=False) if not math.isnan(low)}
        for name, pairs in found.items()
    }
    return Bounds(normalization, known)


def outside(
    bounds: Bounds, values: Mapping[str, Floats], models: Sequence[str], codes: Codes, labels: Sequence[Any]
) -> list[str]:
    """Return one warning for each resource and group that has models outside the *bounds*."""
    found = []
    for resource, known in bounds.groups.items():
        low, high = bounds.array(resource, labels)[codes].T
        beyond = (values[resource] < low) | (values[resource] > high)
        for code in np.unique(codes[beyond]):
            names = [str(models[int(row)]) for row in np.flatnonzero(beyond & (codes == code))]
            found.append(_outside(resource, labels[code], known[labels[code]], names))
    return found


def read_bounds(path: Path) -> Bounds:
    """Return the bounds in *path*: the JSON of an earlier `harness score`, or {"RESOURCE": {"GROUP": [low, high]}}.

    Raises HarnessError for a file that holds neither.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HarnessError(f"cannot read bounds {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise HarnessError(
            f"bounds {str(path)!r} are no JSON: {error}; write them with `harness score --format json`"
        ) from error

    try:
        return _structure(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        form = 'the JSON of `harness score`, or {"RESOURCE": {"GROUP": [low, high]}}'
        raise HarnessError(f"bounds {str(path)!r} must be {form}: {error}") from error


def _structure(document: dict[str, Any]) -> Bounds:
    resources = document.get("resources", document)
    written = {name: entry.get("bounds", entry) for name, entry in resources.items()}
    units = {name: entry.get("unit") for name, entry in resources.items() if "bounds" in entry}
    groups = {name: {label: _pair(pair) for label, pair in known.items()} for name, known in written.items()}
    normalization = document.get("normalize", "minmax") if "resources" in document else "minmax"
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalize is {normalization!r}")
    return Bounds(normalization, groups, units, document.get("phase") if "resources" in document else None)


def _pair(pair: Any) -> tuple[float, float]:
    low, high = map(float, pair)
    if not (0 <= low <= high < math.inf):
        raise ValueError(f"low and high are {low}, {high}")
    return low, high


def _scaled(pair: tuple[float, float], factor: float) -> tuple[float, float]:
    return pair[0] * factor, pair[1] * factor


def _outside(resource: str, group: Any, pair: tuple[float, float], names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    where = f" of {group!r}" if group else ""
    return (
        f"{', '.join(names[:_NAMED])}{more} outside the bounds of {resource}{where}"
        f" ({pair[0]:.6g} to {pair[1]:.6g}): normalised below 0 or above 1"
    )


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(repr(str(name)) for name in list(names)[:12])
