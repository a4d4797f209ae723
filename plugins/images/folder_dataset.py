"""`folder:PATH`: images of one's own, a folder for each class, as they are or in train, val and test."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from attrs import frozen

from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.plugins.images.data_folder import own_path
from harness.plugins.images.image_file import channels_of, read_image
from harness.plugins.images.image_folder import ImageFile, ImageFolder, read_folder
from harness.plugins.images.image_resizing import check_room, empty_images, for_each, resized_image
from harness.plugins.images.stratified_split import drawn_splits, split_counts
from harness.specs import DatasetFiles, DatasetSpec, Finding, Split, Splits
from harness.weights.choosing import file_digest

PREFIX = "folder:"
_MOST_TOLD = 5


@frozen
class FolderDataset:
    """The dataset in the folder *path*, which is read anew whenever it is asked."""

    path: Path

    def contents(self) -> ImageFolder:
        """Return the images by class; raises HarnessError as `read_folder`."""
        return read_folder(self.path)

    def channels(self) -> int:
        """Return 1 where all images are grey, else 3; raises HarnessError for files that are no usable images."""
        return _channels(self.contents())

    def load(self, image_size: int, root: Path | None, download: bool) -> Splits:
        """Return the images at *image_size* pixels; nothing is read from *root* or downloaded."""
        contents = self.contents()
        channels = _channels(contents)
        train, validation, test = (_loaded(split, channels, image_size) for split in drawn_splits(contents))
        return Splits(train, validation, test)

    def check(self, image_size: int, root: Path | None, download: bool) -> None:
        """Raise HarnessError where `load` would; every image is read."""
        contents = self.contents()
        channels, count = _channels(contents), len(contents.images)
        check_room(count * channels * image_size**2, f"{count:,} images of {image_size} x {image_size} pixels take")
        _read_all(contents.images, channels)

    def variant(self, root: Path | None) -> str:
        """Return how the images are split and a digest of all of them, since other images are another trial."""
        contents = self.contents()
        drawn = "60/20/20 by class, " if len(contents.splits) == 1 else ""
        return f"{drawn}sha256:{_digest(contents)[:16]}"

    def verify(self, root: Path | None) -> Iterator[Finding]:
        """Yield whether every image can be used."""
        try:
            contents = self.contents()
            _read_all(contents.images, _channels(contents))
        except HarnessError as error:
            yield Finding(self.path, False, str(error))
        else:
            yield Finding(self.path, True, f"{len(contents.images)} images of {len(contents.classes)} classes")


# A plan asks once for each trial. The files' sizes and times are part of the key.
@lru_cache(maxsize=8)
def _channels(contents: ImageFolder) -> int:
    channels, problems = {1}, []
    for image in contents.images:
        try:
            channels.add(channels_of(image.path))
        except HarnessError as error:
            problems.append(error)
    _refuse(problems)
    return max(channels)


@lru_cache(maxsize=8)
def _digest(contents: ImageFolder) -> str:
    """Return the SHA-256 of the names below the folder, with their files' contents."""
    digest = hashlib.sha256()
    for image in contents.images:
        name = os.fsencode(image.path.relative_to(contents.path))
        digest.update(name + b"\0" + (file_digest(str(image.path)) or "").encode() + b"\n")
    return digest.hexdigest()


def _loaded(images: Sequence[ImageFile], channels: int, size: int) -> Split:
    import numpy as np

    pixels = empty_images(len(images), channels, size)

    def bring(number: int) -> None:
        pixels[number] = resized_image(read_image(images[number].path, channels), size)

    for_each(bring, len(images))
    return Split(pixels, np.array([image.label for image in images], np.int64))


def _read_all(images: Sequence[ImageFile], channels: int) -> None:
    problems: dict[int, HarnessError] = {}

    def read(number: int) -> None:
        try:
            read_image(images[number].path, channels)
        except HarnessError as error:
            problems[number] = error

    for_each(read, len(images))
    _refuse([problems[number] for number in sorted(problems)])


def _refuse(problems: Sequence[HarnessError]) -> None:
    """Raise HarnessError with a line for each of the first *problems*, where there are any."""
    if problems:
        more = len(problems) - _MOST_TOLD
        told = [str(problem) for problem in problems[:_MOST_TOLD]]
        raise HarnessError("\n".join(told + ([f"and {more} more images that cannot be used"] if more > 0 else [])))


@hookimpl(trylast=True)
def harness_resolve_dataset(name: str) -> DatasetSpec | None:
    """Return the dataset `folder:PATH`; the heads of its images are read here, so that the plan tells of bad ones."""
    if not name.startswith(PREFIX):
        return None
    if name == PREFIX:
        raise HarnessError("'folder:' names no folder; write folder:PATH, such as folder:images")
    if importlib.util.find_spec("PIL") is None:
        raise HarnessError(f"dataset {name!r} needs pillow: pip install 'pepr-harness[vision]'")

    dataset = FolderDataset(own_path(name, PREFIX))
    contents = dataset.contents()
    return DatasetSpec(
        name=f"{PREFIX}{dataset.path}",
        load=dataset.load,
        num_classes=len(contents.classes),
        in_chans=dataset.channels(),
        task="binary" if len(contents.classes) == 2 else "multiclass",
        splits=split_counts(contents),
        files=DatasetFiles(lambda root: [dataset.path], dataset.verify),
        variant=dataset.variant,
        check=dataset.check,
    )
