"""PePR of each line of a table, not yet joined to rows: what is compared line by line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.pepr import Floats, combine, pepr, scale_weights
from harness.scoring.bounds import Bounds
from harness.scoring.checking import check_values
from harness.scoring.normalizing import chosen_bounds, normalized_costs
from harness.scoring.scored_rows import complete, numbers
from harness.scoring.seeds import join_seeds

if TYPE_CHECKING:
    import pandas


def line_scores(
    frame: pandas.DataFrame,
    resources: Mapping[str, float],
    *,
    alpha: float = 1.0,
    normalization: str = "minmax",
    bounds: Bounds | None = None,
    units: Mapping[str, str | None] | None = None,
) -> tuple[Floats, Bounds]:
    """Return PePR of each line `[lines]`, NaN where something is missing, and the bounds used.

    *frame* and the other arguments are as `score_table` takes them, and so are the bounds: those of the rows' means.
    Raises HarnessError for a negative cost, or a performance outside [0, 1].
    """
    weights = scale_weights(resources)
    check_values(frame, weights)
    performance, costs = numbers(frame, "performance"), {name: numbers(frame, name) for name in weights}
    lines = join_seeds(frame, complete(performance, costs, weights))
    means = {name: lines.mean(values) for name, values in costs.items()}
    used = chosen_bounds(means, lines, weights, units or {}, normalization, bounds)
    cost = combine(normalized_costs(used, costs, means, lines), weights)
    return pepr(performance, cost, alpha), used
