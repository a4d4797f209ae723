"""Bringing images to the size that a trial asks for: bicubic and antialiased, the same bytes on every machine.

Pillow does it in whole numbers, which makes it slower than torch, whose result depends on the processor's instructions
(by up to two of 255 levels in one of 10,000 values). It happens before anything is metered.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.quantities import format_quantity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_MOST_THREADS = 16
# A thread is handed so many images, since handing over takes as long as a small image does.
_AT_A_TIME = 32


def resized_image(image: Image, size: int) -> NDArray[np.uint8]:
    """Return *image*, grey or RGB, as `uint8 [C, size, size]`; other proportions than a square's are not kept."""
    import numpy as np
    from PIL import Image as Pillow

    pixels = np.asarray(image.resize((size, size), Pillow.Resampling.BICUBIC))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def resized_images(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return *images* `[N, H, W]`, `[N, H, W, 1]` or `[N, H, W, 3]` as `uint8 [N, C, size, size]`.

    Raises HarnessError where that does not fit into memory.
    """
    from PIL import Image

    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    resized = empty_images(len(images), 1 if images.ndim == 3 else 3, size)

    def bring(number: int) -> None:
        resized[number] = resized_image(Image.fromarray(images[number]), size)

    for_each(bring, len(images))
    return resized


def empty_images(count: int, channels: int, size: int) -> NDArray[np.uint8]:
    """Return room for *count* images `uint8 [count, channels, size, size]`; raises HarnessError where there is none."""
    import numpy as np

    check_room(count * channels * size * size, f"{count:,} images of {size} x {size} pixels take")
    return np.empty((count, channels, size, size), np.uint8)


def check_room(needed: int, what: str) -> None:
    """Raise HarnessError unless *needed* bytes of memory are free, rather than have the kernel end the process."""
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        asked, there = format_quantity(needed, "B"), format_quantity(free, "B")
        raise HarnessError(f"{what} {asked}, and {there} of memory are free; choose a smaller --image-size")


def for_each(work: Callable[[int], object], count: int) -> None:
    """Call *work* with each number below *count*, on all cores: Pillow lets other threads run while it computes."""
    from concurrent.futures import ThreadPoolExecutor

    def piece(first: int) -> None:
        for number in range(first, min(first + _AT_A_TIME, count)):
            work(number)

    threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(piece, range(0, count, _AT_A_TIME)):
            pass
