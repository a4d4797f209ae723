"""A lock on a file that ends with its process, however that ends: the kernel frees it."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import platform
import time
from pathlib import Path

from harness.errors import HarnessError

# The holder writes its pid just after it has the lock; so long do others wait to read it.
_PATIENCE_SECONDS = 1.0
# Between two tries to get it.
_PAUSE_SECONDS = 0.02


class FileLock:
    """A held lock. The file holds the holder's pid, host and start as JSON; `release` removes it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path, thing: str, patience: float = 0.0) -> FileLock:
        """Lock the file *path*, made where there is none, on behalf of *thing*; waits *patience* [s] for another's end.

        Raises HarnessError where another process holds it still, naming that one's pid, host and start, or where the
        file cannot be written.
        """
        deadline = time.monotonic() + patience
        while True:
            descriptor = _open(path, thing)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _is_same_file(path, descriptor):
                    # The last holder removed the file between our opening and our locking it.
                    os.close(descriptor)
                    continue
                _sign(descriptor)
            except OSError as error:
                if isinstance(error, BlockingIOError) and time.monotonic() < deadline:
                    os.close(descriptor)
                    time.sleep(_PAUSE_SECONDS)
                    continue
                refusal = _refusal(descriptor, thing, error)
                os.close(descriptor)
                raise refusal from error
            return cls(path, descriptor)

    def release(self) -> None:
        """Remove the file, unless another has taken its place, and free the lock. Harmless a second time."""
        if self._descriptor is None:
            return
        if _is_same_file(self._path, self._descriptor):
            # Gone from the folder or not, the lock ends with the descriptor.
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = None


def _open(path: Path, thing: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise HarnessError(
            f"cannot write {thing}: {str(path)!r}: {error.strerror}; name a file in a folder where you may write"
        ) from error


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False


def _sign(descriptor: int) -> None:
    start = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": platform.node(), "start": start}).encode(), 0)


def _refusal(descriptor: int, thing: str, error: OSError) -> HarnessError:
    if not isinstance(error, BlockingIOError):
        return HarnessError(f"cannot lock {thing}: {error.strerror}; name a file on another disk")
    return HarnessError(
        f"{thing} is being written by {_holder(descriptor)}; wait until that ends, or name another file"
    )


def _holder(descriptor: int) -> str:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
            return f"process {holder['pid']} on {holder['host']} since {holder['start']}"
        except (ValueError, LookupError, TypeError):
            time.sleep(0.01)
    return "another process"
