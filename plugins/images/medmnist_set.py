"""The files of one MedMNIST set: where they are, whether they are the published ones, fetching and reading them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path

from attrs import frozen

from harness.errors import HarnessError
from harness.plugins.images.data_folder import data_folder
from harness.plugins.images.downloading import download as fetch
from harness.plugins.images.downloading import file_md5
from harness.plugins.images.labelled_images import SPLITS, check_memory, each_split, splits_of
from harness.plugins.images.npz_file import Expected, read_headers, read_npz
from harness.specs import Finding, Splits, stored_size

PUBLISHED_AT = "https://zenodo.org/records/10519652/files"
# For names and headers, which the arrays' own sizes leave out.
_HEADROOM_BYTES = 1 << 20
# Of several labels to an image; which of them a file has is no matter, since its checksum is compared.
_LABEL_TYPES = ("uint8", "int64")


@frozen
class MedMnistSet:
    """One set as published.

    `counts` are the images in (train, validation, test), `md5` the checksum of the file of each stored size [pixels].
    A set that is `multilabel` has `classes` labels to an image, each of them 0 or 1.
    """

    name: str
    channels: int
    classes: int
    counts: tuple[int, int, int]
    md5: Mapping[int, str]
    published_at: str = PUBLISHED_AT
    multilabel: bool = False

    def load(self, image_size: int, root: Path | None, download: bool) -> Splits:
        """Return the images at *image_size* pixels, resized from the next larger stored size, else the largest.

        Raises HarnessError where that size's file is not there, or is not the published one.
        """
        size = stored_size(tuple(self.md5), image_size)
        path = self._checked(size, root, download)
        return splits_of(read_npz(path, self._arrays(size), self._limit(size), self._way_out(size)), image_size)

    def check(self, image_size: int, root: Path | None, download: bool) -> None:
        """Raise HarnessError where `load` would; with *download*, fetch the file that is missing."""
        size = stored_size(tuple(self.md5), image_size)
        path = self._checked(size, root, download)
        check_memory(read_headers(path, self._arrays(size), self._limit(size), self._way_out(size)), image_size)

    def expected(self, root: Path | None) -> Sequence[Path]:
        """Return the places of the files of all sizes, there or not."""
        return [self._found(size, root) or self._folders(root)[0] / self._file(size) for size in self.md5]

    def verify(self, root: Path | None) -> Iterator[Finding]:
        """Yield whether each file that is there is the published one; raises HarnessError where none is."""
        there = {size: path for size in self.md5 if (path := self._found(size, root)) is not None}
        if not there:
            raise self._missing(max(self.md5), root)

        for size, path in there.items():
            try:
                self._check_file(path, size)
                read_npz(path, self._arrays(size), self._limit(size), self._way_out(size))
            except HarnessError as error:
                yield Finding(path, False, str(error))
            else:
                yield Finding(path, True, f"as published (MD5 {self.md5[size]})")

    def url(self, size: int) -> str:
        """Return where the file of *size* pixels is published."""
        return f"{self.published_at}/{self._file(size)}?download=1"

    def _checked(self, size: int, root: Path | None, download: bool) -> Path:
        """Return the published file of *size* pixels, which is fetched where that is needed and allowed."""
        path = self._found(size, root)
        if path is None and not download:
            raise self._missing(size, root)
        if path is None:
            path = self._folders(root)[0] / self._file(size)
            fetch(self.url(size), path, self.md5[size])
        self._check_file(path, size)
        return path

    def _check_file(self, path: Path, size: int) -> None:
        # First the headers: they say more of a damaged file than a checksum does.
        read_headers(path, self._arrays(size), self._limit(size), self._way_out(size))
        found = file_md5(path)
        if found != self.md5[size]:
            raise HarnessError(
                f"{str(path)!r}: expected the published file, MD5 {self.md5[size]}, found MD5 {found}; "
                f"{self._way_out(size)}"
            )

    def _missing(self, size: int, root: Path | None) -> HarnessError:
        folders = " or ".join(repr(str(folder)) for folder in self._folders(root))
        return HarnessError(
            f"dataset {self.name!r} needs {self._file(size)!r} in {folders}; allow --download, or put it there from "
            f"{self.url(size)} (MD5 {self.md5[size]}); --data-dir names another folder"
        )

    def _way_out(self, size: int) -> str:
        return f"delete it and give --download, or get it from {self.url(size)}"

    def _found(self, size: int, root: Path | None) -> Path | None:
        places = (folder / self._file(size) for folder in self._folders(root))
        return next((place for place in places if place.exists()), None)

    def _folders(self, root: Path | None) -> list[Path]:
        """Return where files are looked for: without a folder of the user's, also where the medmnist package has them.

        Which of them holds a file does not matter, since all have to be the published one.
        """
        return [data_folder(root)] if root is not None else [data_folder(None), Path.home() / ".medmnist"]

    def _file(self, size: int) -> str:
        return f"{self.name}.npz" if size == 28 else f"{self.name}_{size}.npz"

    def _arrays(self, size: int) -> dict[str, Expected]:
        """Return what the file of *size* pixels holds, to the last image."""
        colours = () if self.channels == 1 else (self.channels,)
        shapes = {split: (count, size, size, *colours) for split, count in zip(SPLITS, self.counts, strict=True)}
        images = {split: Expected(("uint8",), (shape,)) for split, shape in shapes.items()}
        return each_split(images, self._labels())

    def _labels(self) -> Expected:
        if self.multilabel:
            return Expected(_LABEL_TYPES, ((None, self.classes),), (0, 1))
        return Expected(("uint8",), ((None, 1),), (0, self.classes - 1))

    def _limit(self, size: int) -> int:
        labels = 8 * self.classes if self.multilabel else 1
        return sum(self.counts) * (prod((size, size, self.channels)) + labels) + _HEADROOM_BYTES
