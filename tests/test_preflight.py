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


def test_batch_of_one_that_batch_normalisation_cannot_take_is_one_line_for_all_models() -> None:
    assert [] == list(preflight.problems([job("resnet18d", batch_size=2)]))

    (told,) = preflight.problems([job(model, batch_size=1) for model in ("resnet18d", "convnext_atto", "dla46_c")])
    assert told.startswith("a batch of one image of 32 x 32 pixels cannot train 2 models")
    assert "resnet18d, dla46_c. Give --batch-size 2 or more, or a larger --image-size" in told


def test_training_set_of_one_image_is_told_before_anything_runs() -> None:
    (told,) = preflight.problems([job("resnet18d", train_fraction=0.0015)])

    assert "Give a larger --train-fraction: it leaves one image" in told
    assert [] == list(preflight.problems([job("resnet18d", train_fraction=0.002)]))


def test_sizes_that_models_cannot_take_are_one_line_with_those_that_work() -> None:
    names = ["timm:sebotnet33ts_256", "timm:halonet26t", "timm:inception_v3"]
    (told,) = preflight.problems([job(name, image_size=48) for name in [*names, "timm:test_resnet"]])

    assert told.startswith("3 models cannot take images of 48 x 48 pixels")
    assert "timm:halonet26t (256, 512 of the usual sizes)" in told
    assert "timm:inception_v3 (96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512 of the usual" in told
    assert "--resize-to-model" in told


def test_trials_of_a_plugins_own_task_are_left_to_it() -> None:
    own = Job(Trial("anything", "whatever", Setting(), task="chess"), ("time",), PluginChoice(autoload=False))

    assert [] == list(preflight.problems([own]))
