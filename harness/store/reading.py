"""What is in a store: its trials, epochs and readings as rows, and which trials have still to run."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs

from harness.records import Setting, Trial
from harness.store.schema import store_error
from harness.store.snapshot import take_snapshot

Row = dict[str, Any]
# trial, value, uncertainty, resource, unit, source, note
Total = tuple[str, float, float, str, str, Any, "str | None"]
# trial, resource, reason
Gap = tuple[str, str, str]

# With what trials stored before a field came ran with.
_SETTING = {field.name: field.default for field in attrs.fields(Setting)}
_ATTEMPTS = "attempts JOIN trials ON trials.id = attempts.trial"
_TRIALS = f"""
SELECT key AS trial, model, dataset, seed, task, weights_tag, status, number AS attempt, accepted, performance, reason,
    origin,    started, finished, start_method, setting, metrics, facts, attempts.study AS study, detail
FROM {_ATTEMPTS} JOIN studies ON studies.id = attempts.study"""  # noqa: S608 (no text from outside, here and below)
_FROM_ATTEMPTS = """
FROM {table} JOIN attempts ON attempts.id = {table}.attempt JOIN trials ON trials.id = attempts.trial"""
_OF_ATTEMPT = f"SELECT key AS trial, number AS attempt, accepted, {{columns}}{_FROM_ATTEMPTS}"
_WHOLE_PHASE = "phase = :phase AND epoch IS NULL"
_JSON = frozenset(("metrics", "facts", "settings", "machine", "packages", "plugins", "windows"))
_ACCEPTED = " WHERE accepted = 1"
_IN_ORDER = " ORDER BY trials.id, number"


class StoreReader:
    """A store as it was when this was opened: nothing that is written later shows, and no lock is held."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory that holds the store. Harmless a second time."""
        self._connection.close()

    def trials(self, accepted: bool = False) -> list[Row]:
        """Return one row for each attempt, or for each *accepted* one, in the order the trials were added.

        Columns: trial (the key), model, dataset, seed, task, weights_tag, status, attempt (its number), accepted,
        performance, reason, origin, started, finished (RFC 3339 in UTC), start_method, the fields of `Setting`,
        metrics, facts (dictionaries), study, detail.
        """
        rows = self._rows(_TRIALS + _ACCEPTED * accepted + _IN_ORDER)
        try:
            return [_flat(row) for row in rows]
        except ValueError as error:
            raise store_error(self.path, f"malformed content ({error})") from error

    def epochs(self, accepted: bool = False) -> list[Row]:
        """Return trial, attempt, accepted, epoch (from 1), loss, performance, train_performance of each epoch."""
        return self._of_attempts(
            "epochs", "epoch, loss, epochs.performance AS performance, train_performance", "epoch", accepted
        )

    def readings(self, accepted: bool = False, phase: str | None = None) -> list[Row]:
        """Return trial, attempt, accepted and the fields of `Reading` for each one, as measured; none is derived.

        With *phase*, only the totals of that whole phase.
        """
        columns = "phase, epoch, meter, resource, device, value, unit, uncertainty, source, note, start_ns, stop_ns"
        return self._of_attempts("readings", columns, "readings.id", accepted, phase, " AND device IS NULL")

    def totals(self, phase: str) -> list[Total]:
        """Return the totals of *phase* in all accepted attempts, as `readings` has them: tuples are faster."""
        columns = "value, uncertainty, resource, unit, source, note"
        return self._of_phase("readings", columns, phase, " AND device IS NULL")

    def gaps(self, phase: str) -> list[Gap]:
        """Return what is missing of the totals of *phase* in all accepted attempts, as `missing` has it."""
        return self._of_phase("missing", "resource, missing.reason", phase)

    def missing(self, accepted: bool = False, phase: str | None = None) -> list[Row]:
        """Return trial, attempt, accepted and the fields of `Missing` for each reading that could not be taken.

        With *phase*, only those of that whole phase.
        """
        columns = "phase, epoch, meter, resource, missing.reason AS reason"
        return self._of_attempts("missing", columns, "missing.id", accepted, phase)

    def studies(self) -> list[Row]:
        """Return study (its number) and the fields of `StudyRecord` for each study."""
        columns = "id AS study, created, origin, settings, machine, packages, plugins, git_commit AS 'commit'"
        return self._rows(f"SELECT {columns} FROM studies ORDER BY id")  # noqa: S608 (no text from outside)

    def benchmarks(self) -> list[Row]:
        """Return number, study, accepted, test, calls, seconds, windows, spread and finished of each benchmark."""
        columns = "id AS number, study, accepted, test, calls, seconds, windows, spread, finished"
        return self._of_benchmarks("benchmarks", columns)

    def benchmark_readings(self) -> list[Row]:
        """Return benchmark (the number of its row) and the fields of `Reading`, for all of its calls, as measured."""
        columns = "benchmark, meter, resource, device, value, unit, uncertainty, source, note"
        return self._of_benchmarks("benchmark_readings", columns)

    def benchmark_missing(self) -> list[Row]:
        """Return benchmark (the number of its row), meter, resource and reason of what could not be read."""
        return self._of_benchmarks("benchmark_missing", "benchmark, meter, resource, reason")

    def _of_benchmarks(self, table: str, columns: str) -> list[Row]:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return self._rows(f"SELECT {columns} FROM {table} ORDER BY id") if version >= 2 else []  # noqa: S608

    def unfinished(self, trials: Iterable[Trial], resources: Collection[str], force: bool = False) -> dict[str, str]:
        """Return key -> why it has to run, for those of *trials* that do; see `find_unfinished`."""
        try:
            return find_unfinished(self._connection, trials, resources, force)
        except sqlite3.Error as error:
            raise store_error(self.path, f"malformed content ({error})") from error

    def _of_phase(self, table: str, columns: str, phase: str, total: str = "") -> list[Any]:
        query = f"SELECT key, {columns} {_FROM_ATTEMPTS.format(table=table)}{_ACCEPTED} AND {_WHOLE_PHASE}{total}"
        return self._fetch(f"{query} ORDER BY {table}.id", {"phase": phase})[1]

    def _of_attempts(
        self, table: str, columns: str, order: str, accepted: bool, phase: str | None = None, total: str = ""
    ) -> list[Row]:
        wanted = ["accepted = 1"] * accepted + [f"{_WHOLE_PHASE}{total}"] * (phase is not None)
        where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        query = _OF_ATTEMPT.format(table=table, columns=columns)
        return self._rows(f"{query}{where}{_IN_ORDER}, {order}", {"phase": phase})

    def _rows(self, query: str, values: Mapping[str, str | None] | None = None) -> list[Row]:
        names, rows = self._fetch(query, values or {})
        try:
            return _plain([dict(zip(names, row, strict=True)) for row in rows], _JSON & {*names}, "accepted" in names)
        except ValueError as error:
            raise store_error(self.path, f"malformed content ({error})") from error

    def _fetch(self, query: str, values: Mapping[str, str | None]) -> tuple[list[str], list[Any]]:
        """The names of the columns, and the rows."""
        try:
            cursor = self._connection.execute(query, values)
            return [column[0] for column in cursor.description], cursor.fetchall()
        except (sqlite3.Error, ValueError) as error:
            # The copy lies in memory, so only what it holds can be at fault.
            raise store_error(self.path, f"malformed content ({error})") from error


