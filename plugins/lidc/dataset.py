"""`lidc` and `lidc-series`: patches of the lung nodules of LIDC-IDRI, by the paper's split and by a split by series.

Positive where three or four of four raters marked a nodule (Selvan et al., NLDL 2025). `lidc` is cut from the stored
order, 60/20/20, as the paper's split of 9,057, 3,019 and 3,020 patches was: patches of one CT series can be on both
sides of a cut. In `lidc-series` no series is in two parts.

Two names rather than an option: a trial is then told apart by its dataset, and both can be ranked in one study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.plugins.images.data_folder import data_folder
from harness.plugins.lidc.facts import facts
from harness.plugins.lidc.file import NAME, WAY_OUT, read_about, read_patches, write_patches
from harness.plugins.lidc.patches import SIDE, is_published, labels_of
from harness.plugins.lidc.split import Parts, parts_by_series, parts_in_order
from harness.specs import DatasetFiles, DatasetSpec, Finding, Split, Splits

_PAPER = (9057, 3019, 3020)


def load(image_size: int, root: Path | None, parts: Parts) -> Splits:
    """Return the patches at *image_size* pixels, one channel, and their labels, split by *parts*."""
    from harness.plugins.images.image_resizing import resized_images

    patches = read_patches(_place(root))
    part, labels = parts(patches), labels_of(patches.masks)

    def split(number: int) -> Split:
        images = patches.images[part == number]
        sized = images[:, None] if image_size == SIDE else resized_images(images, image_size)
        return Split(sized, labels[part == number])

    return Splits(split(0), split(1), split(2))


def _place(root: Path | None) -> Path:
    return data_folder(root) / NAME


def _expected(root: Path | None) -> Sequence[Path]:
    return (_place(root),)


def _variant(root: Path | None, ordered: bool) -> str:
    """Return "default" for the published pickle, else what was split: the order where it counts, number and digest."""
    path = _place(root)
    about = read_about(path) if path.exists() else None
    if about is None or is_published(about.source):
        return "default"

    order = "pickle's order, " if about.published_order else "HDF5's order, "
    return f"{order if ordered else ''}{about.count} patches, {about.source[:16]}"


def _verify(root: Path | None, parts: Parts) -> Iterator[Finding]:
    """Yield what is right and wrong with the file; raises HarnessError where it is not there."""
    path = _place(root)
    if not path.exists():
        raise HarnessError(f"{str(path)!r} is not there; {WAY_OUT}")
    try:
        patches = read_patches(path)
        yield Finding(path, True, "whole: types, shapes and checksums are as they must be")
        yield from (Finding(path, right, told) for right, told in facts(patches, parts))
    except HarnessError as error:
        yield Finding(path, False, str(error))


def _prepare(source: Path, root: Path | None, parts: Parts) -> Iterator[Finding]:
    """Convert the archive *source*, pickle or HDF5; yields what `_verify` finds in what was written."""
    from harness.plugins.lidc.archive import read_archive

    write_patches(_place(root), read_archive(source))
    yield from _verify(root, parts)


@hookimpl
def harness_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    register(_spec("lidc", parts_in_order, _PAPER, "the paper's split, in stored order"))
    register(_spec("lidc-series", parts_by_series, None, "no CT series in two parts"))


def _spec(name: str, parts: Parts, splits: tuple[int, int, int] | None, note: str) -> DatasetSpec:
    def load_split(image_size: int, root: Path | None, download: bool) -> Splits:
        return load(image_size, root, parts)

    def check(image_size: int, root: Path | None, download: bool) -> None:
        from harness.plugins.images.image_resizing import check_room

        patches = read_patches(_place(root))
        parts(patches)
        needed = patches.images.nbytes + patches.masks.nbytes + len(patches) * image_size**2
        check_room(needed, f"{len(patches):,} patches, as stored and at {image_size} x {image_size} pixels, take")

    return DatasetSpec(
        name=name,
        load=load_split,
        num_classes=2,
        in_chans=1,
        task="binary",
        splits=splits,
        image_sizes=(SIDE,),
        note=f"lung nodules in CT, four raters; {note}; from an archive of one's own",
        files=DatasetFiles(
            _expected,
            lambda root: _verify(root, parts),
            lambda source, root: _prepare(source, root, parts),
        ),
        variant=lambda root: _variant(root, parts is parts_in_order),
        check=check,
    )
