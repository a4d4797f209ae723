"""Files of weights are read without running code, and refused in one line where they are something else."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.errors import HarnessError
from harness.weights.file import read_weights

TENSORS = {"stem.weight": torch.ones(2, 3), "head.bias": torch.zeros(2)}


class Canary:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("canary",)


def saved(content: object, name: str = "weights.pth", **options: Any) -> Path:
    torch.save(content, name, **options)
    return Path(name)


def safetensors() -> Path:
    save_file(TENSORS, "weights.safetensors")
    return Path("weights.safetensors")


def written(content: bytes, name: str) -> Path:
    Path(name).write_bytes(content)
    return Path(name)


def truncated(file: Path, name: str) -> Path:
    content = file.read_bytes()
    return written(content[: len(content) * 2 // 3], name)


def npz() -> Path:
    np.savez("weights.npz", a=np.zeros(3))
    return Path("weights.npz").rename("weights.pth")


def evil_member() -> Path:
    """A file as torch writes it, whose pickle is another's."""
    with zipfile.ZipFile("weights.pth", "w") as archive:
        archive.writestr("weights/data.pkl", pickle.dumps({"a": Canary()}))
        archive.writestr("weights/version", "3")
    return Path("weights.pth")


@pytest.mark.parametrize(
    "make",
    [
        safetensors,
        lambda: saved(TENSORS),
        lambda: saved(TENSORS, "weights.pt", _use_new_zipfile_serialization=False),
        lambda: saved({"state_dict": TENSORS, "epoch": 3, "args": None}),
        lambda: saved({"model": TENSORS}),
        lambda: saved({"state_dict": {"old": torch.zeros(1)}, "state_dict_ema": TENSORS}),
        lambda: saved({f"module.{name}": tensor for name, tensor in TENSORS.items()}),
        lambda: saved({f"_orig_mod.{name}": tensor for name, tensor in TENSORS.items()}),
    ],
    ids=["safetensors", "pth", "legacy", "state_dict", "model", "averaged first", "parallel", "compiled"],
)
def test_tensors_come_by_their_own_names(make: Callable[[], Path]) -> None:
    read = read_weights(make())

    assert TENSORS.keys() == read.keys()
    assert torch.equal(torch.ones(2, 3), read["stem.weight"])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Path("absent.pth"), "cannot be read (No such file or directory)"),
        (lambda: Path.cwd(), "is a folder"),
        (lambda: written(b"", "weights.pth"), "is empty"),
        (lambda: written(b"\n<!DOCTYPE html><html>404</html>", "weights.safetensors"), "is a web page"),
        (lambda: written(b"no weights at all" * 9, "weights.pth"), "is damaged"),
        (lambda: written(b"no weights at all" * 9, "weights.safetensors"), "is damaged or no safetensors file"),
        (lambda: written(b"\xff" * 7 + b"\x0f" + b"{}", "weights.safetensors"), "is damaged or no safetensors file"),
        (lambda: truncated(safetensors(), "cut.safetensors"), "is damaged or no safetensors file"),
        (lambda: truncated(saved(TENSORS), "cut.pth"), "is damaged"),
        (lambda: safetensors().rename("weights.pth"), "is damaged"),
        (npz, "is damaged"),
        (lambda: saved([torch.zeros(1)]), "holds no tensors by name"),
        (lambda: saved({}), "holds no tensors by name"),
        (lambda: saved(torch.zeros(3)), "holds no tensors by name"),
        (lambda: saved(torch.nn.Linear(2, 2)), "nothing in it is run"),
        (lambda: saved({"state_dict": TENSORS, "args": argparse.Namespace(lr=1)}), "nothing in it is run"),
    ],
)
def test_what_holds_no_weights_is_refused_in_one_line(make: Callable[[], Path], reason: str) -> None:
    with pytest.raises(HarnessError) as refused:
        read_weights(make())

    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("ending", [".pth", ".pt", ".safetensors", ""])
@pytest.mark.parametrize(
    "make",
    [
        lambda: saved({"a": Canary(), **TENSORS}),
        lambda: saved({"a": Canary()}, _use_new_zipfile_serialization=False),
        lambda: written(pickle.dumps(Canary()), "weights.pth"),
        evil_member,
    ],
    ids=["zip", "legacy", "bare pickle", "made by hand"],
)
def test_code_in_a_file_never_runs(make: Callable[[], Path], ending: str) -> None:
    file = make().rename(f"evil{ending}")
    with pytest.raises(HarnessError, match="damaged"):
        read_weights(file)

    assert not Path("canary").exists()


def test_the_canary_would_sing() -> None:
    torch.load(saved({"a": Canary()}), weights_only=False)

    assert Path("canary").exists()


def test_file_that_may_not_be_opened_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    file = safetensors()
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(HarnessError, match="cannot be read .Permission denied."):
        read_weights(file)
