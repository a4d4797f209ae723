"""How sure a ranking is: what else the readings and seeds might have said, drawn many times and ranked each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from attrs import frozen

from harness.pepr import Codes, Floats
from harness.scoring.bounds import Bounds
from harness.scoring.drawing_seeds import seed_weights, widening
from harness.scoring.seeds import Lines

DRAWS = 10_000
_SEED = 1
# So many numbers are drawn at a time, to bound memory [numbers].
_BATCH = 500_000
# In larger groups the chances of all pairs, which grow with the square, are not counted.
_MOST_PAIRED = 500


@frozen(eq=False)
class Pairs:
    """Of one group: its models, best first, and `beats[i, j]`, the chance that the first scores above the second."""

    models: list[str]
    beats: Floats | None


@frozen(eq=False)
class Stability:
    """The chances over `draws` draws, by group; `seeds` and `readings` say whether these could be drawn from.

    `single` counts the models of one seed.
    """

    draws: int
    seeds: bool
    readings: bool
    groups: Mapping[str, Pairs]
    single: int = 0

    def told(self) -> str:
        """Return one line on what the chances speak of."""
        if not (self.seeds or self.readings):
            return "first in: every model has one seed and no reading an error bar, so the chances say nothing"
        drawn = ["seeds drawn anew"] * self.seeds + ["readings drawn within their error bars"] * self.readings
        only = "" if self.seeds else "; one seed: of the readings only, not of what another seed would give"
        only = only if self.readings else "; no reading has an error bar"
        some = (
            f"; {self.single} of one seed, drawn as if every other gave the same" if self.seeds and self.single else ""
        )
        return f"first in: of {self.draws:,} rankings, {' and '.join(drawn)}{only}{some}"

    def document(self) -> dict[str, Any]:
        """Return what the JSON document has of it."""
        groups = {
            name: {"models": pairs.models, "beats": None if pairs.beats is None else pairs.beats.round(4).tolist()}
            for name, pairs in self.groups.items()
        }
        return {"draws": self.draws, "seeds": self.seeds, "readings": self.readings, "groups": groups}


@frozen(eq=False)
class Cohort:
    """What is drawn from: `performance`, `costs` and `bars` (half widths of error bars) of each line.

    `weights` are of the costs; `fixed` says that `bounds` are an earlier cohort's, so that no draw makes its own.
    """

    lines: Lines
    performance: Floats
    costs: Mapping[str, Floats]
    bars: Mapping[str, Floats]
    weights: Mapping[str, float]
    alpha: float
    bounds: Bounds
    fixed: bool


def rank_stability(
    cohort: Cohort, scores: Floats, performance: Floats, names: Any, draws: int = DRAWS
) -> tuple[Stability, Floats, Floats]:
    """Return the stability, and for each row the chances that it is its group's best, and that it beats the next.

    `scores`, `performance` and `names` `[rows]` are those of the ranking; a row without a score has no chance (NaN).

    Each draw takes every reading anew, evenly from within its error bar: the bar promises to hold the truth and tells
    no place in it from another. It takes the seeds of each row anew: by resampling from five on, by a normal draw of
    the same spread below, and in both widened as Student's t is against the normal. Bounds are those of the draw's
    means. Models with equal scores share the first place.
    """
    lines = cohort.lines
    first, next_ = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
    groups = {}
    for code, group in enumerate(lines.groups):
        members = np.flatnonzero((lines.group == code) & np.isfinite(scores))
        if not len(members):
            continue
        members = members[np.lexsort((-performance[members], -scores[members]))]
        first[members], beats_next, beats = _chances(cohort, members, code, draws)
        next_[members[:-1]] = beats_next
        groups[str(group)] = Pairs([str(name) for name in np.asarray(names, dtype=object)[members]], beats)
    counted = lines.complete & np.isfinite(scores)[lines.row]
    readings = any((cohort.bars[name][counted] > 0).any() for name, weight in cohort.weights.items() if weight > 0)
    single = int((lines.seeds[np.isfinite(scores)] == 1).sum())
    return Stability(draws, bool((lines.seeds > 1).any()), readings, groups, single), first, next_


def _chances(cohort: Cohort, members: Codes, code: int, draws: int) -> tuple[Floats, Floats, Floats | None]:
    count = len(members)
    first, next_ = np.zeros(count), np.zeros(count - 1)
    beats = np.zeros((count, count)) if count <= _MOST_PAIRED else None
    for scores in _drawn_scores(cohort, members, code, draws):
        best = scores == scores.max(axis=1, keepdims=True)
        first += (best / best.sum(axis=1, keepdims=True)).sum(axis=0)
        next_ += _above(scores[:, :-1], scores[:, 1:])
        if beats is not None:
            for one in range(count):
                beats[one] += _above(scores[:, one : one + 1], scores)
    return first / draws, next_ / draws, None if beats is None else beats / draws


def _above(one: Floats, other: Floats) -> Floats:
    """In how many draws *one* is above *other*; equal counts half."""
    above: Floats = np.asarray((one > other).sum(axis=0) + (one == other).sum(axis=0) / 2)
    return above


def _drawn_scores(cohort: Cohort, members: Codes, code: int, draws: int) -> Iterator[Floats]:
    """Yield the scores of the rows *members* in some draws at a time, `[draws, members]`."""
    lines, rng = cohort.lines, np.random.default_rng(_SEED)
    place = np.full(len(lines.first), -1)
    place[members] = np.arange(len(members))
    chosen = np.flatnonzero(lines.complete & (place[lines.row] >= 0))
    chosen = chosen[np.argsort(place[lines.row[chosen]], kind="stable")]
    seeds = lines.seeds[members]
    step = max(1, _BATCH // len(chosen))
    for done in range(0, draws, step):
        weights = seed_weights(rng, seeds, min(step, draws - done))
        cost = _drawn_cost(cohort, chosen, seeds, code, weights, rng)
        spent = cohort.alpha + cost
        with np.errstate(divide="ignore", invalid="ignore"):
            score = np.where(spent > 0, cohort.alpha * cohort.performance[chosen] / spent, np.nan)
        own, off = _row_means(score, seeds), _row_sums(score * weights, seeds)
        drawn = own + off * widening(rng, seeds, len(weights))
        yield np.where(np.isnan(drawn), -np.inf, drawn)


def _drawn_cost(
    cohort: Cohort, chosen: Codes, seeds: Codes, code: int, weights: Floats, rng: np.random.Generator
) -> Floats:
    total = np.zeros(weights.shape)
    for name, weight in cohort.weights.items():
        if weight > 0:
            bar = cohort.bars[name][chosen]
            values = np.broadcast_to(cohort.costs[name][chosen], weights.shape)
            if (bar > 0).any():
                values = np.maximum(values + bar * rng.uniform(-1, 1, weights.shape), 0)
            means = _row_means(values, seeds) + _row_sums(values * weights, seeds)
            total += weight * _normalized(values, means, cohort, name, code)
    return total


def _normalized(values: Floats, means: Floats, cohort: Cohort, name: str, code: int) -> Floats:
    """Normalise by the bounds of each draw."""
    if cohort.fixed:
        low, high = (np.full((1, 1), end) for end in cohort.bounds.array(name, cohort.lines.groups)[code])
    elif cohort.bounds.normalization == "robust":
        low, high = np.percentile(means, (5, 95), axis=1)[:, :, None]
    else:
        low, high = means.min(axis=1, keepdims=True), means.max(axis=1, keepdims=True)
        low = low if cohort.bounds.normalization == "minmax" else np.zeros_like(low)
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = np.where(high > low, (values - low) / (high - low), 0.0)
    return np.clip(cost, 0.0, 1.0) if cohort.bounds.normalization == "robust" else cost


def _row_sums(values: Floats, seeds: Codes) -> Floats:
    return values if (seeds == 1).all() else np.add.reduceat(values, np.cumsum(seeds) - seeds, axis=1)


def _row_means(values: Floats, seeds: Codes) -> Floats:
    return _row_sums(values, seeds) / seeds
