"""The dataset `stripes`: lying and standing stripes in noise, made up, so that there are no files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness import DatasetSpec, Split, Splits, hookimpl

_SIZES = (128, 32, 32)


def load(image_size: int, root: Path | None, download: bool) -> Splits:
    """Return grey images of *image_size* pixels, the same each time; nothing is read or downloaded."""
    return Splits(*(_split(count, image_size, seed) for seed, count in enumerate(_SIZES)))


def _split(count: int, size: int, seed: int) -> Split:
    import numpy as np

    draw, labels = np.random.RandomState(seed), np.arange(count, dtype=np.int64) % 2
    stripes = 128 * ((np.arange(size)[None] + draw.randint(0, 4, (count, 1))) // 2 % 2)
    lying = np.repeat(stripes[:, :, None], size, axis=2)
    images = np.where(labels[:, None, None] == 0, lying, lying.transpose(0, 2, 1))
    return Split((images + draw.randint(0, 128, images.shape)).astype(np.uint8)[:, None], labels)


STRIPES = DatasetSpec(
    "stripes", load, num_classes=2, in_chans=1, task="binary", splits=_SIZES, default_image_size=16, note="made up"
)


@hookimpl
def harness_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    register(STRIPES)
