"""Where scores come from: a store, a CSV or a Parquet file, read into one kind of table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.sources.stored import read_store, read_stores
from harness.sources.table import Query, Table
from harness.sources.tabular import read_csv, read_parquet

_SQLITE, _PARQUET, _ZIP = b"SQLite format 3\0", b"PAR1", b"PK\x03\x04"


def read_source(path: Path, query: Query | None = None) -> Table:
    """Return the table in *path*, a store, Parquet or CSV by what is in it, whatever its name.

    Raises HarnessError for a file that cannot be read or lacks what *query* names.
    """
    query = query or Query()
    start = _first_bytes(path)
    if start == _SQLITE:
        return read_store(path, query)

    return read_parquet(path, query) if start.startswith(_PARQUET) else read_csv(path, query)


def read_sources(paths: Sequence[Path], query: Query) -> list[Table]:
    """Return the tables in *paths*, as `read_source` does of one; stores sooner than one after the other."""
    if all(map(is_store, paths)):
        return read_stores(paths, query)
    return [read_source(path, query) for path in paths]


def is_store(path: Path) -> bool:
    """Return whether *path* is an SQLite file; errors as `read_source`."""
    return _first_bytes(path) == _SQLITE


def _first_bytes(path: Path) -> bytes:
    # To close a file drops the locks that this process holds on it: not to be called while it writes that store.
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except IsADirectoryError as error:
        raise HarnessError(f"{str(path)!r} is a folder; name a store, a CSV or a Parquet file in it") from error
    except OSError as error:
        raise HarnessError(
            f"cannot read {str(path)!r}: {error.strerror}; name a store, a CSV or a Parquet file"
        ) from error

    if not start:
        raise HarnessError(f"{str(path)!r} is empty; name a store, a CSV or a Parquet file")
    if start.startswith(_ZIP):
        raise HarnessError(f"{str(path)!r} is a zip or Excel file; save the sheet as CSV (UTF-8) first")
    return start
