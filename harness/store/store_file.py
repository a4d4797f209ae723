"""A store file open for writing: under a lock, with transactions that hold through a kill and a power loss.

`harness.store.store` writes trials with it, `harness.store.benchmarks` benchmarks.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from harness.errors import HarnessError
from harness.records import Missing, Reading, StudyRecord
from harness.store.file_lock import FileLock
from harness.store.reading import open_reader
from harness.store.schema import BUSY_SECONDS, create_empty, migrate, store_error
from harness.tables import render_json

# Write-ahead logging needs memory that all processes share, which these do not give to several machines.
_NETWORK = frozenset(
    "9p afs beegfs ceph cifs fuse.glusterfs fuse.sshfs gpfs lustre nfs nfs4 smb3 smbfs".split()  # noqa: SIM905
)

F = TypeVar("F", bound="StoreFile")


class StoreFile:
    """A store open for writing. `notes` are remarks for the user, a line each.

    What the methods that store have returned from is on the disk: it survives a kill and a power loss.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: FileLock, notes: tuple[str, ...] = ()) -> None:
        self.path = path
        self.notes = notes
        self._connection = connection
        self._lock = lock
        self._status = path.stat()

    @classmethod
    def open(cls: type[F], path: Path, patience: float = 0.0) -> F:
        """Open the store *path*, made where there is none; attempts that a dead runner left are `interrupted` then.

        Waits *patience* [s] for another that is writing it.

        Raises HarnessError for a file that another runner is writing, that is no store, damaged, or of a newer
        harness (it is left as it is), and where it cannot be written.
        """
        real = checked_place(path)
        lock = FileLock.acquire(real.with_name(f"{real.name}.lock"), f"store {str(path)!r}", patience)
        try:
            return cls._open_locked(path, real, lock)
        except BaseException as error:
            lock.release()
            if isinstance(error, (sqlite3.Error, OSError)):
                raise store_error(path, error) from error
            raise

    @classmethod
    def _open_locked(cls: type[F], path: Path, real: Path, lock: FileLock) -> F:
        if not real.exists() or real.stat().st_size == 0:
            create_empty(real)
        else:
            open_reader(path).close()
        notes = _network_notes(path, real)
        connection = _connect(real)
        try:
            connection.execute(f"PRAGMA journal_mode = {'DELETE' if notes else 'WAL'}")
            migrate(connection)
            connection.execute(
                "UPDATE attempts SET status = 'interrupted', reason = 'its runner was killed' WHERE status = 'running'"
            )
            return cls(path, connection, lock, notes)
        except BaseException:
            connection.close()
            raise

    def __enter__(self: F) -> F:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Bring everything into the one file, so that it can be mailed, and free the lock. Harmless a second time."""
        try:
            # On a full disk, or while another program reads, some of it stays in the side file -wal: nothing is lost.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA busy_timeout = 2000")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                # Read in WAL mode, a file at rest would get side files again, and in a read-only folder not be read.
                self._connection.execute("PRAGMA journal_mode = DELETE").fetchall()
            self._connection.close()
        finally:
            self._lock.release()

    def begin_study(self, study: StudyRecord) -> int:
        """Store *study* and return its number. Raises HarnessError where the store cannot be written, as all below."""
        plain = {"settings": study.settings, "machine": study.machine, "packages": study.packages}
        values = {name: render_json(value) for name, value in (plain | {"plugins": study.plugins}).items()}
        with self._transaction():
            return self._insert(
                "studies", {"created": study.created, "origin": study.origin, **values, "git_commit": study.commit}
            )

    @contextlib.contextmanager
    def batch(self: F) -> Iterator[F]:
        """Commit all that is stored inside at once, at the end: for imports of thousands of rows."""
        with self._transaction():
            yield self

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing of what is stored inside; inside another one, a part of that."""
        self._check_in_place()
        nested = self._connection.in_transaction
        try:
            self._connection.execute("SAVEPOINT part" if nested else "BEGIN IMMEDIATE")
            yield
            self._connection.execute("RELEASE part" if nested else "COMMIT")
        except BaseException as error:
            self._undo(nested)
            if isinstance(error, sqlite3.OperationalError):
                raise store_error(self.path, error) from error
            raise

    def _undo(self, nested: bool) -> None:
        # After some errors, such as a full disk, SQLite has undone it all by itself.
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                # Not executescript(), which would first commit.
                for command in ("ROLLBACK TO part", "RELEASE part") if nested else ("ROLLBACK",):
                    self._connection.execute(command)

    def _check_in_place(self) -> None:
        """SQLite would go on writing a file that was deleted or replaced, and all of it would be lost."""
        try:
            if os.path.samestat(self._status, self.path.stat()):
                return
        except FileNotFoundError:
            pass
        raise HarnessError(
            f"store {str(self.path)!r} was moved, replaced or deleted during the run; put it back and run again"
        )

    def _insert(self, table: str, values: Mapping[str, Any]) -> int:
        row = [_storable(value) for value in values.values()]
        return self._connection.execute(_insertion(table, values), row).lastrowid or 0

    def _insert_all(
        self, table: str, owner: Mapping[str, int], names: Sequence[str], records: Iterable[Reading | Missing]
    ) -> None:
        """Insert the fields *names* of *records*, each beside those of *owner*."""
        rows = [(*owner.values(), *(_storable(getattr(record, name)) for name in names)) for record in records]
        self._connection.executemany(_insertion(table, (*owner, *names)), rows)

    def _execute(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, [_storable(value) for value in values]).fetchall()


def checked_place(path: Path) -> Path:
    """Return *path* without links, so that two names of a store have one lock."""
    try:
        real = path.resolve()
        is_folder, is_other, has_folder = real.is_dir(), real.exists() and not real.is_file(), real.parent.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise HarnessError(f"cannot write store {str(path)!r}: {error}; name another file") from error
    if is_folder:
        raise HarnessError(f"store {str(path)!r} is a folder; name a file in it")
    if is_other:
        raise HarnessError(f"store {str(path)!r} is no regular file; name another file")
    if not has_folder:
        raise HarnessError(f"cannot write store {str(path)!r}: there is no folder {str(real.parent)!r}; make it first")
    return real


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _network_notes(path: Path, real: Path) -> tuple[str, ...]:
    kind = filesystem(real)
    if kind not in _NETWORK:
        return ()
    return (f"store {str(path)!r} is on a network file system ({kind}), where a local disk is safer and faster",)


def filesystem(path: Path) -> str | None:
    """Return the type of the file system that holds *path*, without links, such as "ext4"; None where not known."""
    import psutil

    mounts = [(mount.mountpoint, mount.fstype) for mount in psutil.disk_partitions(all=True)]
    holding = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(holding, default=(0, None))[1]


def _insertion(table: str, names: Collection[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 (our names)


def _storable(value: Any) -> Any:
    """Return *value*; of text, what UTF-8 has no letters for (parts of odd file names) is written as an escape."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
