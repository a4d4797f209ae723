"""Reading a pickle of numpy arrays in plain containers without running what a pickle can ask for.

A pickle is a program: it names any function there is and calls it. Here its instructions are gone through before any
is run (`_check_instructions`), and the few names that are needed lead to stand-ins, which build arrays from bytes, by
checks of our own (`plugins/array_parts.py`), or keep a text or number of pydicom's (`plugins/dicom_parts.py`). NumPy's
own functions are never handed to it: their unpickling trusts what it is given.
"""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path
from typing import IO, Any

from harness.errors import HarnessError
from harness.plugins.lidc.array_parts import allowed_names
from harness.plugins.lidc.dicom_parts import DICOM_NAMES

# Enough for protocols 2 to 5. Without those of protocols 0 and 1 (INST, OBJ, and text of any length), and those that
# ask for things outside of the file (EXT1, PERSID, NEXT_BUFFER).
_INSTRUCTIONS = """
PROTO FRAME STOP MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD
NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT
BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
EMPTY_DICT SETITEM SETITEMS EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
"""
_ALLOWED = frozenset(_INSTRUCTIONS.split())
_PUTS = {"MEMOIZE", "BINPUT", "LONG_BINPUT"}
# Each makes an object of up to some hundred bytes from as little as one. 15,096 patches need 3 million.
_MOST_INSTRUCTIONS = 12_000_000
_LONGEST_NAME = 200
_TRUNCATED = "expected a whole pickle, found a truncated or damaged one; copy it anew"


def read_arrays(path: Path) -> Any:
    """Return what the pickle *path* holds: dicts, lists, tuples, text, bytes, numbers, and `PickledArray`s of numbers.

    All of it is in memory at once, up to three times in protocol 2. Raises HarnessError, without having called anything
    that the file names, where it asks for more than that, is damaged, or is larger than the memory that is free.
    """
    try:
        with path.open("rb") as content:
            size = path.stat().st_size
            _check_memory(size)
            _check_instructions(_Bounded(content, size))
            content.seek(0)
            return _ArrayUnpickler(content, size).load()
    except OSError as error:
        raise HarnessError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except HarnessError as error:
        raise HarnessError(f"{str(path)!r}: {error}") from error.__cause__
    except MemoryError:
        raise
    except Exception as error:  # the documentation of pickle promises no certain kind for damaged files
        raise HarnessError(
            f"{str(path)!r}: expected a pickle of numpy arrays, found a damaged one ({_kind(error)}); copy it anew"
        ) from error


class _ArrayUnpickler(pickle.Unpickler):
    """Gives stand-ins for the few names that arrays need, and nothing for any other."""

    def __init__(self, content: IO[bytes], size: int) -> None:
        super().__init__(content, fix_imports=False)
        self._names: dict[tuple[str, str], object] = {**allowed_names(size), **DICOM_NAMES}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for *name* of *module*; raises HarnessError where there is none."""
        if (module, name) not in self._names:
            asked = f"{module}.{name}".encode("unicode_escape").decode()[:_LONGEST_NAME]
            raise HarnessError(f"refused: it asks for {asked}, and an archive of arrays needs no such thing")
        return self._names[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Refuse what lies outside of the file."""
        raise HarnessError("refused: it asks for something outside of the file")


class _Bounded:
    """A file for pickletools that never tries to read beyond its end: a length may be a lie, and memory is taken first.

    Not a file object for anything else: names, the only lines in a pickle of these protocols, are short.
    """

    def __init__(self, content: IO[bytes], size: int) -> None:
        self._content = content
        self.size = size
        self._at = 0

    def read(self, count: int) -> bytes:
        if count > self.size - self._at:
            raise HarnessError(_TRUNCATED)
        self._at += count
        return self._content.read(count)

    def readline(self) -> bytes:
        line = self._content.readline(_LONGEST_NAME)
        self._at += len(line)
        return line

    def tell(self) -> int:
        return self._at


def _check_instructions(content: _Bounded) -> None:
    """Raise HarnessError unless every instruction is one that arrays need, and none takes memory out of proportion."""
    puts = 0
    for count, (opcode, argument, at) in enumerate(pickletools.genops(content)):  # type: ignore[arg-type]
        number = argument if isinstance(argument, int) else 0
        if count == 0 and (opcode.name != "PROTO" or not 2 <= number <= 5):
            raise HarnessError("expected a pickle of protocol 2 to 5, found something else")
        if count == _MOST_INSTRUCTIONS:
            raise HarnessError(f"refused: more than {count:,} instructions, far beyond any archive of patches")
        if opcode.name not in _ALLOWED:
            raise HarnessError(f"refused: instruction {opcode.name} at byte {at}, which no archive of arrays needs")
        if opcode.name in ("BINPUT", "LONG_BINPUT") and number > puts:  # a memo is as long as its highest number
            raise HarnessError(f"refused: place {number} of the memo at byte {at}, where {puts} are taken")
        if opcode.name == "FRAME" and number > content.size - content.tell():
            raise HarnessError(_TRUNCATED)
        puts += opcode.name in _PUTS
    if content.tell() != content.size:
        raise HarnessError(f"expected nothing after the pickle, found {content.size - content.tell():,} more bytes")


def _check_memory(size: int) -> None:
    import psutil

    free = psutil.virtual_memory().available
    if size > free:
        raise HarnessError(
            f"a pickle must be in memory as a whole: {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            "close other programs or convert it on a larger machine"
        )


def _kind(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".encode("unicode_escape").decode().split())[:150]
