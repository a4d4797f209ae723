"""Built-in datasets keep the contract, and the contract catches datasets that do not."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from harness.errors import HarnessError
from harness.plugins_loader import load_plugins
from harness.specs import DatasetSpec, Split, Splits
from harness.testing import DatasetContract, fake_dataset


class TestDigits(DatasetContract):
    spec = load_plugins().registry.dataset("digits")


class TestFake(DatasetContract):
    spec = fake_dataset()


class TestFakeOfThreeClasses(DatasetContract):
    spec = fake_dataset(classes=3, in_chans=3)


class TestFakeOfSeveralLabels(DatasetContract):
    spec = fake_dataset(classes=4, multilabel=True)


RIGHT = fake_dataset()
SEVERAL = fake_dataset(multilabel=True)


def changed(change: Callable[[Split], Split], right: DatasetSpec = RIGHT) -> DatasetSpec:
    """Return the right dataset with every split changed."""

    def load(image_size: int, root: Path | None, download: bool) -> Splits:
        splits = right.load(image_size, root, download)
        return Splits(change(splits.train), change(splits.validation), change(splits.test))

    return evolve(right, load=load)


def images(change: Callable[[Any], Any]) -> DatasetSpec:
    return changed(lambda split: evolve(split, images=change(split.images)))


def labels(change: Callable[[Any], Any]) -> DatasetSpec:
    return changed(lambda split: evolve(split, labels=change(split.labels)))


def several_labels(change: Callable[[Any], Any]) -> DatasetSpec:
    return changed(lambda split: evolve(split, labels=change(split.labels)), SEVERAL)


def thrice_the_same() -> DatasetSpec:
    def load(image_size: int, root: Path | None, download: bool) -> Splits:
        train = RIGHT.load(image_size, root, download).train
        return Splits(train, train, train)

    return evolve(RIGHT, load=load, splits=None)


def shuffled_by_size() -> DatasetSpec:
    def load(image_size: int, root: Path | None, download: bool) -> Splits:
        splits = RIGHT.load(image_size, root, download)
        order = np.random.RandomState(image_size).permutation(len(splits.train.labels))
        return evolve(splits, train=Split(splits.train.images[order], splits.train.labels[order]))

    return evolve(RIGHT, load=load)


def acting(act: Callable[[Path | None], object]) -> DatasetSpec:
    def load(image_size: int, root: Path | None, download: bool) -> Splits:
        act(root)
        return RIGHT.load(image_size, root, download)

    return evolve(RIGHT, load=load)


def emptied(split: Split) -> Split:
    return Split(split.images[:0], split.labels[:0])


def _write(root: Path | None) -> None:
    if root is not None:
        (root / "cache").touch()


def _fetch(root: Path | None) -> None:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", 9), timeout=1)


def _read(root: Path | None) -> bytes:
    return b"" if root is None else (root / "images.npz").read_bytes()


def _refuse_at_length(root: Path | None) -> None:
    if root is not None:
        raise HarnessError("no images.npz\nTraceback: and much more")


def contract(about: DatasetSpec) -> DatasetContract:
    class Under(DatasetContract):
        spec = about

    return Under()


def call(under: DatasetContract, test: str, tmp_path: Path) -> None:
    """Call a test as pytest does, with the folder where it asks for one."""
    method = getattr(under, test)
    method(*[tmp_path] * len(inspect.signature(method).parameters))


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        (evolve(RIGHT, num_classes=3), "test_spec_agrees_with_itself"),
        (evolve(RIGHT, task="multiclass", num_classes=1), "test_spec_agrees_with_itself"),
        (evolve(RIGHT, splits=(32, 8, 0)), "test_spec_agrees_with_itself"),
        (images(lambda x: x / 255), "test_images_are_bytes_of_the_size_and_channels_that_were_asked_for"),
        (images(lambda x: x[:, :, :9, :9]), "test_images_are_bytes_of_the_size_and_channels_that_were_asked_for"),
        (images(lambda x: x.repeat(3, 1)), "test_images_are_bytes_of_the_size_and_channels_that_were_asked_for"),
        (images(lambda x: x.swapaxes(1, 3)), "test_images_are_bytes_of_the_size_and_channels_that_were_asked_for"),
        (images(lambda x: (x / 255).astype(np.uint8)), "test_intensities_go_up_to_255_rather_than_to_1"),
        (labels(lambda x: x.astype(np.int32)), "test_every_image_has_a_label_that_is_the_number_of_a_class"),
        (labels(lambda x: x + 1), "test_every_image_has_a_label_that_is_the_number_of_a_class"),
        (labels(lambda x: x - 1), "test_every_image_has_a_label_that_is_the_number_of_a_class"),
        (labels(lambda x: x[:, None]), "test_every_image_has_a_label_that_is_the_number_of_a_class"),
        (labels(lambda x: x[:-1]), "test_every_image_has_a_label_that_is_the_number_of_a_class"),
        (several_labels(lambda x: x[:, :1]), "test_every_image_has_a_label_that_is_the_number_of_a_class"),
        (several_labels(lambda x: x * 2), "test_every_image_has_a_label_that_is_the_number_of_a_class"),
        (several_labels(lambda x: x[:, 0]), "test_every_image_has_a_label_that_is_the_number_of_a_class"),
        (labels(lambda x: x * 0), "test_every_class_can_be_learned"),
        (several_labels(lambda x: x * [1, 0]), "test_every_class_can_be_learned"),
        (evolve(RIGHT, splits=(32, 8, 9)), "test_splits_have_the_sizes_that_the_spec_tells"),
        (changed(emptied), "test_splits_have_the_sizes_that_the_spec_tells"),
        (thrice_the_same(), "test_splits_are_not_the_same_images"),
        (images(np.random.permutation), "test_loads_the_same_each_time_whatever_the_random_state"),
        (shuffled_by_size(), "test_classes_are_the_same_images_at_every_size"),
        (acting(_fetch), "test_uses_no_network_without_permission"),
        (acting(_read), "test_files_that_are_not_there_are_told_in_one_line"),
        (acting(_refuse_at_length), "test_files_that_are_not_there_are_told_in_one_line"),
        (acting(_write), "test_loading_writes_nothing_into_the_folder_without_permission"),
    ],
)
def test_contract_catches_a_wrong_dataset(wrong: DatasetSpec, test: str, tmp_path: Path) -> None:
    call(contract(RIGHT), test, tmp_path)

    with pytest.raises((AssertionError, ValueError, FileNotFoundError)):
        call(contract(wrong), test, tmp_path)


def test_contract_skips_with_the_reason_where_the_files_are_not_there() -> None:
    def load(image_size: int, root: Path | None, download: bool) -> Splits:
        raise HarnessError("no 'images.npz'; give --data-dir")

    with pytest.raises(pytest.skip.Exception, match="give --data-dir"):
        contract(evolve(RIGHT, load=load)).test_every_class_can_be_learned()


def test_fake_dataset_of_one_class_is_refused() -> None:
    with pytest.raises(HarnessError, match="two classes or more"):
        fake_dataset(classes=1)
