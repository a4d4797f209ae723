"""Test accuracies of training loops after the same epochs from the same weights, over several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

Loops = dict[str, Callable[[], float]]


class Difference(NamedTuple):
    """A mean over seeds, and half the length of its 95 % interval by Student's t."""

    mean: float
    half: float


def difference(plain: Sequence[float], own: Sequence[float]) -> Difference:
    """Return how much higher *own* is than *plain*, of which each has one accuracy per seed, at least two."""
    from scipy import stats

    apart = [after - before for before, after in zip(plain, own, strict=True)]
    error = statistics.stdev(apart) / len(apart) ** 0.5
    return Difference(statistics.mean(apart), float(stats.t.ppf(0.975, len(apart) - 1)) * error)


def after_epochs(loops: Loops, epochs: int) -> dict[str, float]:
    """Run *epochs* of each loop and return the test accuracy after the last."""
    return {name: [epoch() for _ in range(epochs)][-1] for name, epoch in loops.items()}


def table(
    names: Sequence[str], loops_of: Callable[[str, int], Loops], epochs: int, seeds: Sequence[int]
) -> Iterator[str]:
    """Train each model with each seed and yield the lines of a Markdown table, in per cent.

    *loops_of* makes the loops of a model with a seed, the plain one first.
    """
    for number, name in enumerate(names):
        runs = [after_epochs(loops_of(name, seed), epochs) for seed in seeds]
        plain, *others = ([100 * run[loop] for run in runs] for loop in runs[0])
        if number == 0:
            heads = [f"{loop} | difference" for loop in list(runs[0])[1:]]
            yield f"| model | plain | {' | '.join(heads)} |"
            yield "|---" * (2 + 2 * len(heads)) + "|"
        cells = [cell for own in others for cell in (_spread(own), _interval(difference(plain, own)))]
        yield f"| {name} | {_spread(plain)} | {' | '.join(cells)} |"


def _spread(accuracies: Sequence[float]) -> str:
    return f"{statistics.mean(accuracies):.1f} ({statistics.stdev(accuracies):.1f})"


def _interval(found: Difference) -> str:
    return f"{round(found.mean, 1) + 0.0:+.1f} ± {found.half:.1f}"  # + 0.0 makes -0.0 plain
