"""Which patches of LIDC-IDRI are for training, validation and test: by their order, or by the series they are from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.plugins.lidc.patches import Patches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


def parts_by_series(patches: Patches) -> NDArray[np.int64]:
    """Return `int64 [N]`: 0 (train), 1 (validation) or 2 (test), the same for all patches of a series.

    The series are taken in the order of a SHA-256 of their images, the first 60 % of the patches to train and the next
    20 % to validation. So it is the same split whatever the archive calls the series and in which order it has them.
    Raises HarnessError where there are too few series for that.
    """
    import numpy as np

    _, series = np.unique(patches.uids, return_inverse=True)
    digests = _digests(patches.images, series)
    ranks = np.argsort(sorted(range(len(digests)), key=digests.__getitem__))
    sizes = np.bincount(ranks[series])
    middles = (np.cumsum(sizes) - sizes / 2) / len(patches)
    parts: NDArray[np.int64] = np.searchsorted([0.6, 0.8], middles, side="right")[ranks[series]].astype(np.int64)
    if len(np.unique(parts)) < 3:
        raise HarnessError(f"a split by series needs more of them than {len(digests)}, or smaller ones")
    return parts


def _digests(images: NDArray[np.uint8], series: NDArray[np.int64]) -> list[str]:
    """Return for each series a digest of its images, whatever their order."""
    found: list[list[bytes]] = [[] for _ in range(series.max() + 1)]
    for image, number in zip(images, series, strict=True):
        found[number].append(hashlib.sha256(image.tobytes()).digest())
    return [hashlib.sha256(b"".join(sorted(each))).hexdigest() for each in found]
