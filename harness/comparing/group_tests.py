"""Two samples to tests and effect sizes, by scipy.stats, and p-values of several questions corrected together."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from harness.pepr import Floats
from harness.scoring.intervals import CONFIDENCE

# name -> whether it compares pair by pair
TESTS = {"welch": False, "student": False, "mann-whitney": False, "paired": True, "wilcoxon": True}
# What varies by less than this part of the largest value is equal but for the rounding of floats.
_ROUNDING = 1e-12


@frozen
class Tested:
    """What one test says: its statistic (t, U or W), its degrees of freedom where it has some, and the p-value.

    None where it has no answer, such as t between samples that are all equal.
    """

    statistic: float | None
    df: float | None
    p: float | None


NOTHING = Tested(None, None, None)


@frozen(eq=False)
class Samples:
    """The observations `a` and `b` of two sides, and those of them that pair, in one order."""

    a: Floats
    b: Floats
    paired_a: Floats
    paired_b: Floats


def run_tests(samples: Samples) -> dict[str, Tested]:
    """Return what each of `TESTS`, all two-sided, says; those of pairs are left out where fewer than two pair.

    The t tests have no answer where nothing varies within the sides, or between the pairs: t would divide by the
    rounding of floats.
    """
    from scipy import stats

    a, b, pairs = samples.a, samples.b, (samples.paired_a, samples.paired_b)
    with _quiet():
        found: dict[str, Any] = {
            "welch": stats.ttest_ind(a, b, equal_var=False),
            "student": stats.ttest_ind(a, b),
            "mann-whitney": stats.mannwhitneyu(a, b),
        }
        if len(samples.paired_a) > 1:
            found["paired"] = stats.ttest_rel(*pairs)
            # Of pairs that are all equal, SciPy says 1, no number, or raises, by its version.
            found["wilcoxon"] = stats.wilcoxon(*pairs) if (pairs[0] != pairs[1]).any() else None
    tested = {name: NOTHING if result is None else _tested(result) for name, result in found.items()}
    stiff = ["welch", "student"] * (not varies(samples, paired=False)) + ["paired"] * (not varies(samples, paired=True))
    return tested | {name: NOTHING for name in stiff if name in tested}


def varies(samples: Samples, paired: bool) -> bool:
    """Return whether the values within the sides, or the differences if *paired*, vary by more than their rounding."""
    a, b = (samples.paired_a, samples.paired_b) if paired else (samples.a, samples.b)
    spread = np.std(a - b) if paired and len(a) else _pooled(a, b)
    return bool(spread > _ROUNDING * max(np.abs(a).max(initial=0), np.abs(b).max(initial=0)))


def difference_interval(samples: Samples, paired: bool) -> tuple[float | None, float | None]:
    """Return the 95 % interval of mean(a) - mean(b), by Welch's t or, if *paired*, by that of the pairs; None for none.

    There is none where nothing varies, and of fewer than two pairs.
    """
    from scipy import stats

    if not varies(samples, paired) or (paired and len(samples.paired_a) < 2):
        return None, None
    with _quiet():
        if paired:
            result = stats.ttest_rel(samples.paired_a, samples.paired_b)
        else:
            result = stats.ttest_ind(samples.a, samples.b, equal_var=False)
        ends = result.confidence_interval(CONFIDENCE)
    return number(ends.low), number(ends.high)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Of samples that hardly vary; what then is no number is told as missing."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield


def hedges_g(a: Floats, b: Floats) -> float | None:
    """Return (mean(a) - mean(b)) / s, with s the pooled standard deviation, freed of its bias in small samples.

    Hedges, Distribution theory for Glass's estimator of effect size, Journal of Educational Statistics 6 (1981):
    Cohen's d times G(f / 2) / (sqrt(f / 2) G((f - 1) / 2)) with f = n_a + n_b - 2.
    """
    freedom = len(a) + len(b) - 2
    if freedom < 2 or not varies(Samples(a, b, a[:0], b[:0]), paired=False):
        return None
    correction = math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    return number((a.mean() - b.mean()) / _pooled(a, b) * correction)


def common_language(a: Floats, b: Floats) -> float:
    """Return how often one of *a* is above one of *b*, ties counting half: U / (n_a n_b).

    McGraw and Wong, A common language effect size statistic, Psychological Bulletin 111 (1992).
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([a, b]))[: len(a)].sum()
    return float((ranks - len(a) * (len(a) + 1) / 2) / (len(a) * len(b)))


def holm(p: Sequence[float]) -> list[float]:
    """Return *p* so corrected that in all questions together a difference is seen in vain as rarely as in one.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    back = np.empty(len(values))
    back[order] = np.minimum(corrected, 1.0)
    found: list[float] = back.tolist()
    return found


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Return *p* so corrected that of the differences seen, as small a share is in vain: the false discovery rate."""
    from scipy.stats import false_discovery_control

    found: list[float] = np.asarray(false_discovery_control(p)).tolist() if len(p) else []
    return found


def number(value: Any) -> float | None:
    """Return *value*, None where it is not finite."""
    return float(value) if math.isfinite(value) else None


def _pooled(a: Floats, b: Floats) -> float:
    """The standard deviation within the two samples."""
    freedom = len(a) + len(b) - 2
    return math.sqrt((len(a) * a.var() + len(b) * b.var()) / freedom) if freedom > 0 else 0.0


def _tested(result: Any) -> Tested:
    return Tested(number(result.statistic), number(getattr(result, "df", math.nan)), number(result.pvalue))
