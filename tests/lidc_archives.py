"""Writes the two archives that LIDC-IDRI's patches circulate in, with made-up images."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SERIES = "1.3.6.1.4.1.14519.5.2.1.6279.6001."
# Patches of each series, and how many of the four raters marked each patch: 0, 1, 2, 3, 4, 0, ...
PATCHES, PER_SERIES = 20, 2


def made_up_patches(count: int = PATCHES) -> dict[str, dict[str, Any]]:
    """Return patches as the pickle has them, no two alike."""
    random = np.random.RandomState(3)
    return {
        f"patch_{number}": {
            "image": random.randint(0, 256, (128, 128)) / 255,
            "masks": made_up_masks(marked=number % 5),
            "series_uid": f"{SERIES}{number // PER_SERIES}",
        }
        for number in range(count)
    }


def made_up_masks(marked: int) -> list[Any]:
    """Return the masks of four raters of whom the first *marked* marked a nodule."""
    masks = [np.zeros((128, 128), np.uint8) for _ in range(4)]
    for mask in masks[:marked]:
        mask[60:70, 50:71] = 1
    return masks


def write_pickle(path: Path, patches: object = None, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(made_up_patches() if patches is None else patches, protocol))
    return path


def hdf5_arrays(patches: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the arrays that an HDF5 archive of *patches* has for one group."""
    values = list(patches.values())
    return {
        "images": np.stack([patch["image"] for patch in values]) - 0.5,
        "labels": np.stack([np.stack(patch["masks"], axis=-1) for patch in values]),
        "uids": np.array([hash(patch["series_uid"]) for patch in values]),
    }


def write_hdf5(path: Path, patches: dict[str, dict[str, Any]] | None = None, **changed: Any) -> Path:
    """Write *patches*, the last series first, in three groups; *changed* replaces arrays of the group `val`.

    None leaves one out.
    """
    items = list((made_up_patches() if patches is None else patches).items())
    parts = {"train": items[8:], "val": items[4:8], "test": items[:4]}
    with h5py.File(path, "w") as archive:
        for name, part in parts.items():
            arrays = hdf5_arrays(dict(part)) | (changed if name == "val" else {})
            group = archive.create_group(name)
            for each, array in arrays.items():
                if array is not None:
                    group.create_dataset(each, data=array)
    return path
