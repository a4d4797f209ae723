"""`harness.testing` itself: its names, what they cost to import, that every rule has a wrong plugin, and the fakes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import harness.testing
from harness.plugins_loader import PluginChoice
from harness.testing import fake_dataset, fake_model

WRONG = {
    "MeterContract": ("test_contract", "test_contract_catches_a_wrong_meter"),
    "ModelContract": ("test_model_contract", "test_contract_catches_a_wrong_model"),
    "DatasetContract": ("test_dataset_contract", "test_contract_catches_a_wrong_dataset"),
    "ScoreContract": ("test_score_contract", "test_contract_catches_a_wrong_score"),
    "ExecutorContract": ("test_executor_contract", "test_contract_catches_a_wrong_executor"),
    "PluginContract": ("test_plugin_contract", "test_contract_catches_a_wrong_plugin"),
}


@pytest.mark.parametrize("name", harness.testing.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(harness.testing, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'BeterContract'"):
        harness.testing.BeterContract  # noqa: B018


@pytest.mark.parametrize(
    ("names", "absent"),
    [
        (harness.testing.__all__, {"torch", "timm", "numpy", "pandas"}),
        ([name for name in harness.testing.__all__ if "Contract" not in name], {"torch", "pytest", "numpy"}),
    ],
    ids=["contracts do without torch", "fakes do without pytest"],
)
def test_names_cost_no_more_than_they_must(names: list[str], absent: set[str]) -> None:
    program = f"import sys; from harness.testing import {', '.join(names)}; sys.exit(str({absent} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert "set()" == done.stderr.strip()


@pytest.mark.parametrize("name", WRONG)
def test_every_rule_of_a_contract_has_a_wrong_plugin(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent / "meters")
    module, function = WRONG[name]
    rules = {rule for rule in dir(getattr(harness.testing, name)) if rule.startswith("test_")}
    marks = getattr(importlib.import_module(module), function).pytestmark
    (caught,) = [mark.args[1] for mark in marks if mark.name == "parametrize"]

    assert set() == rules - {case[-1] for case in caught} - {"test_counts_the_parameters_of_the_published_model"}


def test_fakes_train_to_something_learned() -> None:
    from harness.records import Setting, Trial
    from harness.training.loop import Training

    dataset = fake_dataset(splits=(64, 16, 16))
    setting = Setting(weights="scratch", image_size=8, lr=0.05, batch_size=8, epochs=8)
    trial = Trial("fake", "fake", setting, task=dataset.task)
    training = Training(trial, fake_model(), dataset, dataset.load(8, None, False), None)
    training.load()
    losses = [training.epoch()[0] for _ in range(setting.epochs)]

    assert losses[-1] < losses[0]
    assert 1 == training.accuracy(training.outputs(training.test_split), training.test_split)


def test_fakes_are_a_plugin() -> None:
    from harness.plugins_loader import load_plugins

    plugins = load_plugins(PluginChoice(wanted=("harness.testing.fakes",), autoload=False))
    assert [] == plugins.faults
    assert ["model fake", "dataset fake"] == plugins.registered_by("harness.testing.fakes")
