"""Writes folders of made-up images, a folder for each class."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def made_up_image(mode: str = "L", size: tuple[int, int] = (12, 10), seed: int = 0) -> Image.Image:
    """Return noise of *size* (width, height)."""
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], len(mode))
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8), mode=None)


def save(path: str | Path, image: Image.Image | None = None, **options: Any) -> Path:
    """Save *image*, or a made-up grey one, in folders that are made on the way."""
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    (image or made_up_image()).save(place, **options)
    return place


def write_classes(
    folder: str | Path = "own", classes: Iterable[str] = ("benign", "malign"), count: int = 10, mode: str = "L"
) -> Path:
    """Write *count* images of each class, all different."""
    for label, name in enumerate(classes):
        for number in range(count):
            save(Path(folder, name, f"{number:02}.png"), made_up_image(mode, seed=1000 * label + number))
    return Path(folder)


def write_splits(folder: str | Path = "own", classes: Iterable[str] = ("benign", "malign"), mode: str = "L") -> Path:
    """Write train, val and test with 6, 2 and 3 images of each class."""
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        write_classes(Path(folder, split), classes, count, mode)
    return Path(folder)
