"""`folder:PATH`: one's own images as a dataset."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_folders import made_up_image, save, write_classes, write_splits

from harness.errors import HarnessError
from harness.plugins_loader import PluginChoice, load_plugins
from harness.specs import DatasetSpec
from harness.study import Study, plan_trials


def dataset(name: str = "folder:own") -> DatasetSpec:
    return load_plugins(PluginChoice(autoload=False)).registry.dataset(name)


def variant(name: str = "folder:own") -> str:
    told = dataset(name).variant
    assert told is not None
    return told(None)


def check(image_size: int = 32) -> None:
    told = dataset().check
    assert told is not None
    told(image_size, None, False)


@pytest.mark.parametrize(
    ("classes", "mode", "expected"),
    [("ab", "L", (2, 1, "binary")), ("ab", "RGB", (2, 3, "binary")), ("abc", "RGB", (3, 3, "multiclass"))],
)
def test_what_the_folder_holds_is_known_before_it_is_loaded(
    classes: str, mode: str, expected: tuple[int, int, str]
) -> None:
    write_classes(classes=classes, mode=mode)
    spec = dataset()

    assert expected == (spec.num_classes, spec.in_chans, spec.task)
    assert (6 * len(classes), 2 * len(classes), 2 * len(classes)) == spec.splits


def test_images_and_labels_are_those_of_the_files() -> None:
    write_splits()
    splits = dataset().load(10, None, download=False)

    assert [0] * 6 + [1] * 6 == splits.train.labels.tolist()
    assert ((12, 1, 10, 10), "uint8", "int64") == (
        (splits.train.images.shape, str(splits.train.images.dtype), str(splits.train.labels.dtype))
    )
    expected = np.asarray(made_up_image(seed=1001).resize((10, 10), 3))  # 3: bicubic
    np.testing.assert_array_equal(expected, splits.train.images[7, 0])


def test_one_coloured_image_makes_all_of_them_rgb() -> None:
    write_classes()
    save("own/benign/colour.png", made_up_image("RGB"))
    splits = dataset().load(10, None, download=False)

    assert (3, 3) == (dataset().in_chans, splits.test.images.shape[1])


def test_every_unusable_image_is_a_line_found_before_the_first_trial() -> None:
    write_classes()
    for number in range(3):
        path = Path(f"own/malign/{number:02}.png")
        path.write_bytes(path.read_bytes()[:-30])
    spec = dataset()  # by their heads they are good

    assert spec.check is not None
    with pytest.raises(HarnessError) as refused:
        spec.check(32, None, False)
    lines = str(refused.value).splitlines()
    assert ["'own/malign/00.png'", "'own/malign/01.png'", "'own/malign/02.png'"] == [line.split()[0] for line in lines]


def test_many_unusable_images_are_counted() -> None:
    write_classes(count=12)
    for path in Path("own/malign").iterdir():
        path.write_text("no image")

    with pytest.raises(HarnessError, match="and 7 more images that cannot be used"):
        dataset()


def test_good_folder_passes_the_check_unless_memory_is_short() -> None:
    write_classes()
    check()

    with pytest.raises(HarnessError, match="20 images of 1000000 x 1000000 pixels take .*; choose a smaller"):
        check(10**6)


def test_other_images_are_another_trial_and_the_same_elsewhere_are_not() -> None:
    shutil.copytree(write_classes(), "copy")
    for path in Path("copy").rglob("*.png"):
        os.utime(path, (0, 0))
    first, copy = variant(), variant("folder:copy")
    save("own/benign/00.png", made_up_image(seed=77))

    assert first.startswith("60/20/20 by class, sha256:")
    assert first == copy
    assert first != variant()


@pytest.mark.parametrize("change", ["moved to another class", "removed", "added"])
def test_change_of_the_folder_is_seen_at_once(change: str) -> None:
    write_splits()
    before = variant()
    path = Path("own/train/benign/00.png")
    if change == "added":
        save("own/test/benign/new.png")
    elif change == "removed":
        path.unlink()
    else:
        Path("own/train/benign/05.png").rename("own/train/malign/!.png")  # the same images in the same order

    assert before != variant()


def test_verify_tells_how_many_images_there_are_or_what_is_wrong() -> None:
    write_classes()
    files = dataset().files
    assert files is not None

    assert [(True, "20 images of 2 classes")] == [(found.right, found.told) for found in files.verify(None)]
    Path("own/benign/00.png").write_text("no image")
    (found,) = files.verify(None)
    assert (False, True) == (found.right, "'own/benign/00.png'" in found.told)


def test_folder_without_a_name_is_told() -> None:
    with pytest.raises(HarnessError, match="'folder:' names no folder; write folder:PATH"):
        dataset("folder:")


def test_one_folder_is_one_trial_however_it_is_written() -> None:
    write_classes()
    datasets = ("folder:own", "folder:./own", "folder:own/")
    registry = load_plugins(PluginChoice(autoload=False)).registry

    (trial,) = plan_trials(Study(("timm:resnet18",), datasets, weights="scratch"), registry, "cpu")
    assert "folder:own" == trial.dataset