def open_reader(path: Path) -> StoreReader:
    """Return a reader of the store *path* as it is now; see `take_snapshot`, also for the errors."""
    return StoreReader(path, take_snapshot(path))


def find_unfinished(
    connection: sqlite3.Connection, trials: Iterable[Trial], resources: Collection[str], force: bool = False
) -> dict[str, str]:
    """Return key -> why it has to run, for those of *trials* that do: "new", "failed: ...", "lacks energy_gpu".

    A resource is lacking where the accepted attempt has neither a reading of it nor a reason for there being none: to
    repeat a trial whose reading came out missing would most likely miss it again. With *force*, all have to run.
    """
    keys = dict.fromkeys(trial.key for trial in trials)
    if force:
        return dict.fromkeys(keys, "forced")

    last = {row[0]: row[1:] for row in connection.execute(f"SELECT key, status, reason FROM {_ATTEMPTS}{_IN_ORDER}")}  # noqa: S608
    found = _resources_found(connection)
    reasons = {key: _why(found.get(key), last.get(key), resources) for key in keys}
    return {key: reason for key, reason in reasons.items() if reason is not None}


def _resources_found(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """The resources that the accepted attempt of each trial knows of, by key."""
    found: dict[str, set[str]] = {
        key: set()
        for (key,) in connection.execute(f"SELECT key FROM {_ATTEMPTS}{_ACCEPTED}")  # noqa: S608
    }
    for table in ("readings", "missing"):
        query = f"SELECT DISTINCT key, resource FROM {table} JOIN attempts ON attempts.id = attempt JOIN trials"  # noqa: S608
        for key, resource in connection.execute(f"{query} ON trials.id = trial{_ACCEPTED}"):
            found[key].add(resource)
    return found


def _why(found: set[str] | None, last: tuple[str, str | None] | None, resources: Collection[str]) -> str | None:
    if last is None:
        return "new"
    if found is None:
        status, reason = last
        return f"{status}: {reason}" if reason else status
    lacking = [resource for resource in dict.fromkeys(resources) if resource not in found]
    return f"lacks {', '.join(lacking)}" if lacking else None


def _plain(rows: list[Row], json_columns: Collection[str], accepted: bool) -> list[Row]:
    """JSON to dictionaries, which rows with the same text share, and 0 and 1 to False and True."""
    read = functools.cache(_document)
    for row in rows:
        for name in json_columns:
            if row[name] is not None:
                row[name] = read(name, row[name])
        if accepted:
            row["accepted"] = bool(row["accepted"])
    return rows


def _document(name: str, text: str) -> Any:
    document = json.loads(text)
    kind = list if name == "windows" else dict
    if document is not None and not isinstance(document, kind):
        raise ValueError(f"{name} is no JSON {'array' if kind is list else 'object'}")
    return document


def _flat(row: Row) -> Row:
    """Put the fields of the setting where the setting was."""
    flat: Row = {}
    for name, value in row.items():
        if name == "setting":
            flat |= _setting(value)
        else:
            flat[name] = value
    return flat


@functools.lru_cache(maxsize=1000)
def _setting(text: str | None) -> Mapping[str, Any]:
    """The fields of a setting; most trials of a store have the same."""
    value = None if text is None else json.loads(text)
    return {field: value.get(field, default) for field, default in _SETTING.items()} if isinstance(value, dict) else {}
