"""`npz:PATH` with several labels to an image: as ChestMNIST has them, `[N, L]` of 0 and 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npz_files import made_up_arrays, made_up_labels, write_npz

from harness.errors import HarnessError
from harness.plugins_loader import PluginChoice, load_plugins
from harness.specs import DatasetSpec


def dataset(**changed: Any) -> DatasetSpec:
    """The dataset of a file with five labels to an image, some of them *changed*."""
    write_npz(Path("own.npz"), made_up_arrays(), **{**made_up_labels(5), **changed})
    return load_plugins(PluginChoice(autoload=False)).registry.dataset("npz:own.npz")


def classes_as_columns() -> dict[str, Any]:
    return {name: np.eye(3, dtype="u1")[np.arange(len(each)) % 3] for name, each in made_up_labels().items()}


def test_task_is_known_before_the_file_is_loaded() -> None:
    spec = dataset()

    assert ("multilabel", 5, 5, (12, 6, 6)) == (spec.task, spec.num_classes, spec.num_outputs, spec.splits)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64"])
def test_labels_are_loaded_as_they_are(dtype: str) -> None:
    labels = {name: each.astype(dtype) for name, each in made_up_labels(5).items()}
    train = dataset(**labels).load(20, None, download=False).train.labels

    assert "int64" == str(train.dtype)
    np.testing.assert_array_equal(labels["train_labels"], train)


def test_verify_tells_how_many_labels_there_are() -> None:
    files = dataset().files

    assert files is not None
    assert [(True, "5 labels, 1 channels, 12 / 6 / 6 images")] == [(f.right, f.told) for f in files.verify(None)]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"val_labels": np.full((6, 5), 2, "u1")}, "'val_labels' from 0 to 1, found values from 2 to 2"),
        ({"test_labels": np.full((6, 5), -1, "i1")}, "'test_labels' from 0 to 1, found values from -1 to -1"),
        ({"test_labels": np.zeros((6, 4), "u1")}, "found 5 in 'train_labels', 5 in 'val_labels', 4 in 'test_labels'"),
        ({"val_labels": np.zeros((6, 1), "u1")}, "found 5 in 'train_labels', 1 in 'val_labels', 5 in 'test_labels'"),
        ({"val_labels": np.zeros(6, "u1")}, "found 5 in 'train_labels', 1 in 'val_labels', 5 in 'test_labels'"),
        ({"train_labels": np.zeros((12, 5), "f4")}, "int64 [N] or [N, L], found float32 [12, 5]"),
        ({"train_labels": made_up_labels(5)["train_labels"] * [1, 0, 1, 1, 0]}, "found label 1, 4 the same for all;"),
        ({"test_labels": np.zeros((5, 5), "u1")}, "found 6 in 'test_images' and 5 in 'test_labels'"),
        (classes_as_columns(), "found one label to every image, as of classes; write the classes' numbers:"),
    ],
)
def test_labels_that_do_not_fit_together_are_one_line(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(HarnessError) as refused:
        dataset(**changed)

    assert told in str(refused.value)
    assert str(refused.value).startswith("'own.npz': expected ")
    assert "\n" not in str(refused.value)
