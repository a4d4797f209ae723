"""Writes npz files as MedMNIST publishes them, with made-up images, and damages them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = {"train": 12, "val": 6, "test": 6}


def made_up_arrays(
    size: int = 28, channels: int = 1, classes: int = 2, splits: Mapping[str, int] = SPLITS
) -> dict[str, Any]:
    """Return the arrays of a MedMNIST file: noise of another brightness for each class, labels `uint8 [N, 1]`."""
    random = np.random.RandomState(7)
    arrays = {}
    for split, count in splits.items():
        labels = np.arange(count) % classes
        shape = (count, size, size) if channels == 1 else (count, size, size, channels)
        noise = random.randint(0, 100, shape)
        brightness = (labels * 100 // max(1, classes - 1)).reshape(-1, *[1] * (len(shape) - 1))
        arrays[f"{split}_images"] = (noise + brightness).astype(np.uint8)
        arrays[f"{split}_labels"] = labels.astype(np.uint8)[:, None]
    return arrays


def made_up_labels(labels: int = 14, splits: Mapping[str, int] = SPLITS) -> dict[str, Any]:
    """Return labels as ChestMNIST has them, `uint8 [N, labels]`, each with a rhythm of its own."""
    rhythm = np.arange(labels) % 3 + 1
    shift = np.arange(labels) // 3
    return {
        f"{split}_labels": ((np.arange(count)[:, None] + shift) // rhythm % 2).astype(np.uint8)
        for split, count in splits.items()
    }


def write_npz(path: Path, arrays: Mapping[str, Any] | None = None, **changed: Any) -> Path:
    """Write *arrays* (made-up ones by default) with some *changed* to *path*, packed; None leaves one out."""
    together = {**(made_up_arrays() if arrays is None else arrays), **changed}
    np.savez_compressed(path, **{name: array for name, array in together.items() if array is not None})
    return path


def write_members(path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip archive of *members*, whatever they hold."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def flip_byte_in(path: Path, member: str) -> Path:
    """Flip one byte in the middle of the packed data of *member*."""
    with zipfile.ZipFile(path) as archive:
        about = archive.getinfo(member)
        start = about.header_offset + 30 + len(about.filename.encode())
    content = bytearray(path.read_bytes())
    content[start + about.compress_size // 2] ^= 0xFF
    path.write_bytes(content)
    return path
