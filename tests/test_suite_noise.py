"""How far two runs may lie apart by chance: calibrated on made-up runs whose noise is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.suites.noise import FEWEST_RUNS, MOST_RUNS, noise_of_rounds, noise_of_runs, spread_of

TRIES = 1500


def false_alarms(runs: int, draw: str = "normal") -> float:
    """How often a new run lies further from the last than the noise, where nothing changed."""
    random = np.random.default_rng(runs)
    values = 100 + getattr(random, draw)(size=(TRIES, runs + 1))
    beyond = [abs(row[-1] - row[-2]) > noise_of_runs(row[:-1].tolist()) for row in values]
    return float(np.mean(beyond))


@pytest.mark.parametrize("runs", [FEWEST_RUNS, 5, 6, 7, 10, 15, MOST_RUNS])
def test_one_run_in_twenty_at_most_lies_beyond_the_noise(runs: int) -> None:
    # Three standard deviations of what 1500 tries tell of 5 % are 1.7 %.
    assert 0.01 < false_alarms(runs) < 0.067


@pytest.mark.parametrize("draw", ["standard_t", "laplace"])
def test_noise_with_long_tails_gives_few_more_alarms(draw: str) -> None:
    random = np.random.default_rng(1)
    size = (TRIES, 11)
    values = 100 + (random.standard_t(5, size) if draw == "standard_t" else random.laplace(size=size))

    beyond = [abs(row[-1] - row[-2]) > noise_of_runs(row[:-1].tolist()) for row in values]
    assert np.mean(beyond) < 0.09


def test_real_change_among_the_earlier_runs_is_no_noise() -> None:
    random = np.random.default_rng(2)
    steady = [float(value) for value in 100 + random.normal(size=10)]
    changed = [value + 50 * (index >= 5) for index, value in enumerate(steady)]

    assert noise_of_runs(changed) < 2 * noise_of_runs(steady)


@pytest.mark.parametrize("factor", [0.1, 10])
def test_noise_grows_and_shrinks_with_what_a_benchmark_takes(factor: float) -> None:
    random = np.random.default_rng(4)
    values = 1 + 0.02 * random.normal(size=(TRIES, 13))
    # A real change after the eighth run, with four like it and then the one that is judged.
    values[:, 8:] *= factor

    noise = np.array([noise_of_runs(row[:-1].tolist()) for row in values])
    assert 0.01 < np.mean(np.abs(values[:, -1] - values[:, -2]) > noise) < 0.067
    # No wider than among runs of which none changed.
    values[:, :8] *= factor
    assert np.median(noise) < 1.2 * np.median([noise_of_runs(row[:-1].tolist()) for row in values])


def test_noise_of_a_benchmark_that_takes_nothing_at_times() -> None:
    assert noise_of_runs([0.0, 1.0, 0.0, 1.0, 0.0]) > 1
    assert 0 == noise_of_runs([0.0] * 5)


def test_runs_of_long_ago_do_not_count() -> None:
    steady = [100.0, 101.0] * (MOST_RUNS // 2)

    assert noise_of_runs(steady) == noise_of_runs([0.0, 1000.0] * 30 + steady)


def test_equal_runs_have_no_noise() -> None:
    assert 0 == noise_of_runs([7.0] * 5)


def test_rounds_stand_in_by_their_spread() -> None:
    assert pytest.approx(1.96 * (1 + 4) ** 0.5, rel=1e-3) == noise_of_rounds(100, 200, (0.01, 0.01))
    assert math.inf == noise_of_rounds(100, 200, (0.01, None))


def test_spread_is_the_standard_deviation_whatever_a_few_outliers_do() -> None:
    rounds = (1 + 0.02 * np.random.default_rng(3).normal(size=4000)).tolist()

    assert pytest.approx(0.02, rel=0.06) == spread_of(rounds)
    assert pytest.approx(0.02, rel=0.06) == spread_of([*rounds, 1000.0, 5000.0])


@pytest.mark.parametrize("rounds", [[], [1.0], [0.0, 0.0]])
def test_spread_of_what_tells_none_is_none(rounds: list[float]) -> None:
    assert spread_of(rounds) is None
