"""From lines to the observations that are tested: each model once, or each seed where a side has one model only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from attrs import frozen

from harness.comparing.group_tests import Samples
from harness.comparing.sides import Sides
from harness.pepr import Codes, Floats, group_codes
from harness.sources.table import carried

MODELS, SEEDS, ROWS = "models", "seeds", "rows"


@frozen(eq=False)
class Layout:
    """How the lines of one group become observations.

    `lines` are those of the group that count, `key` the observation of each within its side, `kind` what an
    observation is, `left_out` the models that lack a part of what is averaged over.
    """

    lines: Codes
    key: Codes
    kind: str
    left_out: tuple[str, ...]


def lay_out(sides: Sides, over: Sequence[str], lines: Codes) -> Layout:
    """Return how the *lines* of one group become observations.

    Seeds of one model are no independent models: where both sides have two models or more, each model counts once, by
    the mean of its lines. A model that lacks a part of what is averaged over is left out: its mean would be another's.
    """
    frame = sides.table.frame.iloc[lines]
    side = sides.side[lines]
    models = frame["model"].to_numpy(dtype=object)
    if min(len(set(models[side == number])) for number in (0, 1)) > 1:
        whole, left_out = _whole(sides, over, lines, models, side)
        return Layout(lines[whole], group_codes(models[whole])[0], MODELS, left_out)
    if "seed" not in frame:
        return Layout(lines, np.arange(len(lines), dtype=np.intp), ROWS, ())
    keys = [f"{model}\0{seed}" for model, seed in zip(models, frame["seed"], strict=True)]
    return Layout(lines, group_codes(np.array(keys, dtype=object))[0], SEEDS, ())


def _whole(
    sides: Sides, over: Sequence[str], lines: Codes, models: npt.NDArray[np.object_], side: Codes
) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Which lines are of models that have all parts of their side, and the models that have not."""
    frame = sides.table.frame.iloc[lines]
    parts = [sides.value[lines], *[frame[carried(column)].astype(str) for column in over]]
    labels = ["\0".join(map(str, part)) for part in zip(*parts, strict=True)]
    found: dict[tuple[int, str], set[str]] = {}
    for number, model, label in zip(side, models, labels, strict=True):
        found.setdefault((int(number), str(model)), set()).add(label)
    most = [max(len(had) for (number, _), had in found.items() if number == this) for this in (0, 1)]
    # By a cut or a tag each model has a value of its own, which is no part.
    if not over and all(len(had) == 1 for had in found.values()):
        return np.ones(len(lines), dtype=bool), ()
    short = {key for key, had in found.items() if len(had) < most[key[0]]}
    whole = np.array([(int(number), str(model)) not in short for number, model in zip(side, models, strict=True)])
    return whole, tuple(dict.fromkeys(model for _, model in sorted(short)))


def samples_of(layout: Layout, side: Codes, values: Floats) -> Samples:
    """Return the observations of the *values* of all lines; a line without a value does not count."""
    known = np.isfinite(values[layout.lines])
    lines, key = layout.lines[known], layout.key[known]
    means = [_means(values[lines], key, side[lines] == number) for number in (0, 1)]
    (a_keys, a), (b_keys, b) = means
    if layout.kind == ROWS:
        return Samples(a, b, np.empty(0), np.empty(0))
    _, in_a, in_b = np.intersect1d(a_keys, b_keys, assume_unique=True, return_indices=True)
    return Samples(a, b, a[in_a], b[in_b])


def _means(values: Floats, key: Codes, chosen: npt.NDArray[np.bool_]) -> tuple[Codes, Floats]:
    keys, code = np.unique(key[chosen], return_inverse=True)
    return keys, np.bincount(code, weights=values[chosen], minlength=len(keys)) / np.bincount(code)
