"""The only writer of trials: a store takes the events of a study, each committed before the next.

Workers and remote nodes send plain records; only the runner writes, under a lock. `harness.store.reading` reads.
"""

from __future__ import annotations

import datetime
import math
import sqlite3
from collections.abc import Collection, Iterable
from typing import Any

import attrs

from harness.errors import HarnessError
from harness.records import EpochDone, Event, Failed, Finished, Missing, Reading, Started, Trial
from harness.store.reading import find_unfinished
from harness.store.schema import store_error
from harness.store.store_file import StoreFile
from harness.tables import render_json

_MAX_INTEGER = 2**63 - 1
# The attempt that they belong to stands for the trial.
_READING = tuple(field.name for field in attrs.fields(Reading) if field.name != "trial")
_MISSING = tuple(field.name for field in attrs.fields(Missing) if field.name != "trial")


class Store(StoreFile):
    """A store open for the trials of studies."""

    def add_trials(self, study: int, trials: Iterable[Trial]) -> None:
        """Add *trials* of *study*; those that are known already stay as they are.

        Raises HarnessError for a seed of 2**63 or more.
        """
        with self._transaction():
            for trial in trials:
                if abs(trial.seed) > _MAX_INTEGER:
                    raise HarnessError(f"seed {trial.seed} is too large to be stored; choose one below 2**63")
                if self._trial(trial.key) is None:
                    self._add_trial(study, trial)

    def record(self, study: int, event: Event) -> None:
        """Store *event* of a trial that was added: all of it or, if this raises, nothing.

        `Started` makes a new attempt, numbered from 1. `Finished` makes it the accepted one in place of an earlier
        one; after `Failed` an earlier one stays accepted. Raises ValueError for an event that cannot be: of an
        unknown trial, out of order (`Failed` alone may come without `Started`: the worker never came up), or with a
        performance that is not finite.
        """
        with self._transaction():
            trial = self._trial(event.trial)
            if trial is None:
                raise ValueError(f"trial {event.trial!r} was never added")
            attempt = self._running(trial)
            if isinstance(event, Started):
                self._start(study, trial, attempt, event)
            elif isinstance(event, Failed):
                self._fail(self._add_attempt(study, trial) if attempt is None else attempt, event)
            elif attempt is None:
                raise ValueError(f"trial {event.trial!r} has no running attempt, yet there is an event {event.kind!r}")
            elif isinstance(event, EpochDone):
                self._add_epoch(attempt, event)
            else:
                self._finish(trial, attempt, event)

    def unfinished(self, trials: Iterable[Trial], resources: Collection[str], force: bool = False) -> dict[str, str]:
        """Return key -> why it has to run, for those of *trials* that do; see `find_unfinished`."""
        try:
            return find_unfinished(self._connection, trials, resources, force)
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def _start(self, study: int, trial: int, running: int | None, event: Started) -> None:
        if running is not None:
            raise ValueError(f"trial {event.trial!r} has a running attempt already")
        self._add_attempt(study, trial, pid=event.pid, start_method=event.start_method, started=_now())

    def _add_epoch(self, attempt: int, event: EpochDone) -> None:
        # A task of a plugin may tell of an epoch twice; the last word counts.
        self._execute("DELETE FROM epochs WHERE attempt = ? AND epoch = ?", (attempt, event.epoch))
        values = [_finite(value) for value in (event.loss, event.performance, event.train_performance)]
        names = ("loss", "performance", "train_performance")
        self._insert("epochs", {"attempt": attempt, "epoch": event.epoch, **dict(zip(names, values, strict=True))})

    def _finish(self, trial: int, attempt: int, event: Finished) -> None:
        if not math.isfinite(event.performance):
            raise ValueError(f"trial {event.trial!r} finished with performance {event.performance}")
        self._execute("UPDATE attempts SET accepted = 0 WHERE trial = ? AND accepted = 1", (trial,))
        self._execute(
            "UPDATE attempts SET status = 'done', accepted = 1, performance = ?, metrics = ?, facts = ?, finished = ?"
            " WHERE id = ?",
            (event.performance, render_json(event.metrics), render_json(event.facts), _now(), attempt),
        )
        self._insert_all("readings", {"attempt": attempt}, _READING, event.readings)
        self._insert_all("missing", {"attempt": attempt}, _MISSING, event.missing)

    def _fail(self, attempt: int, event: Failed) -> None:
        self._execute(
            "UPDATE attempts SET status = ?, reason = ?, detail = ?, finished = ? WHERE id = ?",
            (event.status, event.reason, event.detail, _now(), attempt),
        )

    def _add_trial(self, study: int, trial: Trial) -> None:
        plain: dict[str, Any] = {"model": trial.model, "dataset": trial.dataset, "seed": trial.seed, "task": trial.task}
        plain |= {"weights_tag": trial.weights_tag}
        setting = render_json(attrs.asdict(trial.setting))
        self._insert("trials", {"key": trial.key, "study": study, **plain, "setting": setting})

    def _add_attempt(self, study: int, trial: int, **values: Any) -> int:
        (number,) = self._execute("SELECT coalesce(max(number), 0) + 1 FROM attempts WHERE trial = ?", (trial,))[0]
        return self._insert(
            "attempts", {"trial": trial, "study": study, "number": number, "status": "running", **values}
        )

    def _trial(self, key: str) -> int | None:
        rows = self._execute("SELECT id FROM trials WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def _running(self, trial: int) -> int | None:
        rows = self._execute("SELECT id FROM attempts WHERE trial = ? AND status = 'running'", (trial,))
        return rows[0][0] if rows else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
