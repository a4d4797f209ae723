"""What a table must be to be scored: its columns there, costs from 0 up, performance in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.errors import HarnessError, unknown
from harness.scoring.score import COLUMNS
from harness.scoring.scored_rows import numbers

if TYPE_CHECKING:
    import pandas


def check_frame(frame: pandas.DataFrame, weights: Mapping[str, float]) -> None:
    """Raise HarnessError for a resource of *weights* that is not there or is called like a column of the scores.

    And for values that cannot be, as `check_values` does.
    """
    for name in weights:
        if name in COLUMNS or any(name == f"{other}{end}" for other in weights for end in ("_n", "_low", "_high")):
            raise HarnessError(f"a resource cannot be called {name!r}, which is a column of the scores; rename it")
        if name not in frame:
            raise unknown("resource", name, [str(column) for column in frame.columns if column not in COLUMNS])
    check_values(frame, weights)


def check_values(frame: pandas.DataFrame, weights: Mapping[str, float]) -> None:
    """Raise HarnessError, with the row, for a negative cost in *frame* or a performance outside [0, 1]."""
    for name in weights:
        _refuse(frame, name, numbers(frame, name) < 0, "is negative; a cost is 0 or more")
    performance = numbers(frame, "performance")
    outside = (performance < 0) | (performance > 1)
    _refuse(frame, "performance", outside, "is outside 0 to 1; say --performance-range LOW..HIGH")


def _refuse(frame: pandas.DataFrame, column: str, wrong: npt.NDArray[np.bool_], problem: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        value, model = frame[column].iloc[row], frame["model"].iloc[row]
        name = str(model).split("\0")[0]
        raise HarnessError(f"row {row + 1} ({name!r}): {column} {value:g} {problem}")
