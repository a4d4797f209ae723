"""What it costs to keep an event of a trial through a power loss, against a bare SQLite table that does so too."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from harness.records import EpochDone, Setting, Started, StudyRecord, Trial
from harness.store.store import Store

pytestmark = pytest.mark.benchmark(group="keep an epoch")


def test_row_of_a_bare_table(benchmark: Any, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "bare.sqlite", isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE epochs (epoch, loss)")
    numbers = itertools.count(1)
    benchmark(lambda: connection.execute("INSERT INTO epochs VALUES (?, 0.5)", (next(numbers),)))
    connection.close()


def test_event_of_a_store(benchmark: Any, tmp_path: Path) -> None:
    trial, numbers = Trial("resnet18d", "digits", Setting()), itertools.count(1)
    with Store.open(tmp_path / "harness.sqlite") as store:
        study = store.begin_study(StudyRecord("2026-01-01T00:00:00Z"))
        store.add_trials(study, [trial])
        store.record(study, Started(trial.key, 1, "fork"))
        benchmark(lambda: store.record(study, EpochDone(trial.key, next(numbers), 0.5, 0.5)))
