"""Which file a model's weights are: what it may be named, what tells it from others, and when it is no longer that."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.plugins.timm_models import TimmModel
from harness.specs import ModelSpec
from harness.weights.choosing import (
    file_digest,
    file_of_weights,
    verified_digest,
    weights_facts,
    weights_of,
    weights_tag,
)

TABLE = ModelSpec("resnet18d", TimmModel("resnet18d.ra2_in1k"))
PINNED = ModelSpec("timm:resnet18d.ra2_in1k", TimmModel("resnet18d.ra2_in1k"))
FREE = ModelSpec("timm:resnet18d", TimmModel("resnet18d"))
FOREIGN = ModelSpec("mine", lambda num_outputs, in_chans, image_size, weights: None)


def put(name: str, content: bytes = b"weights") -> Path:
    file = Path("folder") / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (TABLE, "resnet18d.safetensors"),
        (TABLE, "resnet18d.pt"),
        (TABLE, "resnet18d.ra2_in1k.pth"),
        (TABLE, "resnet18d.ra2_in1k/model.safetensors"),
        (PINNED, "resnet18d.ra2_in1k.safetensors"),
        (FREE, "resnet18d.pth"),
        (FOREIGN, "mine.pth"),
        (FOREIGN, "mine/model.safetensors"),
    ],
)
def test_file_is_found_by_the_models_name_or_with_the_weights_tag(model: ModelSpec, name: str) -> None:
    assert str(put(name)) == weights_of(model, "pretrained", "folder")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (PINNED, "resnet18d.safetensors"),
        (TABLE, "resnet18d.a1_in1k.safetensors"),
        (TABLE, "resnet18d.bin"),
    ],
)
def test_file_of_other_weights_is_left_alone(model: ModelSpec, name: str) -> None:
    put(name)

    assert "pretrained" == weights_of(model, "pretrained", "folder")


def test_short_name_goes_before_the_tag_and_safetensors_before_pickles() -> None:
    for name in ("resnet18d.ra2_in1k.safetensors", "resnet18d.pth", "resnet18d.safetensors"):
        put(name)

    assert "folder/resnet18d.safetensors" == weights_of(TABLE, "pretrained", "folder")


def test_from_scratch_no_file_is_taken() -> None:
    put("resnet18d.safetensors")

    assert weights_of(TABLE, "scratch", "folder") is None


def test_folder_that_is_not_there_is_told() -> None:
    with pytest.raises(HarnessError, match="--weights-dir 'nowhere' is no folder"):
        weights_of(TABLE, "pretrained", "nowhere")


@pytest.mark.parametrize(("make", "reason"), [("mkdir", "Is a directory"), ("symlink", "No such file")])
def test_what_bears_the_name_but_is_no_file_is_told_and_not_passed_over(make: str, reason: str) -> None:
    file = put("other").with_name("resnet18d.pth")
    file.mkdir() if make == "mkdir" else file.symlink_to("gone")

    with pytest.raises(HarnessError, match=reason):
        weights_tag(TABLE, "pretrained", "folder")


def test_file_is_read_once_for_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(put("resnet18d.pth", b"read once"))
    first = file_digest(file)
    monkeypatch.setattr(Path, "open", lambda *arguments, **options: pytest.fail("read again"))

    assert hashlib.sha256(b"read once").hexdigest() == first == file_digest(file)


def test_file_that_changed_since_the_plan_is_refused() -> None:
    file = put("resnet18d.pth", b"one")
    tag = weights_tag(TABLE, "pretrained", "folder")
    assert file_digest(str(file)) == verified_digest(str(file), tag)

    file.write_bytes(b"another")
    with pytest.raises(HarnessError, match="has changed since the trial was planned"):
        verified_digest(str(file), tag)


def cached(content: bytes, promised: bytes) -> Path:
    """A file as the hub's cache holds it: a link to the content, which is named by its digest."""
    blob = put(f"blobs/{hashlib.sha256(promised).hexdigest()}", content)
    snapshot = Path("folder/snapshots/c0ffee")
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(Path("../..") / "blobs" / blob.name)
    return snapshot / "model.safetensors"


def test_commit_and_digest_of_the_cached_file_are_the_facts() -> None:
    expected = {"weights_digest": hashlib.sha256(b"good").hexdigest(), "weights_revision": "c0ffee"}

    assert expected == weights_facts(str(cached(b"good", b"good")), "ra2_in1k")


def test_cached_file_with_a_flipped_byte_is_refused() -> None:
    with pytest.raises(HarnessError, match="is not what the hub promised; delete it and run again"):
        weights_facts(str(cached(b"gooe", b"good")), "ra2_in1k")


@pytest.mark.parametrize("weights", ["pretrained", None])
def test_model_that_brings_its_weights_itself_has_no_file(weights: Any) -> None:
    assert file_of_weights(FOREIGN, weights) is None
    assert {"weights_digest": None, "weights_revision": None} == weights_facts(None, None)
