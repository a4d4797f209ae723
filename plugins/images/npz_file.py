"""Reading npz files that nobody vouches for: no pickle, and nothing is read before its size, type and shape are known.

`read_npz` gives arrays, `read_headers` only what their headers say.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from attrs import frozen

from harness.errors import HarnessError
from harness.quantities import format_quantity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Shape = tuple[int | None, ...]

# Deflate packs at most 1,032 bytes into one; images, black borders and all, stay far below this.
_MOST_PACKED = 250
_UNSUSPICIOUS_BYTES = 64 << 20
_BEGINNINGS = {
    b"": "an empty file",
    b"<": "a web page or XML, such as a server's error message",
    b"\x80": "a pickle, which is never loaded since it can run code",
    b"\x93NUMPY": "a single array (npy)",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
}


@frozen
class Expected:
    """What an array has to be.

    Its type is one of `dtypes` ("uint8"), its shape fits one of `shapes` (None: any length but zero), and its values
    lie within `bounds`, both included. Floating-point values must be finite.
    """

    dtypes: tuple[str, ...]
    shapes: tuple[Shape, ...]
    bounds: tuple[float, float] | None = None

    def __str__(self) -> str:
        shapes = " or ".join(_written(shape) for shape in self.shapes)
        return f"{' or '.join(self.dtypes)} {shapes}"

    def fits(self, header: Header) -> bool:
        """Say whether type and shape are among those expected."""
        return header.dtype in self.dtypes and any(_fits(header.shape, shape) for shape in self.shapes)


@frozen
class Header:
    """What an array says of itself before its data: the type's name ("uint8") and the shape."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {_written(self.shape)}"


def read_npz(
    path: Path, arrays: Mapping[str, Expected], limit: int, way_out: str = "write it with numpy.savez_compressed"
) -> dict[str, NDArray[Any]]:
    """Return the *arrays* of the file *path* by name; others in it are left alone.

    Raises HarnessError, one line that ends with *way_out*, for a file that cannot be read, is damaged, is no npz, or
    would unpack to more than *limit* bytes; and for an array that is missing or not what is expected.
    """
    with _archive(path, limit, way_out) as (archive, refuse):
        for name, expected in arrays.items():
            _checked_header(archive, name, expected, refuse)  # of all, before any data is read
        return {name: _array(archive, name, expected, refuse) for name, expected in arrays.items()}


def read_headers(
    path: Path, arrays: Mapping[str, Expected], limit: int, way_out: str = "write it with numpy.savez_compressed"
) -> dict[str, Header]:
    """Return type and shape of the *arrays* of *path*, checked as by `read_npz`, without reading their data."""
    with _archive(path, limit, way_out) as (archive, refuse):
        return {name: _checked_header(archive, name, expected, refuse) for name, expected in arrays.items()}


Refuse = Callable[[str, object], HarnessError]


@contextmanager
def _archive(path: Path, limit: int, way_out: str) -> Iterator[tuple[zipfile.ZipFile, Refuse]]:
    """Open *path*; whatever goes wrong in the block is told as one line."""

    def refuse(expected: str, found: object) -> HarnessError:
        return HarnessError(f"{str(path)!r}: expected {expected}, found {_line(found)}; {way_out}")

    try:
        beginning = _beginning(path)
        if beginning is not None:
            raise refuse("an npz file", beginning)
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive, limit, refuse)
            yield archive, refuse
    except (HarnessError, MemoryError):
        raise
    except OSError as error:
        raise HarnessError(f"cannot read {str(path)!r}: {error.strerror or error}; {way_out}") from error
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds for damaged files
        raise refuse("an npz file", f"a damaged one ({_line(error) or type(error).__name__})") from error


