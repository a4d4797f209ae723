"""What is compared: the performance, each resource and each PePR, as one value for each line of a table."""

from __future__ import annotations

from attrs import frozen

from harness.pepr import Floats
from harness.quantities import LETTERS
from harness.scoring.bounds import Bounds
from harness.scoring.line_scores import line_scores
from harness.scoring.ranking import Request, chosen_weights, given_bounds
from harness.scoring.scored_rows import numbers
from harness.sources.table import Table

PERFORMANCE = "performance"


@frozen(eq=False)
class Measure:
    """A named value of each line `[lines]`, NaN where missing, in `unit`."""

    name: str
    values: Floats
    unit: str | None = None


def measures_of(table: Table, request: Request) -> list[Measure]:
    """Return the performance, and of each resource that *request* names, else of each complete letter, cost and PePR.

    Several resources with weights make one PePR. Raises HarnessError for a resource that is not there.
    """
    weights, alone = chosen_weights(table, request, strict=True)
    scored = {f"PePR-{letter}": {name: 1.0} for letter, name in alone.items()} or {score_name(weights): weights}
    bounds = None if request.bounds is None else given_bounds(request.bounds, request)
    found = [Measure(PERFORMANCE, numbers(table.frame, PERFORMANCE))]
    found += [Measure(name, numbers(table.frame, name), table.units.get(name)) for name in weights]
    return found + [Measure(name, scores(table, parts, request, bounds)[0]) for name, parts in scored.items()]


def scores(
    table: Table, weights: dict[str, float], request: Request, bounds: Bounds | None = None
) -> tuple[Floats, Bounds]:
    """Return PePR of each line, and the bounds used, as *request* has them normalised."""
    normalization = request.normalization or "minmax"
    return line_scores(
        table.frame, weights, alpha=request.alpha, normalization=normalization, bounds=bounds, units=table.units
    )


def score_name(weights: dict[str, float]) -> str:
    """Return what the score is called: PePR-E of energy alone, PePR of several resources."""
    letters = {name: letter for letter, name in LETTERS.items()}
    names = [name for name, weight in weights.items() if weight > 0]
    return f"PePR-{letters.get(names[0], names[0])}" if len(names) == 1 else "PePR"
