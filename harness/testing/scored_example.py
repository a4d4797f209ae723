"""A small table of models with performances and costs, of two groups, for tests of scores."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.meter import RESOURCE_UNITS

if TYPE_CHECKING:
    import pandas

GROUPS = ("birds", "cells")
UNITS = RESOURCE_UNITS
_MODELS = ("ant", "bee", "cat", "dog", "eel")


def example_frame(resources: Sequence[str]) -> pandas.DataFrame:
    """Return lines as a score gets them: `model`, `group`, `performance` in [0, 1] and a cost for each resource.

    The same numbers each time; within a group, every model differs in all of them.
    """
    import pandas

    draw = random.Random(1)  # noqa: S311  (numbers for a test, no secret)
    lines: list[dict[str, Any]] = []
    for group in GROUPS:
        for model in _MODELS:
            costs = {name: 1 + 9 * draw.random() for name in resources}
            lines.append({"model": model, "group": group, "performance": 0.5 + 0.4 * draw.random(), **costs})
    frame: pandas.DataFrame = pandas.DataFrame(lines)
    return frame
