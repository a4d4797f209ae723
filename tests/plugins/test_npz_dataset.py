"""`npz:PATH`: one's own images in MedMNIST's layout, known in the plan by head and labels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npz_files import SPLITS, flip_byte_in, made_up_arrays, write_npz

from harness.errors import HarnessError
from harness.plugins_loader import PluginChoice, load_plugins
from harness.specs import DatasetSpec

ONE_CLASS = {f"{split}_labels": np.zeros((count, 1), "u1") for split, count in SPLITS.items()}
NO_TEST_IMAGES = {"test_images": np.zeros((0, 28, 28), "u1"), "test_labels": np.zeros((0, 1), "u1")}


def dataset(name: str = "npz:own.npz") -> DatasetSpec:
    return load_plugins(PluginChoice(autoload=False)).registry.dataset(name)


@pytest.mark.parametrize(
    ("classes", "channels", "task"), [(2, 1, "binary"), (2, 3, "binary"), (3, 1, "multiclass"), (5, 3, "multiclass")]
)
def test_what_the_file_holds_is_known_before_it_is_loaded(classes: int, channels: int, task: str) -> None:
    write_npz(Path("own.npz"), made_up_arrays(20, channels, classes))
    spec = dataset()

    assert (classes, channels, task, (12, 6, 6)) == (spec.num_classes, spec.in_chans, spec.task, spec.splits)


def test_images_are_resized_and_labels_flat() -> None:
    write_npz(Path("own.npz"), made_up_arrays(20, 3))
    splits = dataset().load(32, None, download=False)

    assert ((12, 3, 32, 32), (6,)) == (splits.train.images.shape, splits.test.labels.shape)
    assert (np.dtype("uint8"), np.dtype("int64")) == (splits.train.images.dtype, splits.train.labels.dtype)


def test_grey_images_may_have_an_axis_for_it_and_labels_none() -> None:
    arrays = made_up_arrays(20)
    grey = {name: array[..., None] for name, array in arrays.items() if name.endswith("images")}
    flat = {name: array[:, 0].astype("int32") for name, array in arrays.items() if name.endswith("labels")}
    write_npz(Path("own.npz"), grey | flat)

    assert 1 == dataset().in_chans
    assert (12, 1, 24, 24) == dataset().load(24, None, download=False).train.images.shape


def test_order_of_the_bytes_in_the_file_does_not_matter() -> None:
    arrays = made_up_arrays(20, 3)
    write_npz(Path("own.npz"), {name: np.asfortranarray(array) for name, array in arrays.items()})
    splits = dataset().load(20, None, download=False)

    np.testing.assert_array_equal(arrays["train_images"], splits.train.images.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"val_labels": None}, "expected an array 'val_labels', found 'train_images', "),
        ({"val_labels": np.zeros((5, 1), "u1")}, "found 6 in 'val_images' and 5 in 'val_labels'"),
        (
            {"test_images": np.zeros((6, 30, 28), "u1")},
            "expected images alike in all splits, found [28, 28] in 'train'",
        ),
        ({"train_images": np.zeros((12, 28, 28, 4), "u1")}, "found uint8 [12, 28, 28, 4]"),
        (
            {"train_images": np.zeros((12, 28, 28), "f4")},
            "uint8 [N, H, W] or [N, H, W, 1] or [N, H, W, 3], found float32",
        ),
        ({"train_labels": np.full((12, 1), np.nan)}, "found float64 [12, 1]"),
        ({"train_labels": np.zeros((12, 14), "u1")}, "found 14 in 'train_labels', 1 in 'val_labels', 1 in"),
        ({"train_labels": np.zeros((12, 1, 1), "u1")}, "found uint8 [12, 1, 1]"),
        ({"train_labels": np.zeros((12, 0), "u1")}, "found uint8 [12, 0]"),
        ({"train_labels": np.zeros((12, 1), "u1")}, "no training image of class 1"),
        (ONE_CLASS, "found one class only;"),
        ({"test_labels": np.array([[0], [1], [3], [0], [0], [0]])}, "no training image of class 2, 3;"),
        ({"test_labels": np.array([[0], [-1], [0], [0], [0], [0]])}, "found values from -1 to 0"),
        (NO_TEST_IMAGES, "found uint8 [0, 28, 28]"),
    ],
)
def test_file_that_does_not_fit_together_is_one_line(changed: dict[str, Any], told: str) -> None:
    write_npz(Path("own.npz"), **changed)
    with pytest.raises(HarnessError) as refused:
        dataset()

    assert told in str(refused.value)
    assert str(refused.value).startswith("'own.npz': expected ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("npz:", "'npz:' names no file; write npz:PATH"),
        ("npz:none.npz", "dataset 'npz:none.npz' cannot be read: No such file"),
        ("npz:.", "cannot read '.': Is a directory"),
    ],
)
def test_file_that_is_not_there_is_named(name: str, told: str) -> None:
    with pytest.raises(HarnessError, match=told):
        dataset(name)


def test_damaged_images_are_found_by_the_check_before_the_first_trial() -> None:
    flip_byte_in(write_npz(Path("own.npz")), "test_images.npy")
    spec = dataset()  # by its head alone it is good

    assert spec.check is not None
    with pytest.raises(HarnessError, match="'own.npz': expected an npz file, found a damaged one"):
        spec.check(28, None, False)


def test_images_that_do_not_fit_into_memory_are_found_by_the_check() -> None:
    write_npz(Path("own.npz"))
    spec = dataset()

    assert spec.check is not None
    with pytest.raises(HarnessError, match="24 images, as stored and at .* of memory are free; choose a smaller"):
        spec.check(10**6, None, False)


def test_other_content_is_another_trial_and_the_same_content_elsewhere_is_not() -> None:
    path = write_npz(Path("own.npz"))
    Path("copy.npz").write_bytes(path.read_bytes())
    first, copy = variant(), variant("npz:copy.npz")
    write_npz(path, test_labels=np.array([[1], [0], [1], [0], [0], [0]]))

    assert first == copy
    assert first != variant()


def variant(name: str = "npz:own.npz") -> str:
    told = dataset(name).variant
    assert told is not None
    return told(None)


def test_verify_tells_what_is_in_the_file_or_wrong_with_it() -> None:
    path = write_npz(Path("own.npz"))
    files = dataset().files
    assert files is not None
    assert [path] == files.expected(None)

    assert [(True, "2 classes, 1 channels, 12 / 6 / 6 images")] == [(f.right, f.told) for f in files.verify(None)]
    flip_byte_in(path, "val_images.npy")
    assert [False] == [finding.right for finding in files.verify(None)]


def test_memory_and_pixels_aside_nothing_heavy_is_needed_for_the_plan() -> None:
    write_npz(Path("own.npz"))
    script = (
        "import sys; from harness.plugins_loader import load_plugins;"
        "spec = load_plugins().registry.dataset('npz:own.npz'); spec.variant(None);"
        "assert not {'torch', 'timm', 'pandas', 'PIL', 'medmnist'} & sys.modules.keys()"
    )

    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ)
