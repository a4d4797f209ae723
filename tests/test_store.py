"""The store: what goes in comes out, attempts and which one counts, what has still to run, which files are refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sqlite3
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from attrs import asdict, evolve
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_events import STUDY, filled_store, finished, reading, run_trial, trial

from harness.errors import HarnessError
from harness.records import EpochDone, Failed, Finished, Missing, Setting, Started
from harness.store.reading import open_reader
from harness.store.store import Store

KEY = trial().key


@pytest.fixture
def path(tmp_path):
    return tmp_path / "harness.sqlite"


@pytest.fixture
def store(path):
    with Store.open(path) as store:
        yield store


@pytest.fixture
def study(store):
    study = store.begin_study(STUDY)
    store.add_trials(study, [trial()])
    return study


def rows(path, table="trials", **options):
    with open_reader(path) as reader:
        return getattr(reader, table)(**options)


def pick(path, *columns):
    return [tuple(row[column] for column in columns) for row in rows(path)]


def sql(path, command):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(command).fetchall()


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start(store, study, key=KEY):
    store.record(study, Started(key, 4711, "forkserver"))


def test_finished_trial_comes_out_as_it_went_in(store, study, path):
    run_trial(store, study, seed=1, performance=0.75)

    (row,) = rows(path)

    expected = {"trial": KEY, "model": "resnet18", "dataset": "digits", "seed": 1, "status": "done", "attempt": 1}
    expected |= {"accepted": True, "performance": 0.75, "reason": None, "origin": "run", "start_method": "forkserver"}
    expected |= {"task": "multiclass", "metrics": {"auc": 0.75}, "facts": {"data": 100}, "study": study}
    expected |= asdict(Setting(weights="scratch"))
    assert {name: row[name] for name in expected} == expected


def test_readings_come_out_as_measured(store, study, path):
    run_trial(store, study, seed=1)

    expected = {**asdict(reading()), "trial": KEY, "attempt": 1, "accepted": True}
    assert rows(path, "readings")[0] == expected


def test_missing_readings_keep_their_reason(store, study, path):
    run_trial(store, study, seed=1)

    expected = {**asdict(Missing("energy_cpu", "no RAPL", "rapl")), "trial": KEY, "attempt": 1, "accepted": True}
    assert rows(path, "missing") == [expected]


def test_study_comes_out_as_it_went_in(store, study, path):
    assert rows(path, "studies") == [{"study": study, **asdict(STUDY)}]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_stored_as_null(store, study, path, number):
    start(store, study)
    store.record(study, EpochDone(KEY, 1, number, number, number))
    store.record(study, Finished(KEY, 0.5, {"auc": number}, {"loss": [number]}))

    (epoch,), (row,) = rows(path, "epochs"), rows(path)
    assert [epoch["loss"], epoch["performance"], epoch["train_performance"]] == [None] * 3
    assert (row["metrics"], row["facts"]) == ({"auc": None}, {"loss": [None]})


def test_an_epoch_told_twice_is_stored_as_told_last(store, study, path):
    start(store, study)
    for loss in (0.5, 0.25):
        store.record(study, EpochDone(KEY, 1, loss, None))

    assert [(row["epoch"], row["loss"]) for row in rows(path, "epochs")] == [(1, 0.25)]


def test_text_that_is_no_utf8_is_stored_as_escapes(store, study, path):
    store.record(study, Failed(KEY, "failed", "no file 'caf\udce9'"))

    assert pick(path, "reason") == [("no file 'caf\\udce9'",)]


def test_a_trial_is_added_once(store, study, path):
    run_trial(store, study, seed=1)
    store.add_trials(store.begin_study(STUDY), [trial(), trial()])

    assert sql(path, "SELECT key FROM trials") == [(KEY,)]


def test_a_later_finished_attempt_is_the_accepted_one(store, study, path):
    for performance in (0.5, 0.25):
        run_trial(store, study, seed=1, performance=performance)

    assert pick(path, "attempt", "accepted", "performance") == [(1, False, 0.5), (2, True, 0.25)]


def test_a_failed_attempt_leaves_the_accepted_one(store, study, path):
    run_trial(store, study, seed=1)
    start(store, study)
    store.record(study, Failed(KEY, "oom", "CUDA out of memory", "trace"))

    assert pick(path, "attempt", "accepted", "status", "reason") == [
        (1, True, "done", None),
        (2, False, "oom", "CUDA out of memory"),
    ]


def test_a_worker_that_never_came_up_has_an_attempt_without_a_start(store, study, path):
    store.record(study, Failed(KEY, "crashed", "exit code 1"))

    assert pick(path, "attempt", "status", "started") == [(1, "crashed", None)]


def test_accepted_tables_hold_nothing_of_other_attempts(store, study, path):
    for _ in range(2):
        run_trial(store, study, seed=1)

    assert {row["attempt"] for table in ("trials", "epochs", "readings", "missing") for row in rows(path, table)} == {
        1,
        2,
    }
    for table in ("trials", "epochs", "readings", "missing"):
        assert {row["attempt"] for row in rows(path, table, accepted=True)} == {2}


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([Started("no such key", 1, "spawn")], "never added"),
        ([Finished(KEY, 0.5)], "no running attempt"),
        ([EpochDone(KEY, 1, 0.5, 0.5)], "no running attempt"),
        ([Started(KEY, 1, "spawn"), Started(KEY, 1, "spawn")], "running attempt already"),
    ],
    ids=["unknown", "finish unstarted", "epoch unstarted", "start twice"],
)
def test_an_event_that_cannot_be_is_refused_and_changes_nothing(store, study, path, events, message):
    *before, last = events
    for event in before:
        store.record(study, event)
    stored = rows(path)

    with pytest.raises(ValueError, match=message):
        store.record(study, last)
    assert rows(path) == stored


def test_a_seed_that_does_not_fit_is_refused_with_its_bound(store, study):
    with pytest.raises(HarnessError, match=r"seed 9223372036854775808 is too large.*below 2\*\*63"):
        store.add_trials(study, [trial(2**63)])


def test_a_batch_is_committed_at_its_end(store, study, path):
    with store.batch():
        run_trial(store, study, seed=1)
        assert rows(path) == []
    assert pick(path, "status") == [("done",)]


def test_a_batch_that_fails_leaves_nothing(store, study, path):
    def interrupted_import():
        with store.batch():
            run_trial(store, study, seed=1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_import()

    assert rows(path) == []


def test_a_refused_event_in_a_batch_leaves_the_others(store, study, path):
    with store.batch():
        run_trial(store, study, seed=1)
        with pytest.raises(ValueError, match="no running attempt"):
            store.record(study, finished(KEY))

    assert pick(path, "status") == [("done",)]


@pytest.mark.parametrize(
    ("events", "resources", "expected"),
    [
        ([], [], "new"),
        ([Started(KEY, 1, "spawn"), finished(KEY)], [], None),
        ([Started(KEY, 1, "spawn"), finished(KEY)], ["time", "energy_gpu"], None),
        ([Started(KEY, 1, "spawn"), finished(KEY)], ["energy_cpu"], None),
        ([Started(KEY, 1, "spawn"), finished(KEY)], ["time", "carbon_intensity"], "lacks carbon_intensity"),
        ([Failed(KEY, "timeout", "after 30 m")], ["time"], "timeout: after 30 m"),
        ([Started(KEY, 1, "spawn"), finished(KEY), Failed(KEY, "oom", "no memory")], ["time"], None),
    ],
    ids=[
        "new",
        "finished",
        "has readings",
        "missing for a reason",
        "lacks a reading",
        "failed",
        "failed after finished",
    ],
)
def test_unfinished_says_why_a_trial_has_to_run(store, study, path, events, resources, expected):
    for event in events:
        store.record(study, event)

    wanted = {} if expected is None else {KEY: expected}
    assert store.unfinished([trial()], resources) == wanted
    with open_reader(path) as reader:
        assert reader.unfinished([trial()], resources) == wanted


def test_force_makes_finished_trials_run_again(store, study):
    run_trial(store, study, seed=1)

    assert store.unfinished([trial()], [], force=True) == {KEY: "forced"}


def test_a_trial_in_another_setting_is_not_finished(store, study):
    run_trial(store, study, seed=1)
    other = evolve(trial(), setting=Setting(epochs=3))

    assert store.unfinished([trial(), other], []) == {other.key: "new"}


def test_a_reader_sees_the_store_of_the_moment_it_was_opened(store, study, path):
    with open_reader(path) as reader:
        run_trial(store, study, seed=1)
        assert reader.trials() == []


def test_a_closed_store_is_one_file(path):
    filled_store(path)

    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_reading_leaves_no_file_beside_the_store(path):
    filled_store(path)
    rows(path)

    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_writer_syncs_every_commit_to_the_log(store):
    modes = [store._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    assert modes == ["wal", 2]


def test_on_a_network_file_system_no_log_is_used_and_the_user_is_told(path, monkeypatch):
    monkeypatch.setattr("harness.store.store_file.filesystem", lambda path: "nfs4")
    with Store.open(path) as store:
        mode = store._connection.execute("PRAGMA journal_mode").fetchone()[0]

    assert (mode, "network file system (nfs4)" in store.notes[0]) == ("delete", True)


def test_links_to_a_store_share_its_lock(store, path):
    link = path.with_name("link.sqlite")
    link.symlink_to(path)

    with pytest.raises(HarnessError, match=f"being written by process {os.getpid()} on "):
        Store.open(link)


def test_a_store_deleted_during_a_run_is_an_error_not_a_loss(store, study, path):
    path.unlink()

    with pytest.raises(HarnessError, match="was moved, replaced or deleted during the run"):
        start(store, study)


def test_an_empty_file_becomes_a_store(path):
    path.touch()
    filled_store(path)

    assert pick(path, "status") == [("done",)]


def test_side_files_of_a_store_that_is_gone_are_not_mixed_into_a_new_one(path):
    path.with_name(f"{path.name}-wal").write_bytes(b"what a killed run left")

    with pytest.raises(HarnessError, match=r"harness\.sqlite-wal' was left by a store that is gone; move it away"):
        Store.open(path)
    assert not path.exists()


def other_program(path):
    sql(path, "CREATE TABLE trials (key)")


def newer(path):
    filled_store(path)
    sql(path, "PRAGMA user_version = 9")


@pytest.mark.parametrize("opened", [open_reader, Store.open], ids=["reading", "writing"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.mkdir, "is a folder; name a file in it"),
        (os.mkfifo, "is no regular file; name another file"),
        (lambda path: path.write_bytes(b"model,accuracy\n" * 99), "file is not a database; it is no harness store"),
        (lambda path: path.write_bytes(b"SQLite format 3\0"), "file is not a database; it is no harness store"),
        (other_program, "is an SQLite file of another program, not a harness store"),
        (newer, "has schema 9, this harness reads up to 2; upgrade harness"),
    ],
    ids=["folder", "fifo", "csv", "cut header", "other program", "newer schema"],
)
def test_a_file_that_is_no_store_is_refused_in_one_line(path, opened, make, message):
    make(path)

    with pytest.raises(HarnessError) as caught:
        opened(path)
    assert (str(path) in str(caught.value), message in str(caught.value)) == (True, True)
    assert "\n" not in str(caught.value)


def test_a_refused_file_and_its_folder_are_left_as_they_were(path):
    newer(path)
    before = digest(path)

    with pytest.raises(HarnessError):
        Store.open(path)
    assert ([file.name for file in path.parent.iterdir()], digest(path)) == ([path.name], before)


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda path: None, "is not there; `harness run --store"), (Path.touch, "is empty and holds no trials")],
    ids=["absent", "empty"],
)
def test_reading_what_is_not_there_says_how_to_make_it(path, make, message):
    make(path)

    with pytest.raises(HarnessError, match=message):
        open_reader(path)


def test_writing_in_a_folder_that_is_not_there_is_an_error(path):
    with pytest.raises(HarnessError, match=r"there is no folder .*; make it first"):
        Store.open(path / "deeper" / "x.sqlite")


def test_rows_that_have_lost_their_study_are_damage_not_silence(path):
    filled_store(path)
    sql(path, "UPDATE studies SET id = 5")

    with pytest.raises(HarnessError, match=r"row 1 of (trials|attempts) has lost what it belongs to"):
        open_reader(path)


def test_the_database_itself_holds_to_one_accepted_attempt(store, study, path):
    for _ in range(2):
        run_trial(store, study, seed=1)

    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: attempts\.trial"):
        sql(path, "UPDATE attempts SET accepted = 1")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    facts=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text())
)
def test_any_plain_facts_come_back(tmp_path_factory, facts):
    path = tmp_path_factory.mktemp("facts") / "x.sqlite"
    with Store.open(path) as store:
        study = store.begin_study(STUDY)
        store.add_trials(study, [trial()])
        start(store, study)
        store.record(study, Finished(KEY, 0.5, facts=facts))

    finite = {name: None if fact in (math.inf, -math.inf) else fact for name, fact in facts.items()}
    assert rows(path)[0]["facts"] == json.loads(json.dumps(finite))


class StoreMachine(RuleBasedStateMachine):
    """Any order of events, crashes and restarts, against a model: for each trial its attempts and the accepted one."""

    keys = st.sampled_from([trial(seed).key for seed in (1, 2)])

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "x.sqlite"
        self.attempts = {trial(seed).key: [] for seed in (1, 2)}
        self.accepted = {}
        self.epochs = {}
        self.open()

    def open(self):
        self.store = Store.open(self.path)
        self.study = self.store.begin_study(STUDY)
        self.store.add_trials(self.study, [trial(seed) for seed in (1, 2)])

    def teardown(self):
        self.store.close()
        self.folder.cleanup()

    def is_running(self, key):
        return self.attempts[key][-1:] == ["running"]

    def refused(self, event):
        with pytest.raises(ValueError, match="running attempt"):
            self.store.record(self.study, event)

    @rule(key=keys)
    def start(self, key):
        event = Started(key, 1, "spawn")
        if self.is_running(key):
            return self.refused(event)
        self.store.record(self.study, event)
        self.attempts[key].append("running")
        return None

    @rule(key=keys, epoch=st.integers(1, 3))
    def tell_epoch(self, key, epoch):
        event = EpochDone(key, epoch, 0.5, 0.5)
        if not self.is_running(key):
            return self.refused(event)
        self.store.record(self.study, event)
        self.epochs.setdefault((key, len(self.attempts[key])), set()).add(epoch)
        return None

    @rule(key=keys)
    def finish(self, key):
        if not self.is_running(key):
            return self.refused(finished(key))
        self.store.record(self.study, finished(key))
        self.attempts[key][-1] = "done"
        self.accepted[key] = len(self.attempts[key])
        return None

    @rule(key=keys, status=st.sampled_from(["failed", "oom", "timeout", "crashed", "diverged"]))
    def fail(self, key, status):
        self.store.record(self.study, Failed(key, status, "why"))
        if self.is_running(key):
            self.attempts[key].pop()
        self.attempts[key].append(status)

    @rule()
    def close_and_open(self):
        self.store.close()
        self.was_cut_short()

    @precondition(lambda self: any(map(self.is_running, self.attempts)))
    @rule()
    def crash_and_open(self):
        # What the kernel does for a killed process. That nothing else is needed is tested with real kills.
        self.store._connection.close()
        os.close(self.store._lock._descriptor)
        self.was_cut_short()

    def was_cut_short(self):
        for attempts in self.attempts.values():
            attempts[:] = ["interrupted" if status == "running" else status for status in attempts]
        self.open()

    @invariant()
    def agrees_with_model(self):
        with open_reader(self.path) as reader:
            trials, epochs, readings = reader.trials(), reader.epochs(), reader.readings(accepted=True)
        found = {key: [row["status"] for row in trials if row["trial"] == key] for key in self.attempts}
        assert found == self.attempts
        assert {row["trial"]: row["attempt"] for row in trials if row["accepted"]} == self.accepted
        assert {(row["trial"], row["attempt"]) for row in readings} == set(self.accepted.items())
        assert {(row["trial"], row["attempt"], row["epoch"]) for row in epochs} == {
            (*attempt, epoch) for attempt, told in self.epochs.items() for epoch in told
        }


StoreMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
TestStoreMachine = StoreMachine.TestCase
