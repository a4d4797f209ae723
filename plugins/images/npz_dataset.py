"""`npz:PATH`: images of one's own in MedMNIST's layout, `{train,val,test}_{images,labels}` in one npz file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.plugins.images.data_folder import own_path
from harness.plugins.images.labelled_images import SPLITS, check_memory, each_split, splits_of
from harness.plugins.images.npz_file import Expected, Header, read_headers, read_npz
from harness.specs import DatasetFiles, DatasetSpec, Finding, Splits
from harness.weights.choosing import file_digest

if TYPE_CHECKING:
    import numpy as np

PREFIX = "npz:"
_WHOLE_NUMBERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_IMAGES = Expected(("uint8",), ((None, None, None), (None, None, None, 1), (None, None, None, 3)))
# The upper bound is to tell labels from things that are none.
_LABELS = Expected(_WHOLE_NUMBERS, ((None, 1), (None,)), (0, 9999))
_ARRAYS = each_split(dict.fromkeys(SPLITS, _IMAGES), _LABELS)
_WAY_OUT = "write uint8 images and whole-number labels with numpy.savez_compressed (docs/datasets.md)"


@frozen
class NpzContents:
    """What a file holds: number of classes, channels, images in each split, and the headers of its arrays."""

    classes: int
    channels: int
    counts: tuple[int, int, int]
    headers: Mapping[str, Header]


@frozen
class NpzDataset:
    """The dataset in the file *path*."""

    path: Path

    def contents(self) -> NpzContents:
        """Return what the file holds, by its headers and labels.

        Raises HarnessError where it cannot be read, its parts do not fit together, or a class has no training image.
        """
        try:
            state = self.path.stat()
        except OSError as error:
            raise HarnessError(f"dataset '{PREFIX}{self.path}' cannot be read: {error.strerror}") from error
        return _contents(self.path, (state.st_size, state.st_mtime_ns))

    def load(self, image_size: int, root: Path | None, download: bool) -> Splits:
        """Return the images at *image_size* pixels; nothing is read from *root* or downloaded."""
        self.contents()
        return splits_of(read_npz(self.path, _ARRAYS, _limit(), _WAY_OUT), image_size)

    def check(self, image_size: int, root: Path | None, download: bool) -> None:
        """Raise HarnessError where `load` would."""
        check_memory(self.contents().headers, image_size)
        read_npz(self.path, _ARRAYS, _limit(), _WAY_OUT)

    def variant(self, root: Path | None) -> str:
        """Return a digest of the file, since trials on other content are other trials."""
        state = self.path.stat()
        return _variant(self.path, (state.st_size, state.st_mtime_ns))

    def verify(self, root: Path | None) -> Iterator[Finding]:
        """Yield whether the file can be used."""
        try:
            found = self.contents()
            read_npz(self.path, _ARRAYS, _limit(), _WAY_OUT)
        except HarnessError as error:
            yield Finding(self.path, False, str(error))
        else:
            told = f"{found.classes} classes, {found.channels} channels, {' / '.join(map(str, found.counts))} images"
            yield Finding(self.path, True, told)


def _limit() -> int:
    """Return how many bytes the file may unpack to: those that are free."""
    import psutil

    free: int = psutil.virtual_memory().available
    return free


# By size and time of change, so that a changed file is read anew. A plan asks once for each trial.
@lru_cache(maxsize=8)
def _contents(path: Path, state: tuple[int, int]) -> NpzContents:
    headers = read_headers(path, _ARRAYS, _limit(), _WAY_OUT)
    labels = read_npz(path, {name: _LABELS for name in _ARRAYS if name.endswith("_labels")}, _limit(), _WAY_OUT)
    _check_lengths(path, headers)
    _check_shapes(path, headers)
    classes = _classes(path, {split: labels[f"{split}_labels"] for split in SPLITS})
    shape = headers["train_images"].shape
    train, validation, test = (headers[f"{split}_images"].shape[0] for split in SPLITS)
    return NpzContents(classes, 3 if shape[3:] == (3,) else 1, (train, validation, test), headers)


@lru_cache(maxsize=8)
def _variant(path: Path, state: tuple[int, int]) -> str:
    digest = file_digest(str(path)) or ""
    return f"sha256:{digest[:16]}"


def _check_lengths(path: Path, headers: Mapping[str, Header]) -> None:
    for split in SPLITS:
        images, labels = (headers[f"{split}_{kind}"].shape[0] for kind in ("images", "labels"))
        if images != labels:
            raise HarnessError(
                f"{str(path)!r}: expected a label for each image, found {images} in '{split}_images' and {labels} in "
                f"'{split}_labels'; {_WAY_OUT}"
            )


def _check_shapes(path: Path, headers: Mapping[str, Header]) -> None:
    shapes = {split: headers[f"{split}_images"].shape[1:] for split in SPLITS}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{list(shape)} in {split!r}" for split, shape in shapes.items())
        raise HarnessError(f"{str(path)!r}: expected images alike in all splits, found {found}; {_WAY_OUT}")


def _classes(path: Path, labels: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.integer]]]) -> int:
    """Return the number of classes; each that is in any split has to have training images."""
    import numpy as np

    highest = max(int(each.max()) for each in labels.values())
    missing = sorted(set(range(highest + 1)) - set(np.unique(labels["train"]).tolist()))
    if highest == 0 or missing:
        found = "one class only" if highest == 0 else f"no training image of class {', '.join(map(str, missing[:10]))}"
        raise HarnessError(
            f"{str(path)!r}: expected labels of two or more classes, counted from 0, found {found}; {_WAY_OUT}"
        )
    return highest + 1


@hookimpl(trylast=True)
def harness_resolve_dataset(name: str) -> DatasetSpec | None:
    """Return the dataset `npz:PATH`; its head is read here, so that a bad file is told of in the plan."""
    if not name.startswith(PREFIX):
        return None
    if name == PREFIX:
        raise HarnessError("'npz:' names no file; write npz:PATH, such as npz:images.npz")

    dataset = NpzDataset(own_path(name, PREFIX))
    contents = dataset.contents()
    return DatasetSpec(
        name=f"{PREFIX}{dataset.path}",
        load=dataset.load,
        num_classes=contents.classes,
        in_chans=contents.channels,
        task="binary" if contents.classes == 2 else "multiclass",
        splits=contents.counts,
        files=DatasetFiles(lambda root: [dataset.path], dataset.verify),
        variant=dataset.variant,
        check=dataset.check,
    )
