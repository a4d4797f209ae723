"""`npz:PATH`: images of one's own in MedMNIST's layout, `{train,val,test}_{images,labels}` in one npz file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from attrs import frozen

from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.plugins.images.data_folder import own_path
from harness.plugins.images.labelled_images import SPLITS, check_memory, each_split, splits_of
from harness.plugins.images.npz_file import Expected, Header, read_headers, read_npz
from harness.plugins.images.npz_labels import ANY_LABELS, WAY_OUT, labels_told_by, task_told_by
from harness.specs import DatasetFiles, DatasetSpec, Finding, Splits
from harness.weights.choosing import file_digest

PREFIX = "npz:"
_IMAGES = Expected(("uint8",), ((None, None, None), (None, None, None, 1), (None, None, None, 3)))


@frozen
class NpzContents:
    """What a file holds: task, number of classes or labels, channels, images in each split, the headers of its arrays,
    and what those have to be.
    """

    task: str
    classes: int
    channels: int
    counts: tuple[int, int, int]
    headers: Mapping[str, Header]
    arrays: Mapping[str, Expected]

    def __str__(self) -> str:
        kind = "labels" if self.task == "multilabel" else "classes"
        return f"{self.classes} {kind}, {self.channels} channels, {' / '.join(map(str, self.counts))} images"


@frozen
class NpzDataset:
    """The dataset in the file *path*."""

    path: Path

    def contents(self) -> NpzContents:
        """Return what the file holds, by its headers and labels.

        Raises HarnessError where it cannot be read, its parts do not fit together, or training images lack a class.
        """
        try:
            state = self.path.stat()
        except OSError as error:
            raise HarnessError(f"dataset '{PREFIX}{self.path}' cannot be read: {error.strerror}") from error
        return _contents(self.path, (state.st_size, state.st_mtime_ns))

    def load(self, image_size: int, root: Path | None, download: bool) -> Splits:
        """Return the images at *image_size* pixels; nothing is read from *root* or downloaded."""
        return splits_of(read_npz(self.path, self.contents().arrays, _limit(), WAY_OUT), image_size)

    def check(self, image_size: int, root: Path | None, download: bool) -> None:
        """Raise HarnessError where `load` would."""
        contents = self.contents()
        check_memory(contents.headers, image_size)
        read_npz(self.path, contents.arrays, _limit(), WAY_OUT)

    def variant(self, root: Path | None) -> str:
        """Return a digest of the file, since trials on other content are other trials."""
        state = self.path.stat()
        return _variant(self.path, (state.st_size, state.st_mtime_ns))

    def verify(self, root: Path | None) -> Iterator[Finding]:
        """Yield whether the file can be used."""
        try:
            found = self.contents()
            read_npz(self.path, found.arrays, _limit(), WAY_OUT)
        except HarnessError as error:
            yield Finding(self.path, False, str(error))
        else:
            yield Finding(self.path, True, str(found))


def _limit() -> int:
    """Return how many bytes the file may unpack to: those that are free."""
    import psutil

    free: int = psutil.virtual_memory().available
    return free


# By size and time of change, so that a changed file is read anew. A plan asks once for each trial.
@lru_cache(maxsize=8)
def _contents(path: Path, state: tuple[int, int]) -> NpzContents:
    headers = read_headers(path, _arrays(ANY_LABELS), _limit(), WAY_OUT)
    arrays = _arrays(labels_told_by(path, headers))
    of_labels = {name: expected for name, expected in arrays.items() if name.endswith("_labels")}
    labels = read_npz(path, of_labels, _limit(), WAY_OUT)
    _check_lengths(path, headers)
    _check_shapes(path, headers)
    task, classes = task_told_by(path, {split: labels[f"{split}_labels"] for split in SPLITS})
    shape = headers["train_images"].shape
    train, validation, test = (headers[f"{split}_images"].shape[0] for split in SPLITS)
    return NpzContents(task, classes, 3 if shape[3:] == (3,) else 1, (train, validation, test), headers, arrays)


def _arrays(labels: Expected) -> dict[str, Expected]:
    return each_split(dict.fromkeys(SPLITS, _IMAGES), labels)


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
                f"'{split}_labels'; {WAY_OUT}"
            )


def _check_shapes(path: Path, headers: Mapping[str, Header]) -> None:
    shapes = {split: headers[f"{split}_images"].shape[1:] for split in SPLITS}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{list(shape)} in {split!r}" for split, shape in shapes.items())
        raise HarnessError(f"{str(path)!r}: expected images alike in all splits, found {found}; {WAY_OUT}")


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
        task=contents.task,
        splits=contents.counts,
        files=DatasetFiles(lambda root: [dataset.path], dataset.verify),
        variant=dataset.variant,
        check=dataset.check,
    )
