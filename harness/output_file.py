"""Writing the file that a user asked for: whole or not at all, and a device, a pipe or a descriptor as what it is."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from harness.errors import HarnessError

# How many links the kernel follows (MAXSYMLINKS).
_MOST_LINKS = 40


def write_file(output: Path, content: bytes) -> None:
    """Write *content* beside *output* and move it into place, so that no half-written file is ever seen.

    A link stays, and where it leads is written. A pipe, a device and a descriptor (/dev/stdout) are written to as they
    are. Raises HarnessError where that cannot be done.
    """
    try:
        _write(output, content)
    except OSError as error:
        raise _refusal(output, error) from error


def check_file(output: Path) -> None:
    """Raise HarnessError unless *output* can be written, as far as that is known before; leaves what is there alone."""
    try:
        _check(output)
    except OSError as error:
        raise _refusal(output, error) from error


def _write(output: Path, content: bytes) -> None:
    number = _descriptor(output)
    if number is not None:
        return _put(os.dup(number), content)
    target = _target(output)
    if _is_special(target):
        return _put(_open(target), content)
    return _replace(target, content)


def _check(output: Path) -> None:
    number = _descriptor(output)
    if number is not None:
        return _check_descriptor(number)
    target = _target(output)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not _is_special(target):
        trial = target.with_name(f".{target.name}.try")
        _replace(trial, b"")
        return trial.unlink(missing_ok=True)
    if not os.access(target, os.W_OK):  # to open a pipe and close it again would be its end for who reads it
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return None


def _check_descriptor(number: int) -> None:
    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "it is open for reading only")


def _target(output: Path) -> Path:
    """Return where *output* leads."""
    target = Path(os.path.realpath(output))
    if target.is_symlink():  # to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _replace(target: Path, content: bytes) -> None:
    aside = target.with_name(f".{target.name}.part")
    try:
        aside.write_bytes(content)
        aside.replace(target)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def _open(special: Path) -> int:
    """Open a pipe or a device, without waiting for a reader."""
    descriptor = os.open(special, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    return descriptor


def _put(descriptor: int, content: bytes) -> None:
    """Write all of *content* and close *descriptor*."""
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)


def _is_special(target: Path) -> bool:
    """Say whether *target* is a pipe, a device or a socket, which no file must be moved over."""
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _descriptor(output: Path) -> int | None:
    """Return the number of the descriptor that *output* names, as /dev/stdout does, itself or through links.

    Opened by its name, it would lead to the file that it was redirected to, and that would be cut or replaced.
    """
    path = Path(output)
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(path.parent)
        if folder == os.path.realpath("/proc/self/fd") and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(folder, path.readlink())
    return None


def _refusal(output: Path, error: OSError) -> HarnessError:
    reason = "nobody reads from it" if error.errno == errno.ENXIO and output.is_fifo() else error.strerror
    return HarnessError(f"cannot write {str(output)!r}: {reason}; choose another file with -o")


def sync_folder(folder: Path) -> None:
    """Have the names in *folder* on the disk, as a file that was moved there. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
