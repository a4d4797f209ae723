"""A stderr that cannot be written (full, or its reader has gone) loses what is said, and stops nothing."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Losing(io.FileIO):
    """A file that takes everything, and loses what cannot be written."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def forgive_stderr() -> None:
    """Make this process's stderr one to which writing never fails; Python's flush at its end would too.

    One that was put in its place, as tests do, is left alone. Children get the descriptor as it is.
    """
    stderr = sys.__stderr__
    if sys.stderr is None:  # closed: `2>&-`
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 (open to the end)
    elif stderr is not None and sys.stderr is stderr:
        file = io.BufferedWriter(_Losing(stderr.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(file, stderr.encoding, stderr.errors, line_buffering=True)
