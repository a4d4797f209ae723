"""Writes pickles instruction by instruction, and takes down how they are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.plugins.lidc.array_pickle import read_arrays

CANARY = "canary"


def refusal(path: Path) -> str:
    """Return the one line that *path* is refused with, and check that nothing ran."""
    with pytest.raises(HarnessError) as raised:
        read_arrays(path)
    assert not Path(CANARY).exists()
    line = str(raised.value)
    assert "\n" not in line
    assert str(path) in line
    return line


def name(module: str, attribute: str) -> bytes:
    """Return the instruction that asks for *attribute* of *module*."""
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def program(body: bytes, path: Path = Path("evil.pickle")) -> Path:
    path.write_bytes(b"\x80\x02" + body + b".")
    return path
