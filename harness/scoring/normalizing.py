"""From costs to normalised costs: with the bounds of the rows' means, or those of an earlier cohort."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.pepr import Floats, normalize
from harness.scoring.bounds import Bounds, bounds_of
from harness.scoring.seeds import Lines


def chosen_bounds(
    means: Mapping[str, Floats],
    lines: Lines,
    weights: Mapping[str, float],
    units: Mapping[str, str | None],
    normalization: str,
    given: Bounds | None,
) -> Bounds:
    """Return the bounds *given*, else those of the rows' *means* of each resource `[rows]`."""
    if given is not None:
        needed = [name for name, weight in weights.items() if weight > 0 or name in given.groups]
        return given.fit(needed, lines.groups, units)

    # A row that gets no score takes no part in the bounds.
    cohort = {name: np.where(lines.seeds > 0, means[name], np.nan) for name in weights}
    return bounds_of(cohort, lines.group, lines.groups, normalization)


def normalized_costs(
    used: Bounds, costs: Mapping[str, Floats], means: Mapping[str, Floats], lines: Lines
) -> dict[str, Floats]:
    """Return the normalised cost of each line `[lines]`, for each resource of *costs*."""
    codes, clip = lines.group[lines.row], used.normalization == "robust"
    parts = {}
    for name, values in costs.items():
        bounds = used.array(name, lines.groups)
        if (flat := bounds[:, 0] == bounds[:, 1]).any():
            # Models that cost the same on average have R = 0, however their seeds scatter.
            average = means[name][lines.row]
            values = np.where(flat[codes] & (average == bounds[codes, 0]) & np.isfinite(values), average, values)
        parts[name] = normalize(values, bounds, codes, clip=clip)
    return parts
