"""`lidc` and `lidc-series`: patches of the lung nodules of LIDC-IDRI, by the paper's split and by a split by series.

Positive where three or four of four raters marked a nodule (Selvan et al., NLDL 2025). `lidc` is cut from the stored
order, 60/20/20, as the paper's split of 9,057, 3,019 and 3,020 patches was: patches of one CT series can be on both
sides of a cut. In `lidc-series` no series is in two parts.

Two names rather than an option: a trial is then told apart by its dataset, and both can be ranked in one study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.plugins.data_folder import data_folder
from harness.plugins.lidc_file import NAME, WAY_OUT, read_order, read_patches, read_sizes, write_patches
from harness.plugins.lidc_patches import (
    PUBLISHED,
    PUBLISHED_POSITIVE,
    PUBLISHED_SERIES,
    PUBLISHED_SHA256,
    SIDE,
    Patches,
    labels_of,
    parts_by_series,
)
from harness.specs import DatasetFiles, DatasetSpec, Finding, Split, Splits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PAPER = (9057, 3019, 3020)
_HDF5 = b"\x89HDF\r\n\x1a\n"

Parts = Callable[[Patches], "NDArray[np.int64]"]


def parts_in_order(patches: Patches) -> NDArray[np.int64]:
    """Return `int64 [N]`: 0 (train), 1 (validation) or 2 (test), cut 60/20/20 from the stored order.

    15,096 patches give the paper's 9,057, 3,019 and 3,020. Raises HarnessError for fewer than five.
    """
    import numpy as np

    count = len(patches)
    if count < 5:
        raise HarnessError(f"a split of 60/20/20 needs five patches or more, found {count}")
    cuts = [6 * count // 10, 6 * count // 10 + 2 * count // 10]
    return np.searchsorted(cuts, np.arange(count), side="right").astype(np.int64)


def load(image_size: int, root: Path | None, parts: Parts) -> Splits:
    """Return the patches at *image_size* pixels, one channel, and their labels, split by *parts*."""
    from harness.plugins.image_resizing import resized_images

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


def _ordered_variant(root: Path | None) -> str:
    """Return "default" for the paper's split, else what the stored order is that the parts are cut from."""
    path = _place(root)
    if not path.exists():
        return "default"

    order = "published order" if read_order(path) else "order of an HDF5 archive"
    count = read_sizes(path)["images"].shape[0]
    return "default" if (order, count) == ("published order", PUBLISHED) else f"{order}, {count} patches"


def _series_variant(root: Path | None) -> str:
    """Return "default" for the published number of patches, else their number."""
    path = _place(root)
    count = read_sizes(path)["images"].shape[0] if path.exists() else PUBLISHED
    return "default" if count == PUBLISHED else f"{count} patches"


def _verify(root: Path | None, parts: Parts) -> Iterator[Finding]:
    """Yield what is right and wrong with the file; raises HarnessError where it is not there."""
    path = _place(root)
    if not path.exists():
        raise HarnessError(f"{str(path)!r} is not there; {WAY_OUT}")
    try:
        patches = read_patches(path)
        yield Finding(path, True, "whole: types, shapes and checksums are as they must be")
        yield from (Finding(path, right, told) for right, told in _facts(patches, parts))
    except HarnessError as error:
        yield Finding(path, False, str(error))


def _facts(patches: Patches, parts: Parts) -> Iterator[tuple[bool, str]]:
    yield _archive(patches)
    yield _content(patches)
    if parts is parts_in_order and not patches.published_order:
        yield False, "in the order of an HDF5 archive, not the published one: not the paper's split; use lidc-series"
    yield from _split(patches, parts(patches))


def _archive(patches: Patches) -> tuple[bool, str]:
    if patches.source == PUBLISHED_SHA256:
        return True, "made from the published pickle"
    return True, f"made from another file than the published pickle, SHA-256 {patches.source}: order taken on trust"


def _content(patches: Patches) -> tuple[bool, str]:
    import numpy as np

    found = len(patches), len(np.unique(patches.uids)), int(labels_of(patches.masks).sum())
    told = "{:,} patches of {:,} series, {:,} of them positive"
    if found == (PUBLISHED, PUBLISHED_SERIES, PUBLISHED_POSITIVE):
        return True, f"{told.format(*found)}, as in the published set"
    published = told.format(PUBLISHED, PUBLISHED_SERIES, PUBLISHED_POSITIVE)
    return False, f"{told.format(*found)}, where the published set has {published}: results are not the paper's"


def _split(patches: Patches, part: NDArray[np.int64]) -> Iterator[tuple[bool, str]]:
    import numpy as np

    counts = np.bincount(part, minlength=3)
    yield True, "split into {:,} for training, {:,} for validation, {:,} for testing".format(*counts)
    places = np.unique(np.stack([np.unique(patches.uids, return_inverse=True)[1], part]), axis=1)[0]
    shared = int((np.bincount(places) > 1).sum())
    yield True, f"{shared} series in more than one part" if shared else "no series in two parts"


def _prepare(source: Path, root: Path | None, parts: Parts) -> Iterator[Finding]:
    """Convert the archive *source*, pickle or HDF5; yields what `_verify` finds in what was written."""
    write_patches(_place(root), _read_archive(source))
    yield from _verify(root, parts)


def _read_archive(source: Path) -> Patches:
    if source.exists() and not source.is_file():
        raise HarnessError(f"{str(source)!r} is no file; give the archive itself with --from")
    try:
        with source.open("rb") as content:
            start = content.read(512)
    except OSError as error:
        raise HarnessError(f"cannot read {str(source)!r}: {error.strerror}; give the archive with --from") from error
    if start.startswith(_HDF5):
        from harness.plugins.lidc_hdf5 import read_hdf5

        return read_hdf5(source)
    if not start.startswith(b"\x80"):
        raise HarnessError(f"{str(source)!r}: expected a pickle or an HDF5 file, found {_what(start)}")
    from harness.plugins.lidc_pickle import read_pickle

    return read_pickle(source)


def _what(start: bytes) -> str:
    """Return what a file is by its first bytes."""
    if not start:
        return "an empty file"
    if start.lstrip().startswith(b"<"):
        return "a web page, such as a server's error message; download it anew"
    return "an archive to be unpacked first" if start.startswith((b"PK", b"\x1f\x8b")) else "something else"


@hookimpl
def harness_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    register(_spec("lidc", parts_in_order, _ordered_variant, _PAPER, "the paper's split, in stored order"))
    register(_spec("lidc-series", parts_by_series, _series_variant, None, "no CT series in two parts"))


def _spec(
    name: str,
    parts: Parts,
    variant: Callable[[Path | None], str],
    splits: tuple[int, int, int] | None,
    note: str,
) -> DatasetSpec:
    def load_split(image_size: int, root: Path | None, download: bool) -> Splits:
        return load(image_size, root, parts)

    def check(image_size: int, root: Path | None, download: bool) -> None:
        parts(read_patches(_place(root)))

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
        variant=variant,
        check=check,
    )
