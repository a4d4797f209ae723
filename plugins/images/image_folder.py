"""The images below a folder by class: either in the folders train, val and test, or without them, to be drawn.

Hidden files and what systems leave behind are passed over. Any other file below a class has to be an image: one that is
left out in silence would be missed by nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

from harness.errors import HarnessError
from harness.plugins.images.image_file import ENDINGS

_LEFT_BEHIND = ("thumbs.db", "desktop.ini", "__macosx")
_SPLITS = ("train", "val", "test")
# Folder's name in lower case -> split.
_SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# Of each class: one for each split.
_LEAST_IMAGES = 3


@frozen
class ImageFile:
    """An image with the number of its class; `state` tells whether the file has changed."""

    path: Path
    label: int
    state: tuple[int, int]


@frozen
class ImageFolder:
    """The images of a folder, by class and name.

    `splits` are three (train, validation, test) where the folder says so, else all images in one.
    """

    path: Path
    classes: tuple[str, ...]
    splits: tuple[tuple[ImageFile, ...], ...]

    @property
    def images(self) -> tuple[ImageFile, ...]:
        return tuple(image for split in self.splits for image in split)


def read_folder(path: Path) -> ImageFolder:
    """Return the images below *path*.

    Raises HarnessError where it cannot be read, has no class folders or one only, a class without images, classes that
    are not the same in all splits, or files that are no images.
    """
    try:
        folders = _folders(path)
        return _with_splits(path, folders) if _are_splits(path, folders) else _to_be_drawn(path, folders)
    except OSError as error:
        raise HarnessError(f"cannot read {str(error.filename or path)!r}: {error.strerror}") from error


def _are_splits(path: Path, folders: Sequence[Path]) -> bool:
    """Say whether *folders* are splits rather than classes; raises HarnessError where they are both.

    A class may be named "train" or "test", as long as no other is.
    """
    named = [folder.name for folder in folders if folder.name.lower() in _SPLIT_FOLDERS]
    others = [folder.name for folder in folders if folder.name not in named]
    if len(named) > 1 and others:
        raise _refusal(path, f"both splits ({_listed(named)}) and other folders ({_listed(others)})")
    return bool(named) and not others


def _with_splits(path: Path, folders: Sequence[Path]) -> ImageFolder:
    by_split = {_SPLIT_FOLDERS[folder.name.lower()]: folder for folder in folders}
    if len(by_split) < len(_SPLITS) or len(folders) > len(_SPLITS):
        raise _refusal(path, f"of these three {_listed([folder.name for folder in folders])}")
    train, *others = (by_split[split] for split in _SPLITS)
    classes = _class_names(train)
    for other in others:
        _check_same_classes(train, classes, other)
    splits = tuple(_images(folder, classes) for folder in (train, *others))
    _check_every_class(train, classes, splits[0], 1)
    for folder, images in zip(others, splits[1:], strict=True):
        if not images:
            raise _refusal(folder, "no image")
    return ImageFolder(path, classes, splits)


def _to_be_drawn(path: Path, folders: Sequence[Path]) -> ImageFolder:
    classes = _class_names(path)
    images = _images(path, classes)
    _check_every_class(path, classes, images, _LEAST_IMAGES)
    return ImageFolder(path, classes, (images,))


def _class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the folders in *folder*, sorted; raises HarnessError for fewer than two, or loose images."""
    loose = [entry.name for entry in _visible(folder) if entry.suffix.lower() in ENDINGS and not entry.is_dir()]
    if loose:
        raise _refusal(folder, f"{len(loose)} images that are in no class, such as {loose[0]!r}")
    names = tuple(entry.name for entry in _folders(folder))
    if len(names) < 2:
        raise _refusal(folder, f"one class only, {names[0]!r}" if names else "no folder")
    return names


def _check_same_classes(train: Path, classes: Sequence[str], other: Path) -> None:
    names = _class_names(other)
    odd = sorted(set(names) ^ set(classes))
    if odd:
        where = {name: train.name if name in classes else other.name for name in odd}
        told = ", ".join(f"{name!r} only in {folder!r}" for name, folder in where.items())
        raise HarnessError(f"{str(train.parent)!r}: expected the same classes in all splits, found {told}; rename them")


def _check_every_class(folder: Path, classes: Sequence[str], images: Sequence[ImageFile], least: int) -> None:
    counts = dict.fromkeys(classes, 0)
    for image in images:
        counts[classes[image.label]] += 1
    few = {name: count for name, count in counts.items() if count < least}
    if few:
        told = ", ".join(f"{count} in {name!r}" for name, count in few.items())
        raise HarnessError(
            f"{str(folder)!r}: expected {least} or more images of each class, found {told}; add some, or remove it"
        )


def _images(folder: Path, classes: Sequence[str]) -> tuple[ImageFile, ...]:
    return tuple(
        _image(path, label)
        for label, name in enumerate(classes)
        for path in _files_below(folder / name, (folder.resolve(),))
    )


def _image(path: Path, label: int) -> ImageFile:
    state = path.stat()
    return ImageFile(path, label, (state.st_size, state.st_mtime_ns))


def _files_below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the images below *folder* in order; links are followed, but not in circles."""
    here = folder.resolve()
    if here in above:
        raise HarnessError(f"{str(folder)!r} leads back to a folder that it is in; remove the link")
    for entry in _visible(folder):
        if entry.is_dir():
            yield from _files_below(entry, (*above, here))
        elif entry.suffix.lower() in ENDINGS and not entry.is_fifo():
            yield entry
        else:
            raise HarnessError(f"{str(entry)!r} is no image ({', '.join(ENDINGS)}); convert it or move it elsewhere")


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in _visible(folder) if entry.is_dir()]


def _visible(folder: Path) -> list[Path]:
    """Return what is in *folder*, sorted by the bytes of the names: the same order whatever the language is."""
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted((e for e in entries if e.name.lower() not in _LEFT_BEHIND), key=lambda e: os.fsencode(e.name))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:12])) + (" and more" if len(names) > 12 else "")


def _refusal(folder: Path, found: str) -> HarnessError:
    return HarnessError(
        f"{str(folder)!r}: expected a folder for each class, or train, val and test with these, found {found} "
        "(docs/datasets.md)"
    )
