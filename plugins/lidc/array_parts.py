"""What a pickle of numpy arrays may call: stand-ins that build arrays of numbers from bytes, and check what they get.

The names and their arguments are those that `ndarray.__reduce__`, `dtype.__reduce__` and `generic.__reduce__` of NumPy
1.x and 2.x write, `ndarray.__reduce_ex__(5)` beside them, and pickle's own way to write bytes in protocol 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
_MOST_DIMENSIONS = 8


class Stand:
    """Stands for one allowed name. Holds no state that a pickle could change."""

    __slots__ = ("_call", "_name")

    def __init__(self, name: str, call: Callable[..., Any] | None = None) -> None:
        self._name = name
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        if self._call is None:
            raise HarnessError(f"refused: it calls {self._name}")
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        raise HarnessError(f"refused: it changes {self._name}")


class PickledType:
    """A dtype on its way out of a pickle: made from "f8", then told its byte order."""

    __slots__ = ("_code", "dtype")

    def __init__(self, code: object, *flags: object) -> None:
        if not isinstance(code, str) or _NUMBERS.fullmatch(code) is None:
            raise _unexpected("the type of an array to be of numbers", "another")
        self._code = code
        self.dtype: np.dtype[Any] | None = None

    def __setstate__(self, state: object) -> None:
        import numpy as np

        if not isinstance(state, tuple) or len(state) < 3 or state[1] not in ("<", ">", "|", "="):
            raise _unexpected("a type with its byte order", "something else")
        if self.dtype is not None or any(part is not None for part in state[2:5]):
            raise _unexpected("the type of an array to be of numbers", "one with fields")
        self.dtype = np.dtype(f"{state[1]}{self._code}")


class PickledArray:
    """An array on its way out of a pickle: made empty, then told shape, type and data."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: NDArray[Any] | None = None

    def __setstate__(self, state: object) -> None:
        if self.array is not None or not isinstance(state, tuple) or len(state) != 5:
            raise _unexpected("an array with shape, type and data", "something else")
        _, shape, type_, fortran, data = state
        self.array = _array(data, type_, shape, "F" if fortran else "C")


def allowed_names(size: int) -> dict[tuple[str, str], Stand]:
    """Return a stand-in for each (module, name) that a pickle of arrays of numbers, *size* bytes long, may ask for."""
    array = Stand("numpy.ndarray")
    found = {
        ("numpy", "ndarray"): array,
        ("numpy", "dtype"): Stand("numpy.dtype", PickledType),
        ("_codecs", "encode"): Stand("_codecs.encode", _Encoder(size)),
    }
    for core in ("numpy.core", "numpy._core"):
        found[f"{core}.multiarray", "_reconstruct"] = Stand("_reconstruct", _empty_for(array))
        found[f"{core}.multiarray", "scalar"] = Stand("scalar", _scalar)
        found[f"{core}.numeric", "_frombuffer"] = Stand("_frombuffer", _whole)
    return found


class _Encoder:
    """Bytes, which protocol 2 writes as latin1 text: each once, though a pickle could ask for one again and again."""

    def __init__(self, size: int) -> None:
        self._left = size

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise _unexpected("bytes as latin1 text", "another text")
        self._left -= len(text)
        if self._left < 0:
            raise HarnessError("refused: it makes more bytes than it holds")
        return text.encode("latin1")


def _empty_for(array: Stand) -> Callable[..., PickledArray]:
    def reconstruct(kind: object, shape: object, code: object) -> PickledArray:
        if kind is not array or shape != (0,):
            raise _unexpected("an array", "another object of numpy")
        return PickledArray()

    return reconstruct


def _whole(data: object, type_: object, shape: object, order: object, axis_order: object = None) -> PickledArray:
    if order not in ("C", "F") or axis_order is not None:
        raise _unexpected("an array in the order C or F", "another order")
    made = PickledArray()
    made.array = _array(data, type_, shape, str(order))
    return made


def _scalar(type_: object, data: object) -> bool | int | float:
    number: bool | int | float = _array(data, type_, (1,), "C")[0].item()
    return number


def _array(data: object, type_: object, shape: object, order: str) -> NDArray[Any]:
    """Return the array of *data*, which is not copied; raises HarnessError unless its length is what it must be."""
    import numpy as np

    dtype = type_.dtype if isinstance(type_, PickledType) else None
    if dtype is None or not isinstance(data, (bytes, bytearray)):
        raise _unexpected("an array of numbers", "one of other objects")
    if not isinstance(shape, tuple) or len(shape) > _MOST_DIMENSIONS:
        raise _unexpected("a shape", "something else")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise _unexpected("a shape of whole numbers", "something else")
    if prod(shape) * dtype.itemsize != len(data):
        raise _unexpected(f"{prod(shape) * dtype.itemsize:,} bytes for an array", f"{len(data):,}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")


def _unexpected(expected: str, found: str) -> HarnessError:
    return HarnessError(f"expected {expected}, found {found}; the pickle is damaged or another one")
