"""Takes a store as of one moment into memory, whoever is writing it and wherever it lies."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

from harness.errors import HarnessError
from harness.store.schema import BUSY_SECONDS, check_identity, store_error


def take_snapshot(path: Path) -> sqlite3.Connection:
    """Return a copy of the store *path* as it is now, checked; a run may be writing it, and no byte of it changes.

    Works in folders and on files that cannot be written. The whole store is taken into memory, and threads may use it
    one after the other. Raises HarnessError for a file that is not there, cannot be read, is damaged, empty, no store,
    or one of a newer harness.
    """
    _check_is_file(path)
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        _copy(path, connection)
        check_identity(connection, path)
        _check_integrity(connection)
    except BaseException as error:
        connection.close()
        # In a damaged file, even the text of an SQLite error may be no UTF-8.
        if isinstance(error, UnicodeDecodeError):
            raise store_error(path, "malformed text") from error
        if isinstance(error, sqlite3.Error):
            raise store_error(path, error) from error
        raise
    return connection


def _check_is_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise HarnessError(f"store {str(path)!r} is not there; `harness run --store {path}` makes one") from error
    except (OSError, ValueError) as error:
        raise HarnessError(f"cannot read store {str(path)!r}: {error}; name another file") from error
    if stat.S_ISDIR(status.st_mode):
        raise HarnessError(f"store {str(path)!r} is a folder; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise HarnessError(f"store {str(path)!r} is no regular file; name another file")
    if status.st_size == 0:
        raise HarnessError(f"store {str(path)!r} is empty and holds no trials; `harness run --store {path}` adds some")


def _copy(path: Path, target: sqlite3.Connection) -> None:
    """Copy the file *path* as of one moment."""
    # Only SQLite may open it: when a process closes a file by other means, it loses the locks it has on it.
    modes = ["mode=ro", "mode=rw"]
    if not any(_side_file(path, ending) for ending in ("-wal", "-journal")):
        # A copy of a store in use, in a folder where SQLite cannot make the side files that it then wants.
        modes.append("immutable=1")
    for mode in modes:
        source = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=BUSY_SECONDS)
        try:
            # Takes the read lock, waiting no longer than the timeout; backup() alone would wait for ever.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(target)
            return
        except sqlite3.OperationalError as error:
            # Read only, SQLite can neither undo a write that was cut short nor make side files.
            if mode == modes[-1] or not any(words in str(error) for words in ("readonly", "unable to open")):
                raise
        finally:
            source.close()


def _side_file(path: Path, ending: str) -> bool:
    side = path.resolve().with_name(path.resolve().name + ending)
    try:
        return side.stat().st_size > 0
    except FileNotFoundError:
        return False


def _check_integrity(connection: sqlite3.Connection) -> None:
    answer: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if answer != "ok":
        raise sqlite3.DatabaseError(f"malformed content ({' '.join(answer.split())})")
    # A row whose trial or study is gone would vanish from every table without a word.
    orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
    if orphan is not None:
        raise sqlite3.DatabaseError(f"malformed content (row {orphan[1]} of {orphan[0]} has lost what it belongs to)")
