"""The archives that LIDC-IDRI's patches circulate in, told apart by their first bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import HarnessError
from harness.plugins.lidc.hdf5_archive import read_hdf5
from harness.plugins.lidc.patches import Patches
from harness.plugins.lidc.pickle_archive import read_pickle

_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLE = b"\x80"


def read_archive(source: Path) -> Patches:
    """Return the patches of *source*, a pickle or an HDF5 file.

    Raises HarnessError where it is neither, is damaged, or does not fit into memory.
    """
    read = _reader(source, _beginning(source))
    try:
        return read(source)
    except MemoryError as error:
        raise HarnessError(
            f"{str(source)!r} needs more memory than there is; convert it on a larger machine"
        ) from error


def _beginning(source: Path) -> bytes:
    if source.exists() and not source.is_file():
        raise HarnessError(f"{str(source)!r} is no file; give the archive itself with --from")
    try:
        with source.open("rb") as content:
            return content.read(512)
    except OSError as error:
        raise HarnessError(f"cannot read {str(source)!r}: {error.strerror}; give the archive with --from") from error


def _reader(source: Path, start: bytes) -> Callable[[Path], Patches]:
    """Return what reads a file that begins with *start*."""
    if start.startswith(_HDF5):
        return read_hdf5
    if start.startswith(_PICKLE):
        return read_pickle
    raise HarnessError(f"{str(source)!r}: expected a pickle or an HDF5 file, found {_what(start)}")


def _what(start: bytes) -> str:
    """Return what a file is by its first bytes."""
    if not start:
        return "an empty file"
    if start.lstrip().startswith(b"<"):
        return "a web page, such as a server's error message; download it anew"
    return "an archive to be unpacked first" if start.startswith((b"PK", b"\x1f\x8b")) else "something else"
