"""What is worth knowing of patches of LIDC-IDRI: whether they are the published ones, and how they are split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.plugins.lidc.patches import (
    PUBLISHED,
    PUBLISHED_POSITIVE,
    PUBLISHED_SERIES,
    Patches,
    is_published,
    labels_of,
)
from harness.plugins.lidc.split import Parts, parts_in_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def facts(patches: Patches, parts: Parts) -> Iterator[tuple[bool, str]]:
    """Yield (right, what) for each thing that is worth knowing; HarnessError where *parts* cannot split them."""
    yield _archive(patches)
    yield _content(patches)
    if parts is parts_in_order and not patches.published_order:
        yield False, "in the order of an HDF5 archive, not the published one: not the paper's split; use lidc-series"
    yield from _split(patches, parts(patches))


def _archive(patches: Patches) -> tuple[bool, str]:
    if is_published(patches.source):
        return True, "made from the published pickle"
    if not patches.published_order:
        return True, f"made from an HDF5 archive, SHA-256 {patches.source}"
    return True, f"made from another pickle than the published one, SHA-256 {patches.source}: order taken on trust"


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
