"""Audits of cohorts made up at random: what was made wrong is found, and what is right is left alone."""

from __future__ import annotations

import contextlib
import csv
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_cohorts import CORRUPTIONS, SCORES, carry_energy, copy_row, make_rows, write_csv, write_store

from harness.auditing.audit import about, audit_source
from harness.errors import HarnessError

NUMBERS = st.one_of(st.integers(-3, 10**6), st.floats(0, 1), st.floats())
CELLS = st.one_of(NUMBERS.map(repr), st.sampled_from(["", "nan", "inf", "0", "1,014.5", "5e-324", "1e308"]))
NAMES = st.sampled_from(["a", "b", ""])
WRITERS = {"csv": write_csv, "store": write_store}


def flagged(audited):
    """The indices of the rows that anything was found in."""
    return {row for finding in audited.findings for row in finding.rows}


def corrupted(rows, corrupt, draw):
    """Make one row in thirty wrong; return each with the row that it was taken from."""
    chosen = draw.choice(len(rows), 2 * (len(rows) // 30), replace=False).reshape(-1, 2).tolist()
    for row, other in chosen:
        corrupt(rows, row, other, draw)
    return chosen


@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda corrupt: corrupt.__name__)
@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("seed", range(3))
def test_every_corruption_is_found_and_at_most_one_percent_of_clean_rows(tmp_path, kind, corrupt, seed):
    draw = np.random.default_rng(seed)
    rows = make_rows(draw)
    chosen = corrupted(rows, corrupt, draw)
    found = flagged(audit_source(WRITERS[kind](tmp_path / "source", rows)))

    assert {row for row, _ in chosen} <= found
    clean = set(range(len(rows))) - {row for pair in chosen for row in pair}
    assert len(found & clean) <= 0.01 * len(clean)


@pytest.mark.parametrize("seed", range(10))
def test_at_most_one_percent_of_a_right_cohort_is_found(tmp_path, seed):
    rows = make_rows(np.random.default_rng(100 + seed), models=100)

    assert len(flagged(audit_source(write_csv(tmp_path / "clean.csv", rows)))) <= 0.01 * len(rows)


def test_a_copied_row_and_a_carried_energy_are_told_apart(tmp_path):
    draw = np.random.default_rng(1)
    rows = make_rows(draw)
    copy_row(rows, 3, 100, draw)
    carry_energy(rows, 5, 150, draw)
    found = {f.rows: f.check for f in audit_source(write_csv(tmp_path / "wrong.csv", rows)).findings}

    assert ("copied row", "shared reading") == (found[3, 100], found[5, 150])


@given(st.lists(st.tuples(NAMES, NAMES, CELLS, CELLS, CELLS), min_size=1, max_size=20))
def test_any_table_is_audited_or_refused_in_one_line(rows):
    with Path("any.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("model", "dataset", "accuracy", "energy", "time"), *rows])
    try:
        told = audit_source(Path("any.csv")).summary()
    except HarnessError as error:
        told = str(error)

    assert told
    assert "\n" not in told


def test_metrics_copied_within_rows_that_share_an_energy_are_told_too(tmp_path):
    draw = np.random.default_rng(1)
    rows = make_rows(draw)
    rows[7] |= {name: rows[3][name] for name in (*SCORES, "energy")}
    carry_energy(rows, 100, 3, draw)
    found = {(f.check, f.rows) for f in audit_source(write_csv(tmp_path / "wrong.csv", rows)).findings}

    assert {("shared reading", (3, 7, 100)), ("shared metrics", (3, 7))} <= found


def test_ten_thousand_trials_take_a_few_seconds_at_most(tmp_path):
    source = write_csv(tmp_path / "large.csv", make_rows(np.random.default_rng(1), models=1000, datasets=10))
    audit_source(write_csv(tmp_path / "small.csv", make_rows(np.random.default_rng(1), models=10)))  # imports pandas
    start = time.process_time()
    audit_source(source)

    assert time.process_time() - start < 4  # 0.3 s on an idle machine


def test_a_table_that_holds_five_thousand_rows_twice_takes_a_few_seconds_at_most(tmp_path):
    rows = make_rows(np.random.default_rng(1), models=1000, datasets=5)
    source = write_csv(tmp_path / "twice.csv", rows + rows)
    start = time.process_time()

    assert 5000 == sum(finding.check == "copied row" for finding in audit_source(source).findings)
    assert time.process_time() - start < 4  # 0.6 s on an idle machine


def test_an_energy_that_is_not_that_of_the_only_epoch_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("made_cohorts.EPOCHS", 1)
    monkeypatch.setattr("made_cohorts.SCORES", SCORES[-1:])
    source = write_store(tmp_path / "one.sqlite", make_rows(np.random.default_rng(1), models=4, datasets=1))
    with contextlib.closing(sqlite3.connect(source)) as store, store:
        store.execute("UPDATE readings SET value = value * 1.5 WHERE resource = 'energy_gpu' AND epoch IS NULL")

    assert {"epochs and whole disagree"} == {finding.check for finding in audit_source(source).findings}


def test_findings_about_some_trials_are_those_that_touch_them(tmp_path):
    draw = np.random.default_rng(1)
    rows = make_rows(draw)
    copy_row(rows, 3, 100, draw)
    carry_energy(rows, 5, 150, draw)
    audited = audit_source(write_store(tmp_path / "wrong.sqlite", rows))

    assert {3, 100} == flagged(about(audited, {audited.rows[100].trial})) - {5, 150}
