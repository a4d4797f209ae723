"""What is checked before the first trial."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from harness.plugins_loader import PluginChoice
from harness.records import Setting, Trial
from harness.workers import preflight
from harness.workers.executor import Job

find_spec = importlib.util.find_spec


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name))


def job(model: str = "timm:test_resnet", **setting: Any) -> Job:
    about: dict[str, Any] = {"weights": "scratch", "image_size": 32}
    return Job(Trial(model, "digits", Setting(**about | setting)), ("time",), PluginChoice(autoload=False))


def test_nothing_stands_in_the_way_of_a_good_job() -> None:
    assert [] == list(preflight.problems([job()]))


@pytest.mark.usefixtures("without_torch")
def test_without_torch_one_line_says_what_to_install() -> None:
    expected = ["training needs torch: pip install 'pepr-harness[vision]'"]

    assert expected == list(preflight.problems([job(), job("timm:test_vit")]))


@pytest.mark.usefixtures("without_torch")
def test_without_torch_the_device_is_the_cpu() -> None:
    sent: list[bytes] = []
    preflight.find_device(b"", sent.append)

    assert [b"cpu"] == sent


def test_device_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (told,) = preflight.problems([job(device="cuda")])

    assert "--device cuda: torch sees no CUDA device" in told


def test_every_problem_is_told_and_each_once() -> None:
    jobs = [job("timm:no_such_model"), job("timm:no_such_model", epochs=3), job("timm:test_vit_"), job()]
    told = list(preflight.problems(jobs))

    assert 2 == len(told)
    assert "unknown timm model 'no_such_model'" in told[0]
    assert "did you mean" in told[1]


def test_batch_of_one_is_checked_as_a_batch_of_one() -> None:
    assert [] == list(preflight.problems([job("resnet18d", batch_size=2)]))

    (told,) = preflight.problems([job("resnet18d", batch_size=1)])
    assert "model 'resnet18d' cannot take images of 32 x 32 pixels (Expected more than 1 value per channel" in told


def test_trials_of_a_plugins_own_task_are_left_to_it() -> None:
    own = Job(Trial("anything", "whatever", Setting(), task="chess"), ("time",), PluginChoice(autoload=False))

    assert [] == list(preflight.problems([own]))
