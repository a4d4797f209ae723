"""`lidc.npz`, which the patches of LIDC-IDRI are kept in: written whole or not at all, and read without trusting it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.errors import HarnessError
from harness.output_file import sync_folder
from harness.plugins.images.npz_file import Expected, read_headers, read_npz
from harness.plugins.lidc.dicom_parts import LONGEST_UID
from harness.plugins.lidc.patches import MOST_PATCHES, RATERS, SIDE, Patches

if TYPE_CHECKING:
    from typing import IO

    from numpy.typing import NDArray

NAME = "lidc.npz"
_ARRAYS = {
    "images": Expected(("uint8",), ((None, SIDE, SIDE),)),
    "masks": Expected(("uint8",), ((None, RATERS, SIDE, SIDE // 8),)),
    "uids": Expected(tuple(f"|S{length}" for length in range(1, LONGEST_UID + 1)), ((None,),)),
    "published_order": Expected(("uint8",), ((1,),), (0, 1)),
    "source": Expected(("|S64",), ((1,),)),
}
# Images, packed masks and names, and some more for the headers.
_LIMIT = MOST_PATCHES * (SIDE * SIDE + RATERS * SIDE * SIDE // 8 + LONGEST_UID) + (1 << 20)
WAY_OUT = "make it with `harness data prepare lidc --from data_lidc.pickle`, or name another folder with --data-dir"


@frozen
class About:
    """How many patches a file holds, and what `Patches` says of their order and source."""

    count: int
    published_order: bool
    source: str


def read_patches(path: Path) -> Patches:
    """Return the patches of *path*; raises HarnessError where it is not there, damaged, or another file."""
    arrays = read_npz(_there(path), _ARRAYS, _LIMIT, WAY_OUT)
    _check_counts(path, {name: len(array) for name, array in arrays.items()})
    return Patches(arrays["images"], arrays["masks"], arrays["uids"], *_told(arrays))


def read_about(path: Path) -> About:
    """Return what the file says of its patches, without reading them; errors as `read_patches`."""
    headers = read_headers(_there(path), _ARRAYS, _LIMIT, WAY_OUT)
    _check_counts(path, {name: header.shape[0] for name, header in headers.items()})
    about = read_npz(path, {name: _ARRAYS[name] for name in ("published_order", "source")}, _LIMIT, WAY_OUT)
    return About(headers["images"].shape[0], *_told(about))


def write_patches(path: Path, patches: Patches) -> None:
    """Write *patches* beside *path*, read them again, compare, and move them into place.

    Raises HarnessError where that cannot be done; what was at *path* before is then still there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, patches)
    except OSError as error:
        needed = (patches.images.nbytes + patches.masks.nbytes) / 1e6
        raise HarnessError(
            f"cannot write {str(path)!r}: {error.strerror or error}; it takes {needed:,.0f} MB, "
            f"and --data-dir chooses another folder"
        ) from error


def _replace(path: Path, patches: Patches) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as content:
            _write(content, patches)
        _compare(aside, patches)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)


def _told(arrays: Mapping[str, NDArray[Any]]) -> tuple[bool, str]:
    """Return the fields `published_order` and `source`."""
    source: bytes = arrays["source"][0]
    return bool(arrays["published_order"][0]), source.decode("ascii", "replace")


def _there(path: Path) -> Path:
    if not path.exists():
        raise HarnessError(f"{str(path)!r} is not there; {WAY_OUT}")
    return path


def _check_counts(path: Path, counts: dict[str, int]) -> None:
    found = {name: counts[name] for name in ("images", "masks", "uids")}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{count:,} {name}" for name, count in found.items())
        raise HarnessError(f"{str(path)!r}: expected as many of each, found {told}; {WAY_OUT}")


def _write(content: IO[bytes], patches: Patches) -> None:
    import numpy as np

    # Not compressed: it is read before every trial, and would shrink by a third only.
    np.savez(
        content,
        images=patches.images,
        masks=patches.masks,
        uids=patches.uids,
        published_order=np.array([patches.published_order], np.uint8),
        source=np.array([patches.source], "S64"),
    )
    content.flush()
    os.fsync(content.fileno())


def _compare(written: Path, patches: Patches) -> None:
    import numpy as np

    again = read_patches(written)
    same = all(np.array_equal(getattr(again, name), getattr(patches, name)) for name in ("images", "masks", "uids"))
    if not same or (again.published_order, again.source) != (patches.published_order, patches.source):
        raise HarnessError(f"{str(written)!r} does not hold what was written to it; check the disk")