def _beginning(path: Path) -> str | None:
    """Return what the file is by its first bytes, None where it may be a zip archive."""
    if path.is_fifo():  # to open it would wait for a writer, for ever
        return "a pipe"
    with path.open("rb") as content:
        start = content.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"PK"):
        return None
    known = (what for sign, what in _BEGINNINGS.items() if (start.startswith(sign) if sign else not start))
    return next(known, "something else")


def _check_sizes(archive: zipfile.ZipFile, limit: int, refuse: Refuse) -> None:
    """Refuse an archive that unpacks to more than *limit* bytes, or to suspiciously many for its size.

    zipfile never gives more of a member than is declared, so the declared sizes can be relied on.
    """
    unpacked = sum(member.file_size for member in archive.infolist())
    packed = sum(member.compress_size for member in archive.infolist())
    if unpacked > limit:
        raise refuse(f"at most {_bytes(limit)}", f"{_bytes(unpacked)} when unpacked")
    if unpacked > _UNSUSPICIOUS_BYTES and unpacked > packed * _MOST_PACKED:
        raise refuse("images", f"{_bytes(unpacked)} packed into {_bytes(packed)}, as in a zip bomb")


def _member(archive: zipfile.ZipFile, name: str, refuse: Refuse) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(f"{name}.npy")
    except KeyError:
        names = [each.removesuffix(".npy") for each in archive.namelist()]
        others = ", ".join(repr(each) for each in names[:12]) or "nothing"
        raise refuse(f"an array {name!r}", f"{others}{' and more' if len(names) > 12 else ''}") from None


def _checked_header(archive: zipfile.ZipFile, name: str, expected: Expected, refuse: Refuse) -> Header:
    member = _member(archive, name, refuse)
    with archive.open(member) as content:
        dtype, shape = _parsed(content, name, refuse)
        data = member.file_size - content.tell()
    header = Header("object" if dtype.hasobject else str(dtype), shape)
    if not expected.fits(header):
        raise refuse(f"{name!r} to be {expected}", header)
    if prod(shape) * dtype.itemsize != data:
        raise refuse(f"{prod(shape) * dtype.itemsize} bytes of data for {name!r}, {header}", f"{data} bytes")
    return header


def _parsed(content: IO[bytes], name: str, refuse: Refuse) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return type and shape from the header of a npy file, and leave *content* at the data."""
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(content)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, _, dtype = read(content)
    except (ValueError, KeyError) as error:
        raise refuse(f"{name!r} to be an array (npy)", "something else, or a damaged header") from error
    if any(length < 0 for length in shape):
        raise refuse(f"{name!r} to have a shape", shape)
    return dtype, shape


def _array(archive: zipfile.ZipFile, name: str, expected: Expected, refuse: Refuse) -> NDArray[Any]:
    from numpy.lib import format as npy

    with archive.open(f"{name}.npy") as content:
        array: NDArray[Any] = npy.read_array(content, allow_pickle=False)
        content.read()  # to the end, where the checksum is compared
    _check_values(array, name, expected, refuse)
    return array


def _check_values(array: NDArray[Any], name: str, expected: Expected, refuse: Refuse) -> None:
    import numpy as np

    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise refuse(f"{name!r} to hold numbers", "NaN or infinity")
    if expected.bounds is None:
        return
    low, high = expected.bounds
    if array.min() < low or array.max() > high:
        raise refuse(f"{name!r} from {low:g} to {high:g}", f"values from {array.min()} to {array.max()}")


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    same = len(shape) == len(wanted)
    return same and all(n == want or (want is None and n > 0) for n, want in zip(shape, wanted, strict=True))


def _written(shape: Shape) -> str:
    axes = "NHWC" if len(shape) > 2 else "NL"
    lengths = (str(length) if length is not None else axes[axis] for axis, length in enumerate(shape))
    return f"[{', '.join(lengths)}]"


def _bytes(count: int) -> str:
    return format_quantity(count, "B")


def _line(what: object) -> str:
    """Return *what* as one line without anything that a terminal would obey."""
    text = " ".join(str(what).split())
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:300]
