"""A pickle of arrays is read without running anything that it names; the canary never sings."""

from __future__ import annotations

import contextlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pickle_programs import CANARY, name, program, refusal, text

from harness.errors import HarnessError
from harness.plugins.lidc.array_pickle import read_arrays


def pickled(path: Path, value: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def sing(*ignored: object) -> None:
    Path(CANARY).touch()


class Evil:
    """Asks, when loaded, for *call* with *arguments*."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.made_by = (call, arguments)

    def __reduce__(self) -> Any:
        return self.made_by


class Stateful:
    """Would sing when its state is set."""

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}

    def __setstate__(self, state: object) -> None:
        sing()


def renamed(content: bytes, protocol: int, core: bytes) -> bytes:
    """Return the pickle *content* with the module *core* in place of the installed numpy's own."""
    content = content[:2] + content[11:] if protocol >= 4 else content  # without its frame, whose length would change
    for module in (b"multiarray", b"numeric"):
        new = core + b"." + module
        for own in (b"numpy.core." + module, b"numpy._core." + module):
            content = content.replace(b"\x8c" + bytes([len(own)]) + own, b"\x8c" + bytes([len(new)]) + new)
            content = content.replace(b"c" + own + b"\n", b"c" + new + b"\n")
    assert core in content
    return content


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("code", ["f8", "f4", ">f8", "f2", "u1", "i8", "?"])
def test_array_of_numbers_comes_back_as_it_was(protocol: int, code: str, tmp_path: Path) -> None:
    array = (np.random.RandomState(1).rand(3, 4) * 9).astype(code)
    found = read_arrays(pickled(tmp_path / "a", {"x": [array, array.T]}, protocol))["x"]

    np.testing.assert_array_equal(array, found[0].array)
    np.testing.assert_array_equal(array.T, found[1].array)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_pickles_of_old_and_new_numpy_are_read(core: bytes, protocol: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(renamed(pickle.dumps([np.arange(3.0), np.float64(1.5)], protocol), protocol, core))
    array, number = read_arrays(tmp_path / "a")

    assert [0.0, 1.0, 2.0] == array.array.tolist()
    assert 1.5 == number


def test_plain_containers_keep_their_order_and_kinds(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True], "a": ("x", b"y", 2**40), 3: {}}
    found = read_arrays(pickled(tmp_path / "a", value))

    assert value == found
    assert list(value) == list(found)


def test_canary_sings_where_a_pickle_is_let_run(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Evil(sing)))

    assert Path(CANARY).exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_function_is_not_called(protocol: int, tmp_path: Path) -> None:
    path = pickled(tmp_path / "a", {"k": {"image": Evil(sing)}}, protocol)

    assert "it asks for" in refusal(path)
    assert "sing" in refusal(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "call", [eval, exec, getattr, __import__, Path.touch, np.load, np.frombuffer], ids=lambda call: call.__qualname__
)
def test_nothing_but_what_arrays_need_is_found(call: Any, protocol: int, tmp_path: Path) -> None:
    assert "refused: it asks for" in refusal(pickled(tmp_path / "a", Evil(call, f"open({CANARY!r}, 'w')"), protocol))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_objects_of_other_classes_are_refused(protocol: int, tmp_path: Path) -> None:
    assert "refused" in refusal(pickled(tmp_path / "a", Stateful(), protocol))


LOOKALIKES = [
    ("numpy.core.multiarray", "_reconstruct.__globals__"),
    ("numpy.core.multiarray.evil", "_reconstruct"),
    ("numpy.core.multiarray", "fromfile"),
    ("numpy.core._multiarray_umath", "_reconstruct"),
    ("numpy.core.multiarray ", "_reconstruct"),
    ("numpy.testing", "rundocs"),
    ("numpy.f2py", "compile"),
    ("numpy.lib.npyio", "load"),
    ("numpy", "memmap"),
    ("numpy", "__builtins__"),
    ("_codecs", "lookup"),
    ("codecs", "encode"),
    ("copyreg", "_reconstructor"),
    ("builtins", "exec"),
    ("__builtin__", "eval"),
    ("posix", "system"),
    ("pydicom.uid", "generate_uid"),
    ("pydicom.filereader", "dcmread"),
]


@pytest.mark.parametrize(("module", "attribute"), LOOKALIKES)
def test_lookalike_names_are_refused(module: str, attribute: str) -> None:
    body = name(module, attribute) + text(f"touch {CANARY}") + b"\x85R"

    assert "refused: it asks for" in refusal(program(body))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"(S'touch'\nios\nsystem\n", "instruction STRING"),
        (b"(ios\nsystem\n", "instruction INST"),
        (b"(" + name("os", "system") + text("x") + b"o", "instruction OBJ"),
        (name("pydicom.uid", "UID") + b")}\x92", "instruction NEWOBJ_EX"),
        (b"\x82\x01", "instruction EXT1"),
        (b"Pid\n", "instruction PERSID"),
        (b"NQ", "instruction BINPERSID"),
        (b"\x97", "instruction NEXT_BUFFER"),
        (b"Nr\xff\xff\xff\xff", "place 4294967295 of the memo"),
        (b"\x95" + struct.pack("<Q", 2**60) + b"N", "truncated"),
        (b"\x8e" + struct.pack("<Q", 2**60) + b"N", "truncated"),
        (b"\x8d" + struct.pack("<Q", 2**62) + b"N", "truncated"),
        (b"\x96" + struct.pack("<Q", 2**63 - 1) + b"N", "truncated"),
        (b"\xff", "damaged"),
    ],
)
def test_instructions_that_arrays_do_not_need_are_refused_before_any_is_run(body: bytes, told: str) -> None:
    # The name before them would be refused first, if it came so far.
    assert told in refusal(program(name("posix", "system") + body))


def test_too_many_instructions_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("harness.plugins.lidc.array_pickle._MOST_INSTRUCTIONS", 1000)

    assert "more than 1,000 instructions" in refusal(program(b"}" * 2000))


def test_pickle_larger_than_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Memory:
        available = 10

    monkeypatch.setattr("psutil.virtual_memory", Memory)

    assert "must be in memory as a whole" in refusal(pickled(tmp_path / "a", list(range(100))))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda content: content[:-1], "damaged"),
        (lambda content: content[: len(content) // 2], "truncated"),
        (lambda content: content[:1], "damaged"),
        (lambda content: b"", "damaged"),
        (lambda content: content + b"more", "4 more bytes"),
        (lambda content: b"<!DOCTYPE html><html>", "damaged"),
        (lambda content: content[2:], "something else"),
        (lambda content: b"\x80\x06" + content[2:], "protocol 2 to 5"),
    ],
)
def test_damaged_file_is_refused(damage: Callable[[bytes], bytes], told: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(damage(pickle.dumps({"x": np.arange(100.0)}, 4)))

    assert told in refusal(tmp_path / "a")


def test_flipped_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    content = pickle.dumps({"x": [np.arange(4.0), np.ones(3, bool)], "y": "text"}, 2)
    draw = np.random.RandomState(7)
    for _ in range(1500):
        damaged = bytearray(content)
        damaged[draw.randint(len(content))] = draw.randint(256)
        (tmp_path / "a").write_bytes(damaged)
        with contextlib.suppress(HarnessError):
            read_arrays(tmp_path / "a")


def test_array_of_objects_is_refused(tmp_path: Path) -> None:
    assert "of numbers" in refusal(pickled(tmp_path / "a", np.array([Evil(sing), None], dtype=object), 4))
