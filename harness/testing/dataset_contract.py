"""What every dataset keeps, as a class of tests."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from harness.errors import HarnessError
from harness.specs import IMAGE_TASKS, DatasetSpec, Split, Splits
from harness.testing.no_network import refused_network

if TYPE_CHECKING:
    import numpy as np


class DatasetContract:
    """What every dataset keeps. Set `spec`, and `root` to a folder with its files if it needs some.

    It is loaded at each of `image_sizes` [pixels], never with permission to download. Where its files are not there,
    it passes by giving the reason as a HarnessError; the tests of its images are then skipped with it.
    """

    spec: ClassVar[DatasetSpec]
    root: ClassVar[Path | None] = None
    image_sizes: ClassVar[tuple[int, ...]] = (16, 33)

    def test_spec_agrees_with_itself(self) -> None:
        """A binary task has two classes; other tasks of images have one output for each class, or for each label."""
        spec = self.spec

        assert spec.in_chans >= 1
        assert spec.default_image_size >= 1
        assert spec.num_classes >= 2 or spec.task not in IMAGE_TASKS
        assert spec.num_classes == 2 or spec.task != "binary"
        assert spec.splits is None or (3 == len(spec.splits) and min(spec.splits) > 0)

    def test_images_are_bytes_of_the_size_and_channels_that_were_asked_for(self) -> None:
        for image_size in self.image_sizes:
            for split in _each(self._loaded(image_size)):
                assert "uint8" == str(split.images.dtype)
                assert (self.spec.in_chans, image_size, image_size) == tuple(split.images.shape[1:])

    def test_intensities_go_up_to_255_rather_than_to_1(self) -> None:
        """Bytes are divided by 255 in training: numbers from 0 to 1, made bytes, would all be black."""
        assert self._loaded().train.images.max() > 1

    def test_every_image_has_a_label_that_is_the_number_of_a_class(self) -> None:
        """For the task "multilabel", each label is there (1) or not (0): `[N, num_classes]`."""
        for split in _each(self._loaded()):
            assert "int64" == str(split.labels.dtype)
            assert (len(split.images), *self._labels[0]) == tuple(split.labels.shape)
            assert 0 <= split.labels.min()
            assert split.labels.max() < self._labels[1]

    def test_every_class_can_be_learned(self) -> None:
        """Or every label: some training images have it, and some do not."""
        labels = self._loaded().train.labels

        for column in labels.reshape(len(labels), -1).T:
            assert [] == sorted(set(range(self._labels[1])) - set(column.tolist()))

    def test_splits_have_the_sizes_that_the_spec_tells(self) -> None:
        sizes = tuple(len(split.images) for split in _each(self._loaded()))

        assert min(sizes) > 0
        assert self.spec.splits in (None, sizes)

    def test_splits_are_not_the_same_images(self) -> None:
        """At most half: some collections hold an image twice."""
        splits = self._loaded()
        seen = _digests(splits.train.images)

        for split in (splits.validation, splits.test):
            known = [digest for digest in _digests(split.images) if digest in seen]
            assert len(known) <= len(split.images) / 2

    def test_loads_the_same_each_time_whatever_the_random_state(self) -> None:
        """Which image is in which split is part of what a stored trial means."""
        import random

        import numpy as np

        digests = set()
        for seed in (1, 2):
            random.seed(seed)
            np.random.seed(seed)
            digests.add(tuple(_digest(split) for split in _each(self._loaded())))
        assert 1 == len(digests)

    def test_classes_are_the_same_images_at_every_size(self) -> None:
        labels = [[split.labels.tolist() for split in _each(self._loaded(size))] for size in self.image_sizes]

        assert all(labels[0] == other for other in labels[1:])

    def test_uses_no_network_without_permission(self) -> None:
        with refused_network() as tried:
            self._loads_or_tells(self.root)

        assert [] == tried

    def test_files_that_are_not_there_are_told_in_one_line(self, tmp_path: Path) -> None:
        reason = self._loads_or_tells(tmp_path)

        assert reason is None or 1 == len(reason.strip().splitlines())

    def test_loading_writes_nothing_into_the_folder_without_permission(self, tmp_path: Path) -> None:
        self._loads_or_tells(tmp_path)

        assert [] == list(tmp_path.iterdir())

    @property
    def _labels(self) -> tuple[tuple[int, ...], int]:
        """The shape of an image's labels, and how many values each can have."""
        several = self.spec.task == "multilabel"
        return ((self.spec.num_classes,), 2) if several else ((), self.spec.num_classes)

    def _loaded(self, image_size: int | None = None) -> Splits:
        try:
            return self._load(self.root, image_size)
        except HarnessError as error:
            pytest.skip(f"the dataset is not here: {error}")

    def _loads_or_tells(self, root: Path | None) -> str | None:
        """Return why it cannot be loaded from *root*, None if it can; any other error than HarnessError is raised."""
        try:
            self._load(root)
        except HarnessError as error:
            return str(error)
        return None

    def _load(self, root: Path | None, image_size: int | None = None) -> Splits:
        return self.spec.load(image_size=image_size or self.image_sizes[0], root=root, download=False)


def _each(splits: Splits) -> tuple[Split, Split, Split]:
    return splits.train, splits.validation, splits.test


def _digest(split: Split) -> str:
    return hashlib.sha256(split.images.tobytes() + split.labels.tobytes()).hexdigest()


def _digests(images: np.ndarray[Any, Any]) -> set[bytes]:
    return {hashlib.sha256(image.tobytes()).digest() for image in images}
