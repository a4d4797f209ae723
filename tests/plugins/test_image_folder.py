"""Folders of images: what is a class, what is a split, and what is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from image_folders import save, write_classes, write_splits

from harness.errors import HarnessError
from harness.plugins.images.image_folder import read_folder
from harness.plugins.images.stratified_split import drawn_splits, split_counts


def names(folder: str = "own") -> list[str]:
    return [str(image.path.relative_to(folder)) for image in read_folder(Path(folder)).images]


def test_classes_are_numbered_in_the_order_of_their_names() -> None:
    write_classes(classes=("b", "B", "a", "10", "9"), count=3)
    folder = read_folder(Path("own"))

    assert ("10", "9", "B", "a", "b") == folder.classes
    assert ["10/00.png", "10/01.png", "10/02.png", "9/00.png"] == names()[:4]
    assert [0, 0, 0, 1] == [image.label for image in folder.images][:4]


def test_order_is_that_of_the_names_however_the_files_came_to_be() -> None:
    write_classes("first")
    for path in sorted(Path("first").rglob("*.png"), reverse=True):
        Path("second", path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, Path("second", path.parent.name))

    assert names("first") == names("second")


def test_folders_within_a_class_belong_to_it() -> None:
    write_classes()
    save("own/benign/patient 7/left/scan.JPG")

    assert "benign/patient 7/left/scan.JPG" in names()


def test_hidden_files_and_what_systems_leave_behind_are_passed_over() -> None:
    expected = names(str(write_classes()))
    for name in (".DS_Store", "._00.png", "Thumbs.db", "desktop.ini"):
        Path("own/benign", name).write_text("?")
    Path("own/.git").mkdir()
    Path("own/labels.csv").write_text("beside the classes")

    assert expected == names()


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val"])
def test_train_val_and_test_are_taken_as_they_are(validation: str) -> None:
    write_splits()
    Path("own/val").rename(f"own/{validation}")
    folder = read_folder(Path("own"))

    assert (12, 4, 6) == split_counts(folder)
    assert folder.splits == drawn_splits(folder)
    assert {"train"} == {image.path.parts[1] for image in folder.splits[0]}


def test_class_may_be_named_as_a_split_is() -> None:
    write_classes(classes=("bus", "train"))

    assert ("bus", "train") == read_folder(Path("own")).classes


def test_links_to_files_and_folders_are_followed() -> None:
    write_classes("there")
    Path("own").mkdir()
    Path("own/benign").symlink_to(Path("there/benign").absolute())
    Path("own/malign").mkdir()
    for path in Path("there/malign").iterdir():
        Path("own/malign", path.name).symlink_to(path.absolute())

    assert names("there") == names()


def loose_image() -> None:
    save("own/loose.png")


def one_class() -> None:
    shutil.rmtree("own/malign")


def no_class() -> None:
    one_class()
    shutil.rmtree("own/benign")


def foreign_file() -> None:
    Path("own/benign/scan.dcm").write_bytes(b"DICM")


def pipe() -> None:
    os.mkfifo("own/benign/scan.png")


def empty_class() -> None:
    Path("own/other").mkdir()


def circle() -> None:
    Path("own/benign/again").symlink_to(Path("own").absolute())


def link_to_itself() -> None:
    Path("own/benign/self.png").symlink_to("self.png")


def link_to_nowhere() -> None:
    Path("own/benign/gone.png").symlink_to("nowhere.png")


def a_file() -> None:
    no_class()
    Path("own").rmdir()
    Path("own").write_text("no folder")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            loose_image,
            "'own': expected a folder for each class, .* found 1 images that are in no class, such as 'loose",
        ),
        (one_class, "'own': expected a folder for each class, .* found one class only, 'benign'"),
        (no_class, "'own': expected a folder for each class, .* found no folder"),
        (foreign_file, "'own/benign/scan.dcm' is no image .*; convert it or move it elsewhere"),
        (pipe, "'own/benign/scan.png' is no image"),
        (empty_class, "'own': expected 3 or more images of each class, found 0 in 'other'; add some, or remove it"),
        (circle, "'own/benign/again' leads back to a folder that it is in; remove the link"),
        (link_to_itself, "cannot read 'own/benign/self.png': Too many levels"),
        (link_to_nowhere, "cannot read 'own/benign/gone.png': No such file"),
        (a_file, "cannot read 'own': Not a directory"),
        (lambda: shutil.rmtree("own"), "cannot read 'own': No such file"),
    ],
)
def test_folder_that_is_not_as_expected_is_one_line(damage: Callable[[], None], told: str) -> None:
    write_classes()
    damage()

    with pytest.raises(HarnessError, match=told) as refused:
        read_folder(Path("own"))
    assert "\n" not in str(refused.value)


def no_test() -> None:
    shutil.rmtree("own/test")


def other_name() -> None:
    Path("own/test/malign").rename("own/test/Malign")


def more_folders() -> None:
    write_classes("own/masks")


def nothing_to_train() -> None:
    for path in Path("own/train/malign").iterdir():
        path.unlink()


def empty_test() -> None:
    for path in Path("own/test").rglob("*.png"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (no_test, "found of these three 'train', 'val'"),
        (other_name, "same classes in all splits, found 'Malign' only in 'test', 'malign' only in 'train'; rename"),
        (more_folders, "found both splits \\('test', 'train', 'val'\\) and other folders \\('masks'\\)"),
        (nothing_to_train, "'own/train': expected 1 or more images of each class, found 0 in 'malign'"),
        (empty_test, "'own/test': .*, found no image"),
        (lambda: shutil.copytree("own/val", "own/validation"), "found of these three 'test', 'train', 'val', 'valid"),
    ],
)
def test_splits_that_do_not_fit_together_are_one_line(damage: Callable[[], object], told: str) -> None:
    write_splits()
    damage()

    with pytest.raises(HarnessError, match=told) as refused:
        read_folder(Path("own"))
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read_is_named() -> None:
    write_classes()
    Path("own/malign").chmod(0)

    with pytest.raises(HarnessError, match="cannot read 'own/malign': Permission denied"):
        read_folder(Path("own"))
    Path("own/malign").chmod(0o700)


@pytest.mark.parametrize(("count", "expected"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (6, 2, 2)), (101, (61, 20, 20))])
def test_each_class_is_split_60_20_20_with_one_image_at_least(count: int, expected: tuple[int, int, int]) -> None:
    folder = read_folder(write_classes(classes=("a", "b", "c"), count=count))
    drawn = drawn_splits(folder)

    for label in range(3):
        assert expected == tuple(sum(image.label == label for image in split) for split in drawn)
    assert tuple(map(len, drawn)) == split_counts(folder)
    assert sorted(names()) == sorted(str(image.path.relative_to("own")) for split in drawn for image in split)


def test_draw_never_changes() -> None:
    folder = read_folder(write_classes(count=10))
    _, validation, test = drawn_splits(folder)

    assert (["06", "07", "06", "07"], ["00", "02", "00", "02"]) == tuple(
        [image.path.stem for image in split] for split in (validation, test)
    )
