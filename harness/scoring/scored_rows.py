"""What the rows of every score have: numbers, reasons where there is none, an order, and seeds that were left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.pepr import Floats
from harness.scoring.seeds import Lines

if TYPE_CHECKING:
    import pandas

Gaps = Mapping[str, Sequence[str | None]]
Columns = dict[str, Any]
# How many rows a warning names.
_NAMED = 5


def numbers(frame: pandas.DataFrame, column: str) -> Floats:
    """Return a column of *frame*, NaN where it is missing."""
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)


def complete(performance: Floats, costs: Mapping[str, Floats], weights: Mapping[str, float]) -> npt.NDArray[np.bool_]:
    """Return which lines have a performance and all costs with a weight above 0."""
    known = np.isfinite(performance)
    for name, weight in weights.items():
        if weight > 0:
            known &= np.isfinite(costs[name])
    return known


def reasons(
    columns: Columns,
    score: str,
    frame: pandas.DataFrame,
    lines: Lines,
    weights: Mapping[str, float],
    gaps: Gaps,
    unscored: Callable[[Columns, int], str],
) -> pandas.Series[Any]:
    """Return why each row without a *score* has none; *unscored* tells it of a row that lacks nothing."""
    import pandas

    found = np.full(len(lines.first), None, dtype=object)
    for row in np.flatnonzero(np.isnan(columns[score])):
        lack = _lack(columns, int(row), frame, int(lines.first[row]), weights, gaps)
        found[row] = lack or unscored(columns, int(row))
    told: pandas.Series[Any] = pandas.Series(found, dtype=object)
    return told


def _lack(
    columns: Columns, row: int, frame: pandas.DataFrame, line: int, weights: Mapping[str, float], gaps: Gaps
) -> str | None:
    told = frame["reason"].iloc[line] if "reason" in frame else None
    if isinstance(told, str) and told:
        return told
    if np.isnan(columns["performance"][row]):
        return "no performance"
    for name, weight in weights.items():
        if weight > 0 and np.isnan(columns[name][row]):
            infinite = np.isinf(frame[name].iloc[line])
            why = f"{name} is infinite" if infinite else f"no reading of {name}"
            return (gaps[name][line] if name in gaps else None) or why
    return None


def ranked(columns: Columns, score: str, lines: Lines, smaller_is_better: bool = False) -> pandas.DataFrame:
    """Return the table, each group's best first; equal scores by performance; rows without a score last."""
    import pandas

    key = columns[score] if smaller_is_better else -columns[score]
    order = np.lexsort((-columns["performance"], key, lines.group))
    table: pandas.DataFrame = pandas.DataFrame(columns).take(order).reset_index(drop=True)
    return table


def lost_seeds(columns: Columns, lines: Lines, lack: str = "a performance and all readings") -> list[str]:
    """One warning where there are rows some of whose seeds count and some do not, since these *lack* something."""
    total = np.bincount(lines.row, minlength=len(lines.first))
    short = np.flatnonzero((lines.seeds > 0) & (lines.seeds < total))
    told = [f"{columns['model'][row]} ({lines.seeds[row]} of {total[row]})" for row in short[:_NAMED]]
    told += [f"{len(short) - _NAMED} more"] if len(short) > _NAMED else []
    return [f"not all seeds have {lack}: {', '.join(told)}"] if told else []
