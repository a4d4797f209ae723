"""`harness run` on images of one's own, from the command line: a tiny real model, one epoch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from image_folders import save, write_classes
from npz_files import flip_byte_in, made_up_arrays, made_up_labels, write_npz

from harness.store.reading import open_reader


def run(dataset: str, *extra: str) -> subprocess.CompletedProcess[str]:
    small = ("--model", "timm:test_resnet", "--scratch", "--epochs", "1", "--image-size", "32", "--device", "cpu")
    words = (sys.executable, "-m", "harness", "run", "--dataset", dataset, "--meter", "time", *small, *extra)
    return subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)


def rows() -> list[dict[str, Any]]:
    with open_reader(Path("harness.sqlite")) as reader:
        return reader.trials()


def test_npz_file_is_trained_on_stored_and_ranked() -> None:
    write_npz(Path("own.npz"), made_up_arrays(28, 3, classes=3))
    done = run("npz:own.npz", "--format", "json")

    assert 0 == done.returncode, done.stderr
    (row,) = rows()
    assert ("npz:own.npz", "multiclass", "done", 12) == (
        (row["dataset"], row["task"], row["status"], row["facts"]["data"])
    )
    assert ["timm:test_resnet"] == [each["model"] for each in json.loads(done.stdout)["rows"]]


# ChestMNIST with few images, from the table's own row; the published file has too many for a test.
SMALL_CHEST = """
import hashlib
from pathlib import Path

from harness import hookimpl
from harness.plugins.images.medmnist import published_sets, spec_of


@hookimpl
def harness_register_datasets(register):
    row = next(row for row in published_sets() if row["name"] == "chestmnist")
    md5 = hashlib.md5(Path("chestmnist.npz").read_bytes()).hexdigest()
    register(spec_of({**row, "train": "12", "val": "6", "test": "6", "md5_28": md5}))
"""


def test_fourteen_labels_to_an_image_are_trained_stored_and_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(Path("chestmnist.npz"), made_up_arrays(), **made_up_labels())
    Path("small_chest.py").write_text(SMALL_CHEST)
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()), prepend=os.pathsep)
    plugins = ("--plugin", "small_chest", "--no-plugin", "medmnist", "--data-dir", ".")
    done = run("chestmnist", *plugins, "--image-size", "28", "--format", "json")

    assert 0 == done.returncode, done.stderr
    (row,) = rows()
    assert ("multilabel", "done", 14) == (row["task"], row["status"], row["facts"]["labels_per_image"])
    assert {"accuracy", "balanced_accuracy", "auroc", "macro_f1"} < row["metrics"].keys()
    assert row["performance"] * 6 * 14 == pytest.approx(round(row["performance"] * 6 * 14))
    assert ["timm:test_resnet"] == [each["model"] for each in json.loads(done.stdout)["rows"]]


def test_stratified_draw_of_several_labels_is_refused_in_the_plan() -> None:
    write_npz(Path("own.npz"), made_up_arrays(), **made_up_labels())
    refused = run("npz:own.npz", "--train-fraction", "0.5", "--stratified", "--dry-run")

    assert 2 == refused.returncode
    assert "--stratified draws class by class, and an image of dataset 'npz:own.npz' has several" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_folder_is_trained_on_and_again_only_after_it_changed() -> None:
    write_classes()
    first, again = run("folder:own"), run("folder:own")
    save("own/benign/new.png")
    changed = run("folder:own")

    assert [0, 0, 0] == [done.returncode for done in (first, again, changed)], first.stderr
    assert "all finished before" in again.stderr
    assert [("binary", "done", 12), ("binary", "done", 13)] == [
        (row["task"], row["status"], row["facts"]["data"]) for row in rows()
    ]


def test_missing_and_damaged_files_are_told_a_line_each_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARNESS_DATA_DIR", "data")
    image = write_classes() / "benign/00.png"
    image.write_bytes(image.read_bytes()[:-30])
    flip_byte_in(write_npz(Path("own.npz")), "test_images.npy")
    refused = run("dermamnist", "--dataset", "folder:own", "--dataset", "npz:own.npz")

    derma, folder, npz = refused.stderr.splitlines()[-3:]
    assert (2, "") == (refused.returncode, refused.stdout)
    assert "dataset 'dermamnist' needs 'dermamnist_64.npz' in 'data'; allow --download, or put it there" in derma
    assert folder.startswith("'own/benign/00.png' cannot be used as an image: ")
    assert npz.startswith("'own.npz': expected an npz file, found a damaged one (")
    assert not Path("harness.sqlite").exists()
