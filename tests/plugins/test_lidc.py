"""`lidc` and `lidc-series`: labels, splits, the one file, and what is told of it."""

from __future__ import annotations

import errno
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lidc_archives import PER_SERIES, made_up_patches, write_hdf5, write_pickle
from npz_files import flip_byte_in, write_members, write_npz

from harness.errors import HarnessError
from harness.plugins.lidc import file as lidc_file
from harness.plugins.lidc.file import read_patches, write_patches
from harness.plugins.lidc.patches import Patches, labels_of
from harness.plugins.lidc.split import parts_by_series, parts_in_order
from harness.plugins_loader import PluginChoice, load_plugins
from harness.specs import DatasetFiles, DatasetSpec, Finding


def spec(name: str = "lidc") -> DatasetSpec:
    return load_plugins(PluginChoice(autoload=False)).registry.dataset(name)


def files(name: str = "lidc") -> DatasetFiles:
    found = spec(name).files
    assert found is not None
    return found


def prepare(source: Path, root: Path, name: str = "lidc") -> list[Finding]:
    make = files(name).prepare
    assert make is not None
    return list(make(source, root))


def wrong(findings: list[Finding]) -> list[str]:
    return [finding.told for finding in findings if not finding.right]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data folder with 20 patches from a pickle."""
    folder = tmp_path / "data"
    prepare(write_pickle(tmp_path / "data_lidc.pickle"), folder)
    return folder


def made_up(series: list[int], blank: bool = False) -> Patches:
    """Return a patch for each of *series*, which are numbers."""
    count = len(series)
    images = np.zeros((count, 128, 128), np.uint8)
    if not blank:
        images[:, 0, 0], images[:, 0, 1] = np.arange(count) % 256, np.arange(count) // 256
    return Patches(images, np.zeros((count, 4, 128, 16), np.uint8), np.array(series).astype("S9"), True, "ab" * 32)


def test_patch_is_positive_where_three_or_four_raters_marked_it(root: Path) -> None:
    assert [0, 0, 0, 1, 1] * 4 == labels_of(read_patches(root / "lidc.npz").masks).tolist()


def test_split_of_the_published_number_of_patches_is_the_papers() -> None:
    parts = parts_in_order(made_up([0] * 15096, blank=True))

    assert [9057, 3019, 3020] == np.bincount(parts).tolist()
    assert [0] * 9057 + [1] * 3019 + [2] * 3020 == parts.tolist()


def test_splits_are_cut_from_the_stored_order(root: Path) -> None:
    made = np.stack([np.rint(patch["image"] * 255) for patch in made_up_patches().values()])
    splits = spec().load(image_size=128, root=root, download=False)
    each = (splits.train, splits.validation, splits.test)

    assert [12, 4, 4] == [len(split.labels) for split in each]
    np.testing.assert_array_equal(made[:, None], np.concatenate([split.images for split in each]))
    assert [0, 0, 0, 1, 1] * 4 == np.concatenate([split.labels for split in each]).tolist()
    assert ("uint8", "int64") == (splits.train.images.dtype, splits.train.labels.dtype)


def test_images_are_resized_to_what_is_asked_for(root: Path) -> None:
    assert (12, 1, 32, 32) == spec().load(image_size=32, root=root, download=False).train.images.shape


def test_no_series_is_in_two_parts_of_the_split_by_series() -> None:
    series = np.random.RandomState(1).randint(0, 90, 1000).tolist()
    parts = parts_by_series(made_up(series))

    assert 1 == max(len(set(parts[np.array(series) == number])) for number in series)
    assert [600, 200, 200] == pytest.approx(np.bincount(parts).tolist(), abs=20)


def test_split_by_series_depends_neither_on_their_names_nor_on_the_order(tmp_path: Path) -> None:
    roots = tmp_path / "a", tmp_path / "b"
    for source, folder in zip((write_pickle(tmp_path / "p"), write_hdf5(tmp_path / "h")), roots, strict=True):
        prepare(source, folder, "lidc-series")
    loaded = [spec("lidc-series").load(image_size=128, root=folder, download=False) for folder in roots]
    tests = [{image.tobytes() for image in splits.test.images} for splits in loaded]

    assert tests[0] == tests[1]
    assert 20 // PER_SERIES * 0.2 * PER_SERIES == len(tests[0])


@pytest.mark.parametrize(
    ("parts", "patches"), [(parts_in_order, made_up([1] * 4)), (parts_by_series, made_up([1] * 9))]
)
def test_too_little_for_a_split_is_refused(parts: Callable[[Patches], Any], patches: Patches) -> None:
    with pytest.raises(HarnessError, match="split"):
        parts(patches)


def test_subset_is_verified_as_not_the_published_set(root: Path) -> None:
    told = (
        "20 patches of 10 series, 8 of them positive, where the published set has "
        "15,096 patches of 875 series, 7,377 of them positive: results are not the paper's"
    )

    assert [told] == wrong(list(files().verify(root)))


@pytest.fixture
def _made_up_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PUBLISHED", 20), ("PUBLISHED_SERIES", 10), ("PUBLISHED_POSITIVE", 8)):
        monkeypatch.setattr(f"harness.plugins.lidc.facts.{name}", value)


@pytest.mark.usefixtures("_made_up_is_published")
def test_hdf5_is_verified_as_not_the_papers_split(tmp_path: Path) -> None:
    told = wrong(prepare(write_hdf5(tmp_path / "a"), tmp_path))

    assert ["in the order of an HDF5 archive, not the published one: not the paper's split; use lidc-series"] == told
    assert [] == wrong(list(files("lidc-series").verify(tmp_path)))
    assert f"HDF5's order, 20 patches, {digest(tmp_path / 'a')[:16]}" == _variant("lidc", tmp_path)


@pytest.mark.usefixtures("_made_up_is_published")
def test_published_set_is_verified_as_right(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.plugins.lidc.patches.PUBLISHED_SHA256", digest(root.parent / "data_lidc.pickle"))
    findings = list(files().verify(root))

    assert [] == wrong(findings)
    assert [
        "made from the published pickle",
        "20 patches of 10 series, 8 of them positive, as in the published set",
        "split into 12 for training, 4 for validation, 4 for testing",
        "no series in two parts",
    ] == [finding.told for finding in findings][1:]
    assert ["default"] * 2 == [_variant("lidc", root), _variant("lidc-series", root)]


def test_file_that_another_archive_was_made_of_is_told_by_its_digest(root: Path) -> None:
    known = digest(root.parent / "data_lidc.pickle")

    assert any(f"SHA-256 {known}: order taken on trust" in finding.told for finding in files().verify(root))
    assert f"pickle's order, 20 patches, {known[:16]}" == _variant("lidc", root)
    assert f"20 patches, {known[:16]}" == _variant("lidc-series", root)


def test_variant_of_a_missing_file_is_the_default(tmp_path: Path) -> None:
    assert ["default"] * 2 == [_variant("lidc", tmp_path), _variant("lidc-series", tmp_path)]


def _variant(name: str, root: Path) -> str:
    variant = spec(name).variant
    assert variant is not None
    return variant(root)


def _member(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(f"{name}.npy")


def _arrays(**changed: Any) -> Callable[[Path], object]:
    def write(path: Path) -> object:
        with np.load(path) as archive:
            arrays = dict(archive)
        return write_npz(path, arrays, **changed)

    return write


def _bomb(path: Path) -> object:
    return write_members(path, {f"{name}.npy": _member(path, name) for name in ("masks", "uids")} | {"x": bytes(10**8)})


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "a damaged one"),
    "empty": (lambda path: path.write_bytes(b""), "an empty file"),
    "flipped byte": (lambda path: flip_byte_in(path, "images.npy"), "a damaged one"),
    "web page": (lambda path: path.write_bytes(b"<!DOCTYPE html>"), "a web page"),
    "the archive itself": (lambda path: write_pickle(path), "a pickle"),
    "zip bomb": (_bomb, "zip bomb"),
    "objects": (_arrays(uids=np.array([{}] * 20)), "found object"),
    "no masks": (_arrays(masks=None), "expected an array 'masks'"),
    "masks not packed": (_arrays(masks=np.zeros((20, 4, 128, 128), "u1")), "found uint8 [20, 4, 128, 128]"),
    "three raters": (_arrays(masks=np.zeros((20, 3, 128, 16), "u1")), "found uint8 [20, 3, 128, 16]"),
    "floats": (_arrays(images=np.zeros((20, 128, 128))), "found float64"),
    "another size": (_arrays(images=np.zeros((20, 64, 64), "u1")), "found uint8 [20, 64, 64]"),
    "fewer images": (_arrays(images=np.zeros((19, 128, 128), "u1")), "19 images, 20 masks, 20 uids"),
    "no images": (_arrays(images=np.zeros((0, 128, 128), "u1")), "found uint8 [0, 128, 128]"),
    "order unknown": (_arrays(published_order=np.array([2], "u1")), "'published_order' from 0 to 1"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_file_is_refused_with_one_line(kind: str, root: Path) -> None:
    damage, told = DAMAGES[kind]
    damage(root / "lidc.npz")
    check = spec().check
    assert check is not None
    with pytest.raises(HarnessError) as raised:
        check(image_size=128, root=root, download=False)

    line = str(raised.value)
    assert told in line
    assert "\n" not in line
    assert line.endswith(lidc_file.WAY_OUT)
    assert [line] == wrong(list(files().verify(root)))


def test_conversion_that_fails_leaves_what_was_there(root: Path, tmp_path: Path) -> None:
    before = (root / "lidc.npz").read_bytes()
    patches = made_up_patches()
    patches["patch_19"]["masks"][0][0, 0] = 2
    with pytest.raises(HarnessError, match="patch 20 of 20"):
        prepare(write_pickle(tmp_path / "bad", patches), root)

    assert before == (root / "lidc.npz").read_bytes()
    assert ["lidc.npz"] == [path.name for path in root.iterdir()]


def test_file_that_does_not_read_as_it_was_written_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lidc_file, "read_patches", lambda path: made_up([2] * 5))
    with pytest.raises(HarnessError, match="does not hold what was written"):
        write_patches(tmp_path / "data" / "lidc.npz", made_up([1] * 5))

    assert [] == list((tmp_path / "data").iterdir())


def test_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HarnessError, match="No space left on device; it takes 0 MB, and --data-dir"):
        write_patches(tmp_path / "data" / "lidc.npz", made_up([1] * 5))

    assert [] == list((tmp_path / "data").iterdir())
