"""Writes the two archives that LIDC-IDRI's patches circulate in, with made-up images."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import patch

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
    """Return the masks of four raters of whom the first *marked* marked a nodule.

    Some that are empty are of floats, as in the published pickle.
    """
    masks = [np.zeros((128, 128), np.uint8) for _ in range(4)]
    for mask in masks[:marked]:
        mask[60:70, 50:71] = 1
    return masks if marked > 2 else [*masks[:3], np.zeros((128, 128))]


def write_pickle(path: Path, patches: object = None, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(made_up_patches() if patches is None else patches, protocol))
    return path


def write_published_pickle(path: Path) -> Path:
    """Write made-up patches as the published pickle has them: protocol 3, UIDs and spacings as pydicom's classes.

    pydicom is not needed: pickle only asks where a class is found, and what it holds.
    """
    with patch.dict(sys.modules, {name: types.ModuleType(name) for name in ("pydicom", *_DICOM)}):
        for name, kind in _DICOM.items():
            setattr(sys.modules[name], kind.__name__, kind)
        patches = {
            key: {**each, "series_uid": UID(each["series_uid"]), "pixel_spacing": MultiValue()}
            for key, each in made_up_patches().items()
        }
        return write_pickle(path, patches, protocol=3)


class UID(str):
    """Text, as pydicom has it."""

    __module__ = "pydicom.uid"


class DSfloat(float):
    """A number that remembers how it was written."""

    __module__ = "pydicom.valuerep"

    def __init__(self, number: float) -> None:
        self.original_string = str(number)


class MultiValue:
    """Values of one kind."""

    __module__ = "pydicom.multival"

    def __init__(self) -> None:
        self._list = [DSfloat(0.703125), DSfloat(0.703125)]
        self.type_constructor = DSfloat


_DICOM: dict[str, type] = {kind.__module__: kind for kind in (UID, DSfloat, MultiValue)}


def hdf5_arrays(patches: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the arrays that an HDF5 archive of *patches* has for one group."""
    values = list(patches.values())
    return {
        "images": np.stack([each["image"] for each in values]) - 0.5,
        "labels": np.stack([np.stack(each["masks"], axis=-1) for each in values]).astype(np.uint8),
        "uids": np.array([hash(each["series_uid"]) for each in values]),
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
