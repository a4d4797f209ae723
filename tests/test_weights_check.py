"""Weights are checked before the first trial: missing ones are listed together, wrong ones told."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import cattrs
import pytest
import timm
import torch
from safetensors.torch import save_file

from harness.plugins_loader import PluginChoice
from harness.records import Setting, Trial
from harness.wire import decode
from harness.workers import preflight, worker
from harness.workers.executor import Job
from harness.workers.weights_check import Checked

OWN_MODEL = """
from harness.hookspecs import hookimpl
from harness.specs import ModelSpec

def create(num_outputs, in_chans, image_size, weights):
    from torch import nn
    assert weights in (None, "pretrained", "folder/own.pth"), weights
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_outputs))

@hookimpl
def harness_register_models(register):
    register(ModelSpec("own", create))
"""


LOST_MODEL = """
from harness.hookspecs import hookimpl
from harness.specs import ModelSpec

class Create:
    def __call__(self, num_outputs, in_chans, image_size, weights):
        from torch import nn
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_outputs))

    def hub_file(self):
        FAULT

@hookimpl
def harness_register_models(register):
    register(ModelSpec("lost", Create()))
"""


def checked(*models: str, plugins: tuple[str, ...] = (), weights_dir: str | None = "folder", **setting: Any) -> Checked:
    choice = PluginChoice(wanted=plugins, autoload=False)
    about = {"image_size": 32, **setting}
    trials = [Trial(model, "digits", Setting(**about), seed) for model in models for seed in (1, 2)]
    jobs = [Job(trial, ("time",), choice, weights_dir=weights_dir) for trial in trials]
    sent: list[bytes] = []
    preflight.check(json.dumps(cattrs.unstructure(jobs)).encode(), sent.append)
    return decode(sent[0], Checked)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for weights, and a cache of the hub that is empty."""
    Path("folder").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def put(name: str, model: str = "test_resnet") -> Path:
    file = Path("folder") / name
    save_file(timm.create_model(model, pretrained=False).state_dict(), file)
    return file


def test_right_file_stands_in_nobodys_way() -> None:
    put("test_resnet.safetensors")

    assert Checked() == checked("timm:test_resnet")


def test_all_missing_weights_are_one_message_with_the_ways_out() -> None:
    (told,) = checked("timm:test_resnet", "timm:test_convnext", "resnet18d", image_size=64).problems
    first, *models, ways_out = told.splitlines()

    assert first.startswith("the weights of 3 models are not in the cache, and cannot be had: HF_HUB_OFFLINE is set")
    assert ["test_resnet", "test_convnext", "resnet18d.ra2_in1k"] == [
        line.partition("folder/")[2].removesuffix(".safetensors") for line in models
    ]
    for way in ("hf download timm/test_resnet.r160_in1k model.safetensors", "--weights-dir folder", "--scratch"):
        assert way in ways_out


def test_weights_that_timm_has_from_elsewhere_are_told_with_their_address() -> None:
    (told,) = checked("timm:legacy_seresnet18", image_size=64).problems

    assert "seresnet18-4bb0ce65.pth -> folder/legacy_seresnet18.pth" in told


def test_from_scratch_nothing_is_missing() -> None:
    assert Checked() == checked("timm:test_resnet", weights="scratch")


def test_every_wrong_file_is_told_in_a_line_of_its_own() -> None:
    put("test_resnet.safetensors", "test_vit")
    Path("folder/test_convnext.pth").write_text("<html>not found</html>")
    Path("folder/test_efficientnet.safetensors").write_bytes(b"")
    Path("folder/test_byobnet.safetensors").write_bytes(put("cut").read_bytes()[:-50])
    told = checked(
        "timm:test_resnet", "timm:test_convnext", "timm:test_efficientnet", "timm:test_byobnet", image_size=64
    )

    reasons = ("is not one of the timm model 'test_resnet'", "is a web page", "is empty", "is damaged")
    assert len(reasons) == len(told.problems)
    for reason, problem in zip(reasons, told.problems, strict=True):
        assert reason in problem
        assert 1 == len(problem.splitlines())


def test_code_in_a_file_is_told_and_never_runs() -> None:
    class Canary:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, ("canary",)

    torch.save({"state_dict": Canary()}, "folder/test_resnet.pth")
    (told,) = checked("timm:test_resnet").problems

    assert "nothing in it is run" in told
    assert not Path("canary").exists()


def test_model_without_published_weights_is_told_to_be_trained_from_scratch() -> None:
    (told,) = checked("timm:eca_vovnet39b", image_size=64).problems

    assert "timm publishes no weights of 'eca_vovnet39b'; train it with --scratch, or give --weights-dir" == told


def test_file_of_a_model_that_cannot_be_made_without_memory_is_checked_for_real(monkeypatch: Any) -> None:
    def needs_memory(*arguments: Any, **options: Any) -> torch.nn.Module:
        torch.zeros(1).item()
        return create(*arguments, **options)

    create = timm.create_model
    put("test_resnet.safetensors")
    put("test_convnext.safetensors", "test_vit")
    monkeypatch.setattr(timm, "create_model", needs_memory)
    (told,) = checked("timm:test_resnet", "timm:test_convnext", image_size=64).problems

    assert "is not one of the timm model 'test_convnext'" in told


@pytest.mark.parametrize("file", [None, "own.pth"])
def test_model_of_a_plugin_that_brings_its_weights_is_left_to_it(file: str | None, monkeypatch: Any) -> None:
    Path("own_models.py").write_text(OWN_MODEL)
    monkeypatch.syspath_prepend(Path.cwd())
    if file is not None:
        Path("folder", file).write_bytes(b"in a form of its own")

    assert Checked() == checked("own", plugins=("own_models",))


@pytest.mark.parametrize("fault", ["raise ValueError('no good')", "raise SystemExit(3)", "return 42", "return None"])
def test_model_that_cannot_tell_where_its_weights_are_is_named_and_the_rest_is_checked(
    fault: str, tmp_path: Path, monkeypatch: Any
) -> None:
    Path("lost_models.py").write_text(LOST_MODEL.replace("FAULT", fault))
    monkeypatch.syspath_prepend(Path.cwd())
    monkeypatch.delitem(sys.modules, "lost_models", raising=False)
    monkeypatch.setattr(worker, "_plugins", {})
    Path("folder/test_resnet.safetensors").write_bytes(b"")
    lost, empty = checked("lost", "timm:test_resnet", plugins=("lost_models",)).problems

    assert lost.startswith("model 'lost' of plugin 'lost_models' (module ?) failed: ")
    assert 1 == len(lost.splitlines())
    assert "is empty" in empty
