"""Studies and study files: options to trials, and one clear line for what is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.plugins_loader import PluginChoice, load_plugins
from harness.records import Setting, Trial
from harness.specs import DatasetSpec
from harness.study import Study, plan_trials
from harness.study_file import Option, parse_study

OPTIONS = {
    "model": Option("text", repeatable=True),
    "dataset": Option("text", repeatable=True),
    "epochs": Option("whole"),
    "batch_size": Option("whole"),
    "lr": Option("number"),
    "pretrained": Option("flag"),
}


def names(study: Study) -> list[tuple[str, str, int]]:
    return [(trial.dataset, trial.model, trial.seed) for trial in plan_trials(study, load_plugins().registry, "cpu")]


def test_every_model_meets_every_dataset_and_seed_once() -> None:
    study = Study(models=("resnet18d", "resnet[13]?d", "dla46_c"), datasets=("digits", "digits"), seeds=(1, 2, 1))

    expected = [("digits", model, seed) for model in ("resnet18d", "resnet34d", "dla46_c") for seed in (1, 2)]
    assert expected == names(study)


def test_tag_means_all_models_that_bear_it() -> None:
    assert ["dpn68", "dpn68b", "dpn92", "dpn98", "dpn131", "dpn107"] == [
        model for _, model, _ in names(Study(models=("tag:dpn",), datasets=("digits",)))
    ]


def test_image_size_is_the_datasets_own_unless_it_is_given() -> None:
    registry = load_plugins().registry
    study = Study(models=("dla46_c",), datasets=("digits",))

    assert 32 == plan_trials(study, registry, "cpu")[0].setting.image_size
    assert 64 == plan_trials(Study(("dla46_c",), ("digits",), image_size=64), registry, "cpu")[0].setting.image_size


@pytest.mark.parametrize(("given", "expected"), [({}, 256), ({"image_size": 48}, 48)], ids=["alone", "beside a size"])
def test_protocol_brings_the_papers_image_size_and_what_is_given_wins(given: dict[str, Any], expected: int) -> None:
    study = Study(models=("dla46_c",), datasets=("digits",), protocol="pepr", **given)

    assert expected == plan_trials(study, load_plugins().registry, "cpu")[0].setting.image_size
    assert "pepr" == study.asked()["protocol"]


def test_defaults_are_the_papers() -> None:
    (trial,) = plan_trials(
        Study(("dla46_c",), ("digits",), protocol="pepr", weights="scratch"), load_plugins().registry, "cpu"
    )

    paper = {"epochs": 10, "batch_size": 32, "optimizer": "adam", "lr": 5e-4, "image_size": 256, "train_fraction": 1.0}
    assert Trial("dla46_c", "digits", Setting(weights="scratch", **paper), seed=1) == trial


def test_all_images_are_the_same_however_they_are_drawn() -> None:
    def setting(**options: Any) -> Setting:
        study = Study(models=("dla46_c",), datasets=("digits",), stratified=True, **options)
        return plan_trials(study, load_plugins().registry, "cpu")[0].setting

    assert not setting().stratified
    assert setting(train_fraction=0.5).stratified


@pytest.mark.parametrize(
    ("models", "datasets", "message"),
    [
        ((), ("digits",), "at least one --model"),
        (("resnet18",), ("digits",), "unknown model 'resnet18'; did you mean 'resnet18d'"),
        (("zz*",), ("digits",), "no model matches 'zz\\*'"),
        (("tag:effcient",), ("digits",), "unknown tag 'effcient'; did you mean 'efficient'"),
        (("timm:",), ("digits",), "names no model"),
        (("dla46_c",), ("digit",), "unknown dataset 'digit'; did you mean 'digits'"),
    ],
)
def test_what_nothing_bears_is_one_line(models: tuple[str, ...], datasets: tuple[str, ...], message: str) -> None:
    with pytest.raises(HarnessError, match=message) as caught:
        names(Study(models=models, datasets=datasets))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"seeds": (1, 2**32)}, "seed must be a whole number from 0 to 4294967295"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"lr": float("inf")}, "lr must be above 0"),
        ({"train_fraction": 2.0}, "train_fraction must be above 0 and at most 1"),
        ({"timeout": -5}, "timeout must be above 0"),
        ({"precision": "fp8"}, "precision must be one of fp32, bf16, fp16, is 'fp8'"),
        ({"protocol": "pper"}, "protocol must be one of pepr, None, is 'pper'"),
        ({"metric": "auc"}, "metric must be one of accuracy, balanced_accuracy, auroc, macro_f1, is 'auc'"),
        ({"weights": "scrach"}, "weights must be one of pretrained, scratch, is 'scrach'"),
        ({"device": "gpu"}, "device must be one of cuda, cpu, None, is 'gpu'"),
    ],
)
def test_value_that_no_trial_can_have_is_one_line(option: dict[str, Any], message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        Study(models=("dla46_c",), datasets=("digits",), **option)


def test_published_weights_are_told_apart_by_their_tag_and_files_by_their_digest(tmp_path: Path) -> None:
    def tag(**options: Any) -> str | None:
        study = Study(models=("dla46_c",), datasets=("digits",), **options)
        return plan_trials(study, load_plugins().registry, "cpu")[0].weights_tag

    (tmp_path / "dla46_c.safetensors").write_bytes(b"weights")
    assert "in1k" == tag()
    assert tag(weights="scratch") is None
    assert f"sha256:{hashlib.sha256(b'weights').hexdigest()[:16]}" == tag(weights_dir=tmp_path)


def test_identity_is_of_what_a_trial_is_and_not_of_how_it_was_written() -> None:
    trial = Trial("m", "d", Setting(lr=1, train_fraction=1))

    assert trial.key == Trial("m", "d", Setting(lr=1.0, train_fraction=1.0)).key
    assert 16 == len(trial.key)


@pytest.mark.parametrize(
    "other",
    [
        Trial("n", "d", Setting()),
        Trial("m", "e", Setting()),
        Trial("m", "d", Setting(), seed=2),
        Trial("m", "d", Setting(), task="binary"),
        Trial("m", "d", Setting(), weights_tag="in1k"),
        Trial("m", "d", Setting(weights="scratch")),
        Trial("m", "d", Setting(train_fraction=0.1)),
        Trial("m", "d", Setting(epochs=3)),
        Trial("m", "d", Setting(batch_size=16)),
        Trial("m", "d", Setting(optimizer="sgd")),
        Trial("m", "d", Setting(lr=1e-3)),
        Trial("m", "d", Setting(image_size=32)),
        Trial("m", "d", Setting(resize="nearest")),
        Trial("m", "d", Setting(precision="bf16")),
        Trial("m", "d", Setting(compile=True)),
        Trial("m", "d", Setting(device="cuda")),
        Trial("m", "d", Setting(split="by series")),
        Trial("m", "d", Setting(stratified=True)),
    ],
)
def test_identity_changes_with_every_part(other: Trial) -> None:
    assert Trial("m", "d", Setting()).key != other.key


def test_identity_stays_what_it_was_so_that_old_stores_are_resumed() -> None:
    assert "8e74b63463685836" == Trial("m", "d", Setting()).key


@pytest.mark.parametrize("error", [ValueError("no good"), SystemExit(3)])
def test_dataset_whose_variant_raises_is_one_line_with_its_plugin(error: BaseException) -> None:
    def variant(root: Path | None) -> str:
        raise error

    registry = load_plugins(PluginChoice(autoload=False)).registry
    registry.datasets.add("odd", "stranger", DatasetSpec("odd", print, 2, 1, variant=variant))
    with pytest.raises(HarnessError, match=f"dataset 'odd' of plugin 'stranger' failed: {type(error).__name__}"):
        plan_trials(Study(("resnet18d",), ("odd",), weights="scratch"), registry, "cpu")


def test_study_file_gives_options_by_their_python_names() -> None:
    text = 'model = ["a", "b"]\ndataset = "digits"\nbatch-size = 16\n'

    expected = {"model": ["a", "b"], "dataset": ["digits"], "batch_size": 16}
    assert expected == parse_study(text, "s.toml", OPTIONS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nepoch = 3", "s.toml, line 2: unknown key 'epoch'; did you mean 'epochs'"),
        ("batchsize = 3", "line 1: unknown key 'batchsize'; did you mean 'batch-size'"),
        ("zzz = 3", "line 1: unknown key 'zzz'; `harness run --help`"),
        ("epochs = [3]", "line 1: 'epochs' takes one value, not a list"),
        ("[epochs]\nx = 1", "line 1: 'epochs' must be a whole number"),
        ("epochs = 3.7", "line 1: 'epochs' must be a whole number, is 3.7"),
        ("epochs = true", "line 1: 'epochs' must be a whole number, is True"),
        ("\n\nlr = 'abc'", "line 3: 'lr' must be a number, is 'abc'"),
        ("model = [1]", "line 1: 'model' must be text in quotes, is 1"),
        ("pretrained = 1", "line 1: 'pretrained' must be true or false, is 1"),
        ("epochs = = 3", "s.toml: not TOML: .*line 1"),
    ],
)
def test_wrong_study_file_is_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message) as caught:
        parse_study(text, "s.toml", OPTIONS)

    assert "\n" not in str(caught.value)


def test_table_of_plugins_says_what_to_load_and_to_deny() -> None:
    text = 'epochs = 3\n[plugins]\nload = "mine"\ndeny = ["a", "b"]\n'

    expected = {"epochs": 3, "plugin": ["mine"], "no_plugin": ["a", "b"]}
    assert expected == parse_study(text, "s.toml", OPTIONS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[plugins]\ndenied = []", "s.toml, line 2: unknown key 'denied' in \\[plugins\\]; it has load and deny"),
        ("plugins = 3", "s.toml, line 1: 'plugins' is a table"),
        ("[plugins]\ndeny = [1]", "s.toml, line 2: 'deny' must be text in quotes, is 1"),
        ('no-plugin = "a"\n[plugins]\ndeny = "b"', "'no-plugin' says the same as 'deny' in \\[plugins\\]; keep one"),
    ],
)
def test_wrong_table_of_plugins_is_one_line(text: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        parse_study(text, "s.toml", OPTIONS | {"no_plugin": Option("text", repeatable=True)})


def test_windows_line_ends_are_no_matter() -> None:
    assert {"epochs": 3, "lr": 0.1} == parse_study("epochs = 3\r\nlr = 0.1\r\n", "s.toml", OPTIONS)
