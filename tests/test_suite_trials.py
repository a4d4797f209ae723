"""`harness_trial(...)` in a suite: what it returns and where it is stored, its ranking, its failures, its budget."""

from __future__ import annotations

from pathlib import Path

import pytest
from coin_plugin import COINS
from suite_plugins import bring_plugin

from harness import models
from harness.store.benchmarks import read_benchmarks
from harness.store.reading import open_reader

COIN = 'dataset="coins", device="cpu", executor="light"'


def run(pytester: pytest.Pytester, code: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(test_suite=f"import pytest\n{code}")
    return pytester.runpytest_subprocess("--strict-markers", "-p", "no:cacheprovider", *options)


def attempts(store: Path) -> list[tuple[str, int, str]]:
    with open_reader(store) as reader:
        return [(row["model"], row["attempt"], row["origin"]) for row in reader.trials()]


@pytest.fixture
def coins(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A plugin whose trials toss coins, within milliseconds and without torch."""
    bring_plugin(pytester, monkeypatch, "coins", COINS)
    return pytester


def test_trials_are_metered_stored_and_ranked(coins: pytest.Pytester) -> None:
    done = run(
        coins,
        f"""
@pytest.mark.parametrize("model", ["plain", "fancy"])
def test_trial(harness_trial, model):
    result = harness_trial(model=model, {COIN})
    assert (0.75 if model == "fancy" else 0.5) == result.performance
    assert 1 == result["tosses"].value
    assert {{"time", "tosses"}} == {{reading.resource for reading in result.readings}}
    with pytest.raises(KeyError, match="no meter of this trial read it in 'train'"):
        result["energy"]
    assert ((), 1.0) == (result.missing, result.facts["pue"])
""",
        *("--harness-meter", "time", "--harness-meter", "tosses", "--harness-store", "s.sqlite"),
    )

    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["*harness: what the trials achieve per resource*", "model*PePR-T*"])
    done.stdout.fnmatch_lines_random(["plain *0.5 *", "fancy *0.75 *"])
    assert [("plain", 1, "pytest"), ("fancy", 1, "pytest")] == attempts(coins.path / "s.sqlite")


def test_trials_and_benchmarks_lie_in_one_store(coins: pytest.Pytester) -> None:
    done = run(
        coins,
        f"""
def test_trial_in_a_benchmark(harness_trial, benchmark):
    benchmark.pedantic(harness_trial, kwargs=dict(model="plain", {COIN}), rounds=2)
def test_trial_after_it(harness_trial):
    harness_trial(model="fancy", {COIN})
""",
        *("--harness-meter", "time", "--harness-store", "s.sqlite"),
    )

    done.assert_outcomes(passed=2)
    trials = [("plain", 1, "pytest"), ("plain", 2, "pytest"), ("fancy", 1, "pytest")]
    assert trials == attempts(coins.path / "s.sqlite")
    with open_reader(coins.path / "s.sqlite") as reader:
        (stored,) = read_benchmarks(reader)
    assert ("test_suite.py::test_trial_in_a_benchmark", 2) == (stored.benchmark.test, stored.benchmark.metered.calls)


def test_finished_trial_is_run_again_unless_it_may_be_reused(coins: pytest.Pytester) -> None:
    done = run(
        coins,
        f"""
@pytest.mark.parametrize("reuse", [True, False, True])
def test_trial(harness_trial, reuse):
    assert 0.5 == harness_trial("plain", reuse=reuse, meters="time", {COIN}).performance
""",
        *("--harness-store", "s.sqlite"),
    )

    done.assert_outcomes(passed=3)
    assert [("plain", 1, "pytest"), ("plain", 2, "pytest")] == attempts(coins.path / "s.sqlite")


def test_without_options_the_store_is_gone_after_the_run(
    coins: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (coins.path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(coins.path / "temporary"))
    done = run(
        coins,
        f"""
@pytest.fixture(scope="module")
def trained(harness_trial):
    return harness_trial("plain", seed=3, meters="time", {COIN})

@pytest.mark.harness(max={{"time": 0}})
def test_trial(trained):
    assert 3 == trained.trial.seed
""",
        *("--basetemp", "base"),
    )

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["time of the test was *(time, counter): over its limit of 0"])
    assert [] == list((coins.path / "temporary").glob("harness-trials-*"))
    assert [] == list(coins.path.glob("*.sqlite"))


def test_what_cannot_be_run_fails_in_one_line(coins: pytest.Pytester) -> None:
    done = run(
        coins,
        f"""
def test_option(harness_trial): harness_trial("plain", epoch=3, {COIN})
def test_model(harness_trial): harness_trial("plainn", {COIN})
def test_several(harness_trial): harness_trial("*", {COIN})
def test_meter(harness_trial): harness_trial("plain", meters="clock", {COIN})
def test_own_store(harness_trial): harness_trial("plain", store="s", {COIN})
def test_failing(harness_trial): harness_trial("plain", meters="time", timeout=1e-9, {COIN})
""",
    )

    done.assert_outcomes(failed=6)
    for line in (
        "unknown option of harness_trial() 'epoch'; did you mean 'epochs'?",
        "unknown model 'plainn'; did you mean 'plain'*",
        "'[*]' means * models, and harness_trial runs one; parametrise the test over them",
        "unknown meter 'clock'*",
        "unknown option of harness_trial() 'store'*",
        "trial of plain on coins: timeout: *",
    ):
        done.stdout.fnmatch_lines([line])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_trials_are_not_run_beside_each_other(coins: pytest.Pytester) -> None:
    done = run(coins, f'def test_trial(harness_trial): harness_trial("plain", {COIN})', "-n", "2")

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["trials beside each other would disturb each other's meters; run with -n 0"])


def test_suites_of_listed_models_are_collected_without_torch(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
import sys, harness

@pytest.mark.parametrize("model", harness.models(tags=("pepr131", "small")))
def test_trial(harness_trial, model): ...

def test_light():
    assert not {"torch", "timm", "numpy", "pandas"} & sys.modules.keys()
""",
        *("-k", "light", "-p", "no:hypothesispytest"),
    )

    done.assert_outcomes(passed=1, deselected=len(models(tags=("pepr131", "small"))))


def test_trial_of_a_real_model_has_its_energies_and_budget(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
@pytest.mark.harness(max={"time": "1ms", "memory": "64GiB", "data": 107})
def test_trial(harness_trial):
    result = harness_trial(
        model="timm:test_resnet", dataset="digits", weights="scratch", train_fraction=0.1, epochs=1, device="cpu",
        meters=("time", "memory"),
    )
    assert result.performance == result.metrics["accuracy"]
    assert result["memory"].value > 2**20
    assert result.total("time", "infer_batch").value > 0
""",
    )

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["time of the test was *(time, counter): over its limit of 1ms"])
    done.stdout.fnmatch_lines(["timm:test_resnet *"])
