"""From lines to the observations that are tested: each model once, or each seed where a side has one model only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from attrs import frozen

from harness.comparing.group_tests import Samples
from harness.comparing.naming import named
from harness.comparing.sides import Sides
from harness.pepr import Codes, Floats, group_codes
from harness.sources.table import carried

MODELS, SEEDS, ROWS = "models", "seeds", "rows"


@frozen(eq=False)
class Layout:
    """How the lines of one group become observations.

    `lines` are those of the group, `key` the observation of each within its side, `part` what of its observation each
    is, where only whole ones count (else 0), `kinds` what an observation is on either side, and `names` the model of
    each line.
    """

    lines: Codes
    key: Codes
    part: Codes
    kinds: tuple[str, str]
    names: npt.NDArray[np.object_]

    @property
    def kind(self) -> str:
        """What an observation is, of both sides where they differ."""
        return " and ".join(dict.fromkeys(self.kinds))


def lay_out(sides: Sides, over: Sequence[str], lines: Codes) -> Layout:
    """Return how the *lines* of one group become observations.

    Seeds of one model are no independent models: on a side with two models or more each counts once, by the mean of its
    lines. Only of a side with one model the seeds count, or where they are not told apart, the lines.
    """
    frame, side = sides.table.frame.iloc[lines], sides.side[lines]
    models = frame["model"].to_numpy(dtype=object)
    seeds = [*map(named, frame["seed"])] if "seed" in frame else None
    single = ROWS if seeds is None else SEEDS
    kinds = [MODELS if len(set(models[side == number])) > 1 else single for number in (0, 1)]
    alone = np.array([kind != MODELS for kind in kinds])[side]
    ends = [*map(str, lines)] if seeds is None else seeds
    keys = [f"{model}\0{end}" if one else f"{model}" for model, end, one in zip(models, ends, alone, strict=True)]
    codes = group_codes(np.array(keys, dtype=object))[0]
    return Layout(lines, codes, _parts(sides, over, lines), (kinds[0], kinds[1]), models)


def _parts(sides: Sides, over: Sequence[str], lines: Codes) -> Codes:
    """What of its model each line is: a value that puts it on its side, of all that is averaged over."""
    frame, values = sides.table.frame.iloc[lines], sides.value[lines]
    of_models = list(zip(frame["model"], sides.side[lines], strict=True))
    # By a cut or a tag each model has a value of its own, which is no part.
    own = len(set(of_models)) == len(set(zip(of_models, values, strict=True)))
    labels = [frame[carried(column)].astype(str) for column in over] + [values] * (not own)
    if not labels:
        return np.zeros(len(lines), dtype=np.intp)
    return group_codes(np.array(["\0".join(map(str, part)) for part in zip(*labels, strict=True)], dtype=object))[0]


def samples_of(layout: Layout, side: Codes, values: Floats) -> tuple[Samples, tuple[str, ...]]:
    """Return the observations of the *values* of all lines, and the models that are left out.

    A line without a value does not count. A model that then lacks a part of what others of its side are averaged over
    is left out: its mean would be of something else.
    """
    known = np.isfinite(values[layout.lines])
    whole = _whole(layout, side[layout.lines], known)
    left_out = tuple(dict.fromkeys(map(str, layout.names[known & ~whole])))
    lines, key = layout.lines[whole], layout.key[whole]
    (a_keys, a), (b_keys, b) = [_means(values[lines], key, side[lines] == number) for number in (0, 1)]
    if layout.kinds != (layout.kinds[0],) * 2 or layout.kind == ROWS:
        return Samples(a, b, np.empty(0), np.empty(0)), left_out
    _, in_a, in_b = np.intersect1d(a_keys, b_keys, assume_unique=True, return_indices=True)
    return Samples(a, b, a[in_a], b[in_b]), left_out


def _whole(layout: Layout, side: Codes, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which lines are *known*, and their observations have as many parts as any of their side."""
    found: npt.NDArray[np.bool_] = known.copy()
    for number, kind in enumerate(layout.kinds):
        own = np.flatnonzero(known & (side == number))
        if kind == ROWS or not len(own):
            continue
        had = np.bincount(np.unique(np.stack([layout.key[own], layout.part[own]]), axis=1)[0])
        found[own] = had[layout.key[own]] == had.max()
    return found


def _means(values: Floats, key: Codes, chosen: npt.NDArray[np.bool_]) -> tuple[Codes, Floats]:
    keys, code = np.unique(key[chosen], return_inverse=True)
    return keys, np.bincount(code, weights=values[chosen], minlength=len(keys)) / np.bincount(code)
