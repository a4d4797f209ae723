"""A table of performance and resources to its scores: `score_table`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from harness.pepr import Floats, combine, pepr, scale_weights
from harness.scoring.bounds import Bounds, outside
from harness.scoring.checking import check_frame
from harness.scoring.intervals import interval_method
from harness.scoring.normalizing import chosen_bounds, normalized_costs
from harness.scoring.pareto import fronts_by_group, knee
from harness.scoring.score import PEPR, Score
from harness.scoring.scored_rows import Columns, Gaps, complete, lost_seeds, numbers, ranked, reasons
from harness.scoring.seeds import Lines, join_seeds
from harness.scoring.stability import Cohort, Stability, rank_stability
from harness.sources.table import error_bar

if TYPE_CHECKING:
    import pandas


def score_table(
    frame: pandas.DataFrame,
    resources: Mapping[str, float],
    *,
    units: Mapping[str, str | None] | None = None,
    gaps: Gaps | None = None,
    alpha: float = 1.0,
    normalization: str = "minmax",
    bounds: Bounds | None = None,
    phase: str = "train",
    alone: Mapping[str, str] | None = None,
    pareto: bool = False,
    stability: bool = False,
) -> Score:
    """Return the PePR of each model in each group of *frame*.

    Args:
        frame: columns `model`, `group`, `performance` in [0, 1] and one for each resource, NaN where missing;
            optionally `seed`, whereupon the lines of one model and group are one row, and `reason`, why a line has no
            performance.
        resources: the weight of each resource.
        units: the unit of each resource, where known.
        gaps: why a line has no reading of a resource, for each line.
        bounds: of an earlier cohort; default: those of this table, by *normalization*.
        alone: letter -> resource to be scored on its own as well.
        pareto: mark the Pareto front of performance against all resources with a weight above 0, and its knee.

    Raises HarnessError for a column that is not there, a negative cost, or a performance outside [0, 1].
    """
    weights = scale_weights(resources)
    check_frame(frame, weights)
    performance = numbers(frame, "performance")
    costs = {name: numbers(frame, name) for name in weights}
    lines = join_seeds(frame, complete(performance, costs, weights))
    columns = _rows(frame, lines, performance, costs)

    used = chosen_bounds(columns, lines, weights, units or {}, normalization, bounds)
    parts = normalized_costs(used, costs, columns, lines)
    _add_scores(columns, lines, performance, parts, weights, alpha)
    for letter, name in (alone or {}).items():
        columns[f"pepr_{letter}"] = lines.mean_of_all(pepr(performance, parts[name], alpha))
    columns["reason"] = reasons(columns, PEPR, frame, lines, weights, gaps or {}, _why_unscored)
    if pareto:
        _add_front(columns, lines, weights)
    if (lines.seeds > 1).any():
        _add_intervals(columns, lines, costs)
    bars = {name: _bars(frame, name) for name in weights}
    cohort = Cohort(lines, performance, costs, bars, weights, float(alpha), used, bounds is not None)
    chances = _add_stability(columns, cohort) if stability else None
    warnings = lost_seeds(columns, lines) + _scattered_seeds(columns, lines, parts)
    if bounds:
        means = {name: columns[name] for name in weights}
        warnings += outside(used, means, columns["model"], lines.group, lines.groups)
    table, told = ranked(columns, PEPR, lines), tuple(warnings)
    return Score(table, weights, units or {}, used, float(alpha), phase, alone or {}, told, stability=chances)


def _rows(frame: pandas.DataFrame, lines: Lines, performance: Floats, costs: Mapping[str, Floats]) -> Columns:
    """The columns in the order of the CSV; those of the score are filled in later."""
    columns: Columns = {name: frame[name].array.take(lines.first) for name in ("model", "group")}
    columns["performance"] = lines.mean(performance)
    for name, values in costs.items():
        columns |= {name: lines.mean(values), f"{name}_n": None}
    columns |= dict.fromkeys(("R", "pepr", "reason"))
    columns["seeds"] = lines.counted
    columns["performance_low"], columns["performance_high"] = lines.interval(performance, columns["performance"])
    return columns


def _add_scores(
    columns: Columns,
    lines: Lines,
    performance: Floats,
    parts: Mapping[str, Floats],
    weights: Mapping[str, float],
    alpha: float,
) -> None:
    cost = combine(parts, weights)
    scores = pepr(performance, cost, alpha)
    for name, values in parts.items():
        columns[f"{name}_n"] = lines.mean(values)
    columns["R"], columns["pepr"] = lines.mean(cost), lines.mean_of_all(scores)
    columns["pepr_low"], columns["pepr_high"] = lines.interval(scores, columns["pepr"])


def _add_intervals(columns: Columns, lines: Lines, costs: Mapping[str, Floats]) -> None:
    """Add the intervals of the resources, and how those of each row were made."""
    for name, values in costs.items():
        columns[f"{name}_low"], columns[f"{name}_high"] = lines.interval(values, columns[name])
    columns["interval"] = np.array([interval_method(int(seeds)) for seeds in lines.seeds], dtype=object)


def _add_stability(columns: Columns, cohort: Cohort) -> Stability:
    found = rank_stability(cohort, columns[PEPR], columns["performance"], columns["model"])
    chances, columns["probability_first"], columns["probability_beats_next"] = found
    return chances


def _bars(frame: pandas.DataFrame, name: str) -> Floats:
    """Half the width of each line's error bar; 0 where none is known: then the reading is drawn as it is."""
    bar = numbers(frame, error_bar(name)) if error_bar(name) in frame else np.zeros(len(frame))
    return np.where(np.isfinite(bar), bar, 0.0)


def _why_unscored(columns: Columns, row: int) -> str:
    if np.isnan(columns["R"][row]):
        return "the bounds are one point, and the cost lies beside it"
    return "a cost lies so far below the bounds that it has no score"


def _add_front(columns: Columns, lines: Lines, weights: Mapping[str, float]) -> None:
    """Mark the rows on the front, and its knee, within each group; None for rows that cannot be compared."""
    costs = np.stack([columns[name] for name, weight in weights.items() if weight > 0], axis=1)
    front = fronts_by_group(costs, columns["performance"], lines.group)
    known = np.isfinite(costs).all(axis=1) & np.isfinite(columns["performance"])
    columns["pareto"], columns["knee"] = front.astype(object), np.full(len(front), False, dtype=object)
    columns["pareto"][~known] = columns["knee"][~known] = None
    for code in range(len(lines.groups)):
        bend = knee(columns["R"], columns["performance"], front & (lines.group == code) & np.isfinite(columns["R"]))
        if bend is not None:
            columns["knee"][bend] = True


def _scattered_seeds(columns: Columns, lines: Lines, parts: Mapping[str, Floats]) -> list[str]:
    """One warning for each resource whose seeds scatter so widely that a score in units of the bounds means little."""
    warnings = []
    for name, cost in parts.items():
        far = (lines.seeds > 1)[lines.row] & lines.complete & ((cost < -0.5) | (cost > 1.5))
        if far.any():
            model = columns["model"][lines.row[int(np.argmax(far))]]
            warnings.append(
                f"{name} differs more between seeds, as of {model}, than between models: its score says little"
            )
    return warnings
