"""What a pickle of arrays may call takes nothing but what arrays need."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from pickle_programs import name, program, refusal, text

from harness.plugins.lidc.array_parts import PickledArray
from harness.plugins.lidc.array_pickle import read_arrays

RECONSTRUCT = name("numpy.core.multiarray", "_reconstruct")
SCALAR = name("numpy.core.multiarray", "scalar")
DTYPE = name("numpy", "dtype")
NDARRAY = name("numpy", "ndarray")
ENCODE = name("_codecs", "encode")
UID = name("pydicom.uid", "UID")
NUMBER = name("pydicom.valuerep", "DSfloat")
VALUES = name("pydicom.multival", "MultiValue")
ARRAY = RECONSTRUCT + NDARRAY + b"K\x00\x85" + text("b") + b"\x87R"
FLOATS = DTYPE + text("f8") + b"\x89\x88\x87R(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
FIELDS = DTYPE + text("f8") + b"\x85R(K\x03" + text("<") + b"N" + text("a") + b"}tb"
DATA = b"C\x08" + bytes(8)


def state(length: bytes = b"K\x01", type_: bytes = FLOATS, data: bytes = DATA) -> bytes:
    """Return what tells an array its shape, type and data."""
    return b"(K\x01" + length + b"\x85" + type_ + b"\x89" + data + b"tb"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (NDARRAY + b"K\x01\x85R", "it calls numpy.ndarray"),
        (NDARRAY + b"}b", "it changes numpy.ndarray"),
        (ENCODE + b"}" + text("__call__") + text("x") + b"sb", "it changes _codecs.encode"),
        (ENCODE + text("x") + text("rot13") + b"\x86R", "found another text"),
        (DTYPE + text("O") + b"\x85R", "of numbers, found another"),
        (DTYPE + text("V8") + b"\x85R", "of numbers, found another"),
        (DTYPE + b"]\x85R", "of numbers, found another"),
        (FIELDS, "one with fields"),
        (ARRAY + NDARRAY + b"b", "an array with shape"),
        (ARRAY + state(data=b"]"), "one of other objects"),
        (ARRAY + state(type_=b"N"), "one of other objects"),
        (ARRAY + state(type_=DTYPE), "one of other objects"),
        (ARRAY + state(b"J\xff\xff\xff\xff"), "a shape of whole numbers"),
        (ARRAY + state(b"J\xff\xff\xff\x7f"), "17,179,869,176 bytes"),
        (ARRAY + state() + state(), "an array with"),
        (RECONSTRUCT + DTYPE + b"K\x00\x85" + text("b") + b"\x87R", "another object"),
        (SCALAR + FLOATS + b"C\x02ab\x86R", "8 bytes for an array, found 2"),
        (SCALAR + b"NN\x86R", "one of other objects"),
        (SCALAR + SCALAR + b"\x85R", "damaged"),
        (NDARRAY + b")\x81", "damaged"),
        (UID + b"K\x01\x85\x81", "a UID to be short text"),
        (UID + text("1" * 65) + b"\x85\x81", "a UID to be short text"),
        (UID + b")\x81", "damaged"),
        (UID + b"}" + text("__new__") + text("x") + b"sb", "damaged"),
        (UID + b"N}" + text("__new__") + text("x") + b"s\x86b", "damaged"),
        (NUMBER + text("1") + b"\x85\x81", "expected a number"),
        (VALUES + b"]\x85\x81", "damaged"),
    ],
)
def test_allowed_names_take_nothing_but_what_arrays_need(body: bytes, told: str) -> None:
    assert told in refusal(program(body))


def test_text_that_is_made_bytes_again_and_again_is_refused(tmp_path: Path) -> None:
    encode = name("_codecs", "encode") + b"q\x00" + text("x" * 10_000) + b"q\x01" + text("latin1") + b"q\x02\x86R"
    again = b"h\x00h\x01h\x02\x86R"

    assert "more bytes than it holds" in refusal(program(b"]" + encode + b"a" + (again + b"a") * 1000))


def test_values_of_pydicom_are_kept_as_text_and_numbers_without_it() -> None:
    # As pydicom 1.2 and 2.4 write them.
    spacing = NUMBER + b"G" + struct.pack(">d", 0.5) + b"\x85\x81}" + text("original_string") + text("0.5") + b"sb"
    listed = VALUES + b")\x81}(" + text("_list") + b"](" + spacing + b"e" + text("type_constructor") + NUMBER + b"ub"
    found = read_arrays(program(b"(" + UID + text("1.2.3") + b"\x85\x81" + spacing + listed + b"t"))

    assert ("1.2.3", 0.5) == found[:2]
    assert "pydicom" not in sys.modules


def test_unfinished_array_has_no_content() -> None:
    found = read_arrays(program(ARRAY))

    assert isinstance(found, PickledArray)
    assert found.array is None
