"""Which image sizes a model takes, and what is told and done where it cannot take the one asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from harness.errors import HarnessError
from harness.fitting import fit_trials, told_changes
from harness.image_sizes import ImageSizes
from harness.plugins_loader import PluginChoice, load_plugins
from harness.records import Trial
from harness.study import Study, plan_trials
from harness.workers import image_check
from harness.workers.executor import Executor

REGISTRY = load_plugins(PluginChoice(autoload=False)).registry


class Here(Executor):
    """Answers calls in this process, and counts them."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self, target: str, payload: bytes) -> bytes:
        assert "harness.workers.image_check:send_nearest" == target
        self.calls += 1
        sent: list[bytes] = []
        image_check.send_nearest(payload, sent.append)
        return sent[0]


def study_of(*models: str, **options: Any) -> Study:
    about = {"weights": "scratch", "plugins": PluginChoice(autoload=False)} | options
    return Study(models=models, datasets=("digits",), **about)


def fitted(study: Study, executor: Executor) -> tuple[list[Trial], list[Trial]]:
    asked = plan_trials(study, REGISTRY, "cpu")
    return asked, fit_trials(asked, study, REGISTRY, executor)


@pytest.mark.parametrize(
    ("sizes", "takes", "not_these", "told"),
    [
        (ImageSizes(), (1, 33), (), "any"),
        (ImageSizes(smallest=75), (75, 300), (74,), "75 or more"),
        (ImageSizes(step=32), (32, 96), (16, 33), "multiples of 32"),
        (ImageSizes(smallest=40, step=32), (64,), (32,), "multiples of 32 from 64"),
        (ImageSizes(only=(224, 256)), (224, 256), (240,), "224 or 256"),
    ],
)
def test_sizes_say_what_they_take(
    sizes: ImageSizes, takes: tuple[int, ...], not_these: tuple[int, ...], told: str
) -> None:
    assert told == str(sizes)
    assert takes == tuple(size for size in (*takes, *not_these) if sizes.take(size))


@pytest.mark.parametrize(
    ("sizes", "asked", "expected"),
    [
        (ImageSizes(), 33, 33),
        (ImageSizes(smallest=75), 64, 75),
        (ImageSizes(step=32), 100, 96),
        (ImageSizes(step=32), 80, 96),
        (ImageSizes(step=32), 8, 32),
        (ImageSizes(smallest=40, step=32), 8, 64),
        (ImageSizes(only=(224, 256)), 64, 224),
        (ImageSizes(only=(224, 256)), 240, 256),
    ],
)
def test_nearest_size_is_taken_and_the_larger_of_two(sizes: ImageSizes, asked: int, expected: int) -> None:
    assert expected == sizes.nearest(asked)
    assert sizes.take(expected)


def test_published_weights_may_fit_fewer_sizes() -> None:
    sizes = ImageSizes(step=32, pretrained_only=(256,))

    assert sizes.with_weights("scratch").take(64)
    assert not sizes.with_weights("pretrained").take(64)
    assert "multiples of 32; pretrained: 256" == str(sizes)


def test_all_models_that_cannot_take_a_size_are_one_line_without_asking_a_worker() -> None:
    executor = Here()
    with pytest.raises(HarnessError) as caught:
        fitted(study_of("tag:pepr131", image_size=64), executor)

    told = str(caught.value)
    assert told.startswith("8 models cannot take images of 64 x 64 pixels; what works is in brackets: ")
    assert "bat_resnext26ts, halonet26t, sehalonet33ts, halonet50ts (multiples of 256)" in told
    assert "adv_inception_v3, gluon_inception_v3 (75 or more)" in told
    assert "--resize-to-model" in told
    assert (1, 0) == (len(told.splitlines()), executor.calls)


def test_pretrained_models_whose_weights_fit_one_size_are_refused_others() -> None:
    with pytest.raises(HarnessError, match="'botnet26t_256' cannot .*; these work: multiples of 32; pretrained: 256"):
        fitted(study_of("botnet26t_256", "maxvit_nano_rw_256", image_size=64, weights="pretrained"), Here())


def test_resizing_takes_the_nearest_size_and_makes_it_the_trials() -> None:
    executor = Here()
    models = ("resnet18d", "dla34", "halonet26t", "gluon_inception_v3")
    asked, trials = fitted(study_of(*models, image_size=50, resize_to_model=True), executor)

    assert [50, 64, 256, 75] == [trial.setting.image_size for trial in trials]
    assert asked[0] == trials[0]
    assert asked[1].key != trials[1].key
    assert 0 == executor.calls


def test_images_at_another_size_come_from_the_stored_size_next_to_it() -> None:
    study = Study(
        models=("halonet26t",), datasets=("dermamnist",), weights="scratch", image_size=64, resize_to_model=True
    )
    asked, got = fitted(study, Here())

    assert [("none", 64), ("bicubic from 224 px", 256)] == [
        (trial.setting.resize, trial.setting.image_size) for trial in (*asked, *got)
    ]


def test_resizing_finds_out_in_a_worker_what_the_table_does_not_hold() -> None:
    executor = Here()
    models = ("timm:test_resnet", "timm:halonet26t")
    _, trials = fitted(study_of(*models, image_size=48, resize_to_model=True, seeds=(1, 2)), executor)

    assert [48, 48, 256, 256] == [trial.setting.image_size for trial in trials]
    assert 1 == executor.calls


def test_a_change_of_size_is_told_with_the_models_that_it_is_for() -> None:
    asked = plan_trials(study_of("dla34", "halonet26t", "dla60", image_size=48, seeds=(1, 2)), REGISTRY, "cpu")
    sizes = {"dla34": 64, "halonet26t": 48, "dla60": 64}
    after = [evolve(trial, setting=evolve(trial.setting, image_size=sizes[trial.model])) for trial in asked]

    assert ["images of 64 x 64 pixels instead of 48 x 48 for dla34, dla60"] == told_changes(asked, after)


def test_a_plugins_own_task_keeps_its_size() -> None:
    study = study_of("halonet26t", image_size=48)
    trials = [evolve(trial, task="chess") for trial in plan_trials(study, REGISTRY, "cpu")]

    assert trials == fit_trials(trials, study, REGISTRY, Here())


def test_nearest_sizes_are_plain_json() -> None:
    wanted = [["timm:test_vit", "digits", 160], ["timm:inception_v3", "digits", 8]]
    payload = {"plugins": {"wanted": [], "denied": [], "autoload": False}, "wanted": wanted}
    sent: list[bytes] = []
    image_check.send_nearest(json.dumps(payload).encode(), sent.append)

    assert [160, 96] == json.loads(sent[0])
