"""Reading npz files: what is damaged or dangerous is one line that names the path, and nothing in it is ever run."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from npz_files import flip_byte_in, made_up_arrays, write_members, write_npz

from harness.errors import HarnessError
from harness.plugins.images.npz_file import Expected, Header, read_headers, read_npz

LIMIT = 1 << 20
IMAGES = Expected(("uint8",), ((None, 28, 28), (None, 28, 28, 3)))
LABELS = Expected(("uint8", "int64"), ((None, 1),), bounds=(0, 1))
WANTED = {"train_images": IMAGES, "train_labels": LABELS}


class Canary:
    """Writes the file `sings` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path("sings").write_text, ("I was run",)


def npy(array: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def headed(shape: str, dtype: str = "|u1") -> bytes:
    """A npy file of two bytes whose header says otherwise."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0\0"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def put(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def with_train_images(content: bytes) -> Callable[[Path], object]:
    return lambda path: write_members(path, {"train_images.npy": content, "train_labels.npy": npy([[1]])})


def with_arrays(**changed: Any) -> Callable[[Path], object]:
    return lambda path: write_npz(path, **changed)


DAMAGES = {
    "truncated": (cut, "found a damaged one"),
    "empty": (put(b""), "found an empty file"),
    "web-page": (put(b"\n<!DOCTYPE html><title>404"), "found a web page"),
    "pickle": (put(pickle.dumps(Canary())), "found a pickle, which is never loaded"),
    "single-array": (put(npy([1])), "found a single array"),
    "pipe": (pipe, "found a pipe"),
    "text": (put(b"hello"), "found something else"),
    "empty-archive": (lambda path: write_members(path, {}), "expected an array 'train_images', found nothing"),
    "object-array": (with_train_images(npy(np.array([Canary()]))), "[N, 28, 28, 3], found object [1]"),
    "member-no-npy": (with_train_images(b"hello"), "expected 'train_images' to be an array"),
    "member-pickle": (with_train_images(pickle.dumps(Canary())), "expected 'train_images' to be an array"),
    "member-empty": (with_train_images(b""), "expected 'train_images' to be an array"),
    "claims-petabytes": (with_train_images(headed("(10**15, 28, 28)")), "damaged header"),
    "claims-much": (with_train_images(headed("(1000000000000, 28, 28)")), "expected 784000000000000 bytes of data"),
    "negative-shape": (with_train_images(headed("(-1, 28, 28)")), "to have a shape, found (-1, 28, 28)"),
    "evil-header": (with_train_images(headed("__import__('os').getcwd()")), "damaged header"),
    "missing-key": (with_arrays(train_images=None), "expected an array 'train_images', found 'train_labels', 'val"),
    "float-images": (with_arrays(train_images=np.zeros((2, 28, 28), "f4")), "found float32 [2, 28, 28]"),
    "other-size": (with_arrays(train_images=np.zeros((2, 64, 64), "u1")), "found uint8 [2, 64, 64]"),
    "four-channels": (with_arrays(train_images=np.zeros((2, 28, 28, 4), "u1")), "found uint8 [2, 28, 28, 4]"),
    "flat-labels": (with_arrays(train_labels=np.zeros(2, "u1")), "uint8 or int64 [N, 1], found uint8 [2]"),
    "text-labels": (with_arrays(train_labels=np.array([["a"]])), "found <U1 [1, 1]"),
    "label-too-high": (with_arrays(train_labels=np.array([[0], [7]])), "from 0 to 1, found values from 0 to 7"),
    "label-negative": (with_arrays(train_labels=np.array([[0], [-1]])), "found values from -1 to 0"),
    "empty-split": (with_arrays(train_images=np.zeros((0, 28, 28), "u1")), "found uint8 [0, 28, 28]"),
    "too-large": (with_arrays(extra=np.zeros(2 << 20, "u1")), "expected at most 1 MiB, found 2."),
}


@pytest.mark.parametrize(("damage", "told"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_file_is_one_line_with_path_and_way_out_and_nothing_is_run(
    damage: Callable[[Path], object], told: str
) -> None:
    path = write_npz(Path("set.npz"))
    damage(path)
    with pytest.raises(HarnessError) as refused:
        read_npz(path, WANTED, LIMIT, "ask for another")

    line = str(refused.value)
    assert line.startswith("'set.npz': expected ")
    assert told in line
    assert line.endswith("; ask for another")
    assert "\n" not in line
    assert not Path("sings").exists()


@pytest.mark.parametrize("member", ["train_images.npy", "train_labels.npy"])
def test_flipped_byte_is_found(member: str) -> None:
    path = flip_byte_in(write_npz(Path("set.npz")), member)

    with pytest.raises(HarnessError, match=r"'set.npz': expected .*; write it with numpy.savez_compressed"):
        read_npz(path, WANTED, LIMIT)


def test_flipped_byte_in_stored_data_is_found_by_its_checksum() -> None:
    members = {f"{name}.npy": npy(array) for name, array in made_up_arrays().items()}
    path = write_members(Path("set.npz"), members, zipfile.ZIP_STORED)
    flip_byte_in(path, "train_images.npy")

    with pytest.raises(HarnessError, match=r"a damaged one \(Bad CRC-32"):
        read_npz(path, WANTED, LIMIT)


def test_nan_is_refused_where_numbers_are_floating() -> None:
    path = write_npz(Path("set.npz"), {"pixels": np.array([0.5, np.nan])})

    with pytest.raises(HarnessError, match="'pixels' to hold numbers, found NaN or infinity"):
        read_npz(path, {"pixels": Expected(("float64",), ((None,),))}, LIMIT)


@given(place=st.integers(0), flipped=st.integers(0, 255), kept=st.none() | st.integers(0))
def test_file_that_was_changed_anywhere_is_refused_or_read_as_it_was(
    place: int, flipped: int, kept: int | None
) -> None:
    content = bytearray(write_npz(Path("set.npz")).read_bytes())
    content[place % len(content)] ^= flipped
    path = Path("changed.npz")
    path.write_bytes(content[: None if kept is None else kept % len(content)])

    with contextlib.suppress(HarnessError):
        read = read_npz(path, WANTED, LIMIT)
        for name in WANTED:
            np.testing.assert_array_equal(made_up_arrays()[name], read[name], strict=True)


def test_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    zeros = b"\0" * (100 << 20)
    path = write_members(Path("bomb.npz"), {"train_images.npy": zeros, "train_labels.npy": npy([[1]])})
    del zeros

    tracemalloc.start()
    with pytest.raises(HarnessError, match="100 MiB packed into .* as in a zip bomb"):
        read_npz(path, WANTED, 1 << 40)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(HarnessError, match="cannot read 'none.npz': No such file or directory; look elsewhere"):
        read_npz(Path("none.npz"), WANTED, LIMIT, "look elsewhere")
    with pytest.raises(HarnessError, match="cannot read '.': Is a directory"):
        read_npz(Path(), WANTED, LIMIT)


def test_good_file_is_read_as_numpy_reads_it() -> None:
    path = write_npz(Path("set.npz"))
    read, expected = read_npz(path, WANTED, LIMIT), np.load(path)

    assert WANTED.keys() == read.keys()
    for name, array in read.items():
        np.testing.assert_array_equal(expected[name], array, strict=True)


def test_headers_are_read_without_the_data() -> None:
    path = flip_byte_in(write_npz(Path("set.npz")), "train_images.npy")

    # The header is the beginning of the packed data, so that it is read although the middle is damaged.
    assert {"train_images": Header("uint8", (12, 28, 28))} == read_headers(path, {"train_images": IMAGES}, LIMIT)
