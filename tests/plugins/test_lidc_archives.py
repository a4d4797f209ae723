"""Both archives of LIDC are converted exactly, and refused with one line where anything about them is wrong."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lidc_archives import made_up_patches, write_hdf5, write_pickle, write_published_pickle

from harness.errors import HarnessError
from harness.plugins.lidc.hdf5_archive import read_hdf5
from harness.plugins.lidc.patches import Patches
from harness.plugins.lidc.pickle_archive import read_pickle

CANARY = "canary"


def masks_of(patches: Patches) -> Any:
    return np.unpackbits(patches.masks, axis=-1)


def changed(**parts: Any) -> dict[str, dict[str, Any]]:
    """Return made-up patches of which the third has other *parts*; None leaves one out."""
    patches = made_up_patches()
    patch = patches["patch_2"] | parts
    patches["patch_2"] = {name: part for name, part in patch.items() if part is not None}
    return patches


def refusal(read: Callable[[Path], Patches], path: Path) -> str:
    with pytest.raises(HarnessError) as raised:
        read(path)
    line = str(raised.value)
    assert "\n" not in line
    assert str(path) in line
    return line


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_gives_its_patches_in_its_order(protocol: int, tmp_path: Path) -> None:
    made_up = list(made_up_patches().values())
    patches = read_pickle(write_pickle(tmp_path / "a.pickle", protocol=protocol))

    np.testing.assert_array_equal([np.rint(patch["image"] * 255) for patch in made_up], patches.images)
    np.testing.assert_array_equal([patch["masks"] for patch in made_up], masks_of(patches))
    assert [patch["series_uid"].encode() for patch in made_up] == patches.uids.tolist()
    assert patches.published_order


def test_published_pickle_is_read_without_pydicom_whose_values_it_holds(tmp_path: Path) -> None:
    path = write_published_pickle(tmp_path / "a")
    plain = read_pickle(write_pickle(tmp_path / "b"))
    patches = read_pickle(path)

    assert b"pydicom.multival\nMultiValue" in path.read_bytes()
    np.testing.assert_array_equal(plain.images, patches.images)
    assert plain.uids.tolist() == patches.uids.tolist()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_image_is_brought_to_the_nearest_level(dtype: str, tmp_path: Path) -> None:
    image = np.full((128, 128), 0.25, dtype)
    image[0, :3] = 0, 1, 0.5
    patches = read_pickle(write_pickle(tmp_path / "a", changed(image=image)))

    assert [0, 255, 128, 64] == patches.images[2, 0, :4].tolist()


@pytest.mark.parametrize("dtype", ["u1", "i8", "f8", "?"])
@pytest.mark.parametrize("together", [list, np.stack])
def test_masks_may_be_of_any_numbers_and_one_array(dtype: str, together: Callable[..., Any], tmp_path: Path) -> None:
    masks = [mask.astype(dtype) for mask in made_up_patches()["patch_2"]["masks"]]
    patches = read_pickle(write_pickle(tmp_path / "a", changed(masks=together(masks))))

    np.testing.assert_array_equal(np.stack(masks).astype("u1"), masks_of(patches)[2])


def test_hdf5_gives_the_same_patches_as_the_pickle_in_the_order_of_its_groups(tmp_path: Path) -> None:
    ordered = read_pickle(write_pickle(tmp_path / "a"))
    patches = read_hdf5(write_hdf5(tmp_path / "b"))
    order = [*range(8, 20), *range(4, 8), *range(4)]

    np.testing.assert_array_equal(ordered.images[order], patches.images)
    np.testing.assert_array_equal(ordered.masks[order], patches.masks)
    assert 10 == len(set(patches.uids.tolist()))
    assert not patches.published_order


def test_hdf5_may_name_series_by_text(tmp_path: Path) -> None:
    uids = np.array([b"1.2", b"1.2", b"1.3", b"1.3"], dtype=object)
    path = write_hdf5(tmp_path / "a", uids=None)
    with h5py.File(path, "a") as archive:
        archive["val"].create_dataset("uids", data=uids, dtype=h5py.string_dtype())

    assert [b"1.2", b"1.2", b"1.3", b"1.3"] == read_hdf5(path).uids[12:16].tolist()


IMAGE = made_up_patches()["patch_2"]["image"]
MASKS = made_up_patches()["patch_2"]["masks"]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"image": IMAGE + 1}, "floats from 0 to 1, found values from 1 to 2"),
        ({"image": IMAGE - 0.5}, "floats from 0 to 1, found values from -0.5 to 0.5"),
        ({"image": np.where(IMAGE < 0.1, np.nan, IMAGE)}, "floats from 0 to 1, found NaN"),
        ({"image": np.where(IMAGE < 0.1, np.inf, IMAGE)}, "to inf"),
        ({"image": (IMAGE * 255).astype("u1")}, "floats from 0 to 1, found uint8"),
        ({"image": IMAGE[:64]}, "an image of 128 x 128, found 64 x 128"),
        ({"image": IMAGE[None]}, "found other dimensions"),
        ({"image": np.float64(0.5)}, "image to be an array, found float"),
        ({"image": IMAGE.tolist()}, "image to be an array, found list"),
        ({"image": None}, "found none called image"),
        ({"masks": None, "series_uid": None}, "found none called masks, series_uid"),
        ({"masks": MASKS[:3]}, "the masks of 4 raters, found 3"),
        ({"masks": [*MASKS, MASKS[0]]}, "the masks of 4 raters, found 5"),
        ({"masks": [*MASKS[:3], MASKS[0] + 2]}, "masks of 0 and 1, found 2"),
        ({"masks": [*MASKS[:3], np.full((128, 128), np.nan)]}, "masks of 0 and 1, found nan"),
        ({"masks": [*MASKS[:3], MASKS[0] - 0.5]}, "masks of 0 and 1, found -0.5"),
        ({"masks": [*MASKS[:3], np.full((128, 128), 2, "u1").view("?")]}, "masks of 0 and 1, found 2"),
        ({"masks": [*MASKS[:3], MASKS[0][:64]]}, "masks of one shape, found several"),
        ({"masks": [mask[:64] for mask in MASKS]}, "masks of 4 x 128 x 128, found 4 x 64 x 128"),
        ({"masks": [*MASKS[:3], "mask"]}, "mask to be an array, found str"),
        ({"masks": {}}, "masks to be an array, found dict"),
        ({"series_uid": ""}, "the UID of a series"),
        ({"series_uid": "1" * 65}, "the UID of a series"),
        ({"series_uid": "1.2\n"}, "the UID of a series"),
        ({"series_uid": "é"}, "the UID of a series"),
        ({"series_uid": [1]}, "the UID of a series"),
    ],
)
def test_patch_that_is_not_as_it_must_be_is_refused_by_its_number(
    parts: dict[str, Any], told: str, tmp_path: Path
) -> None:
    line = refusal(read_pickle, write_pickle(tmp_path / "a", changed(**parts)))

    assert told in line
    assert "patch 3 of 20" in line


@pytest.mark.parametrize("archive", [{}, [], "text", {"a": 1}, {"a": {}}, [made_up_patches(1)]], ids=repr)
def test_pickle_of_something_else_is_refused(archive: object, tmp_path: Path) -> None:
    assert "expected" in refusal(read_pickle, write_pickle(tmp_path / "a", archive))


def test_patch_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return open, (CANARY, "w")

    for parts in ({"image": Evil()}, {"masks": [*MASKS[:3], Evil()]}, {"masks": np.array([Evil()])}):
        assert "a" in refusal(read_pickle, write_pickle(tmp_path / "a", changed(**parts)))
    assert not Path(CANARY).exists()


ARRAYS: dict[str, Any] = {
    "images": np.stack([IMAGE] * 4) - 0.5,
    "labels": np.zeros((4, 128, 128, 4), "u1"),
    "uids": np.arange(4),
}


@pytest.mark.parametrize(
    ("name", "array", "told"),
    [
        (
            "images",
            ARRAYS["images"] + 0.5,
            "val, patches 1 to 4: expected an image of floats from 0 to 1, found values",
        ),
        ("images", ARRAYS["images"] * np.nan, "found NaN"),
        ("images", np.zeros((4, 128, 128), "u1"), "found uint8"),
        ("images", ARRAYS["images"][:, :64], "val/images of N x 128 x 128, found 4 x 64 x 128"),
        ("images", ARRAYS["images"][:0], "val/images of N x 128 x 128, found 0 x 128 x 128"),
        ("images", np.float64(1), "val/images of N x 128 x 128, found a single value"),
        ("images", None, "an array val/images, found none"),
        ("labels", ARRAYS["labels"][..., :3], "val/labels of N x 128 x 128 x 4, found 4 x 128 x 128 x 3"),
        ("labels", ARRAYS["labels"][:3], "val/labels of N x 128 x 128 x 4, found 3 x 128"),
        ("labels", ARRAYS["labels"] + 2, "masks of 0 and 1, found 2"),
        ("labels", ARRAYS["labels"] * np.nan, "masks of 0 and 1, found nan"),
        ("labels", None, "an array val/labels, found none"),
        ("uids", np.arange(3), "val/uids of N, found 3"),
        ("uids", np.arange(4.0), "the UID of a series"),
        ("uids", np.array([b"1" * 65] * 4), "the UID of a series"),
        ("uids", None, "an array val/uids, found none"),
    ],
)
def test_hdf5_with_an_array_that_is_not_as_it_must_be_is_refused(
    name: str, array: Any, told: str, tmp_path: Path
) -> None:
    assert told in refusal(read_hdf5, write_hdf5(tmp_path / "a", **{name: array}))


def test_hdf5_whose_data_are_in_other_files_is_refused(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a", images=None, labels=None)
    (tmp_path / "secret").write_bytes(bytes(4 * 128 * 128 * 8))
    with h5py.File(path, "a") as archive:
        archive["val/images"] = h5py.ExternalLink(write_hdf5(tmp_path / "b"), "val/images")
        outside = [(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)]
        archive["val"].create_dataset("labels", (4, 128, 128, 4), "u1", external=outside)

    assert "an array val/images, found none" in refusal(read_hdf5, path)
    with h5py.File(path, "a") as archive:
        del archive["val/images"]
        archive["val/images"] = ARRAYS["images"]
    assert "the data of val/labels are in another file" in refusal(read_hdf5, path)


def test_hdf5_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a", images=None)
    with h5py.File(path, "a") as archive:
        archive["val"].create_dataset("images", (4, 128, 128), "f8", maxshape=(None, 128, 128), chunks=(9000, 128, 128))
    assert "refused: val/images has to be read in pieces" in refusal(read_hdf5, path)

    path = write_hdf5(tmp_path / "b", images=None)
    with h5py.File(path, "a") as archive:
        archive["val"].create_dataset("images", (10**12, 128, 128), "f8", chunks=(1, 128, 128))
    assert "found 1000000000000 x 128 x 128" in refusal(read_hdf5, path)


@pytest.mark.parametrize("part", [0.5, 0.99, 0.001])
def test_truncated_hdf5_is_refused(part: float, tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])

    assert "found a damaged one" in refusal(read_hdf5, path)


def test_hdf5_without_h5py_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_hdf5(tmp_path / "a")
    imported = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return imported(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)

    assert "pip install 'pepr-harness[lidc]'" in refusal(read_hdf5, path)
