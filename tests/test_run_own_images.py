"""`harness run` on images of one's own, from the command line: a tiny real model, one epoch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from image_folders import save, write_classes
from npz_files import flip_byte_in, made_up_arrays, write_npz

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
