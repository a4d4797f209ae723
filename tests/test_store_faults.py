"""What a store survives: kills, a second writer, readers during a run, damage, a full disk, a disk that fails."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from store_events import READINGS, filled_store

from harness.errors import HarnessError
from harness.store.reading import open_reader
from harness.store.store import Store

HERE = Path(__file__).parent
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "harness.sqlite"


def command(program, *arguments):
    return [sys.executable, str(HERE / program), *map(str, arguments)]


def run(*arguments, before=()):
    return subprocess.run([*before, *command(*arguments)], capture_output=True, text=True, timeout=120, check=False)


def integrity(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall()


def trials(path, **options):
    with open_reader(path) as reader:
        return reader.trials(**options)


@pytest.mark.parametrize(("fresh", "rounds", "milliseconds"), [("one", 50, 60), ("fresh", 30, 20)])
def test_nothing_acknowledged_is_lost_however_often_the_writer_is_killed(path, fresh, rounds, milliseconds):
    done = run("store_killing.py", path, rounds, milliseconds, 1, fresh)

    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report.pop("acknowledged") > 0
    assert report == {"lost": 0, "partial": 0, "corrupt": 0, "unusable": 0}


@needs_strace
@pytest.mark.parametrize("nth", [1, 2, 5, 9, 14, 20, 27])
def test_a_kill_at_any_write_leaves_a_store_that_goes_on(path, nth):
    strace = ["strace", "-f", "-o", os.devnull, "-e", f"inject=pwrite64:signal=KILL:when={nth}"]
    killed = run("store_writing.py", path, 5, before=strace)

    again = run("store_writing.py", path, 5)
    assert (killed.returncode != 0, again.returncode, again.stderr) == (True, 0, "")
    assert set(killed.stdout.split()) <= {row["trial"] for row in trials(path, accepted=True)}
    assert integrity(path) == [("ok",)]


@needs_strace
def test_a_disk_that_fails_to_sync_ends_the_run_and_keeps_what_was_acknowledged(path):
    strace = ["strace", "-f", "-o", os.devnull, "-e", "inject=fdatasync:error=EIO:when=20+"]
    done = run("store_writing.py", path, 50, before=strace)

    assert f"store {str(path)!r}: disk I/O error; look after the disk" in done.stderr
    assert (done.returncode, len(done.stdout.split()) > 0) == (1, True)
    assert set(done.stdout.split()) <= {row["trial"] for row in trials(path, accepted=True)}


def test_a_full_disk_is_one_line_and_keeps_what_was_acknowledged(path):
    done = run("store_writing.py", path, 1000, 300_000)

    assert done.stderr.startswith(f"store {str(path)!r}: ")
    assert (done.returncode, done.stderr.count("\n"), len(done.stdout.split()) > 0) == (1, 1, True)
    assert set(done.stdout.split()) <= {row["trial"] for row in trials(path, accepted=True)}
    assert integrity(path) == [("ok",)]


def test_a_run_goes_on_once_there_is_space(path):
    run("store_writing.py", path, 1000, 300_000)
    filled_store(path, trials=3)

    assert [row["seed"] for row in trials(path, accepted=True) if row["attempt"] == 2] == [1, 2, 3]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_of_two_writers_at_once_one_is_refused_and_told_of_the_other(path):
    done = run("store_racing.py", path, 20)

    for round_ in json.loads(done.stdout):
        (winner,) = [pid for pid, answer in round_ if answer == "opened"]
        (refusal,) = [answer for _, answer in round_ if answer != "opened"]
        assert f"store {str(path)!r} is being written by process {winner} on {os.uname().nodename} since 2" in refusal


def test_the_lock_of_a_dead_process_is_taken_over(path):
    lock = path.with_name("harness.sqlite.lock")
    lock.write_text(json.dumps({"pid": 1, "host": "gone", "start": "2026-01-01T00:00:00+00:00"}))
    filled_store(path)

    assert ([row["status"] for row in trials(path)], lock.exists()) == (["done"], False)


def test_a_lock_file_that_another_put_there_is_not_removed(path):
    lock = path.with_name("harness.sqlite.lock")
    with Store.open(path):
        lock.unlink()
        lock.write_text("another's")

    assert lock.read_text() == "another's"


def test_attempts_of_a_killed_runner_are_interrupted_with_a_reason(path):
    program = "import sys, time, pathlib; from store_events import *; store = Store.open(pathlib.Path(sys.argv[1]))\n"
    program += "study = store.begin_study(STUDY); run_trial(store, study, 1); store.add_trials(study, [trial(2)])\n"
    program += "store.record(study, Started(trial(2).key, 1, 'spawn')); print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, cwd=HERE) as runner:
        runner.stdout.readline()
        during = [row["status"] for row in trials(path)]
        runner.kill()
    Store.open(path).close()

    assert during == ["done", "running"]
    assert [(row["status"], row["reason"], row["finished"]) for row in trials(path)][1:] == [
        ("interrupted", "its runner was killed", None)
    ]


def test_readers_see_whole_trials_and_never_fewer_while_a_run_writes(path):
    counts = []
    with subprocess.Popen(command("store_writing.py", path, 400), stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        while writer.poll() is None and len(counts) < 1000:
            with open_reader(path) as reader:
                done, readings = reader.trials(accepted=True), reader.readings()
            assert len(readings) == READINGS * len(done)
            counts.append(len(done))
        writer.stdout.read()

    assert counts == sorted(counts)
    assert (counts[0] < 400, len(trials(path, accepted=True))) == (True, 400)


def test_reading_succeeds_while_stores_are_opened_and_closed(path):
    filled_store(path)
    program = "import sys, pathlib; from harness.store.store import Store\n"
    program += "for _ in range(60): Store.open(pathlib.Path(sys.argv[1])).close()"
    with subprocess.Popen([sys.executable, "-c", program, str(path)]) as writer:
        while writer.poll() is None:
            assert [row["status"] for row in trials(path)] == ["done"]

    assert writer.returncode == 0


@pytest.fixture
def as_nobody():
    """Give up root's rights, which no mode of a file or folder stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def read_only(monkeypatch):
    """Make a folder that anyone may read and nobody may write, holding a copy of a store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def make(source, *endings):
            for ending in ("", *endings):
                copy = folder / f"{source.name}{ending}"
                shutil.copy(f"{source}{ending}", copy)
                copy.chmod(0o444)
            folder.chmod(0o555)
            return folder / source.name

        yield make
        folder.chmod(0o755)


def test_a_store_in_a_read_only_folder_can_be_read(path, read_only, request):
    copy = read_only(filled_store(path))
    request.getfixturevalue("as_nobody")

    assert [row["status"] for row in trials(copy)] == ["done"]


def test_a_copy_of_a_store_in_use_can_be_read_in_a_read_only_folder(path, read_only, request):
    filled_store(path)
    with Store.open(path):
        copy = read_only(path)
        request.getfixturevalue("as_nobody")
        assert [row["status"] for row in trials(copy)] == ["done"]


def test_a_store_that_may_not_be_written_is_refused_in_one_line(path, read_only, request):
    copy = read_only(filled_store(path))
    request.getfixturevalue("as_nobody")

    with pytest.raises(
        HarnessError, match=r"cannot write store '.*': Permission denied; name a file in a folder where"
    ):
        Store.open(copy)


GOOD: list[bytes] = []


def good() -> bytes:
    """The bytes of a store of several pages, made once."""
    if not GOOD:
        with tempfile.TemporaryDirectory() as folder:
            GOOD.append(filled_store(Path(folder) / "x.sqlite", trials=40).read_bytes())
    return GOOD[0]


flips = st.lists(st.tuples(st.integers(0, 2**31), st.integers(1, 255)), min_size=1, max_size=20)
cuts = st.none() | st.floats(0, 1, exclude_min=True)


def damaged(flipped, cut) -> bytes:
    content = bytearray(good())
    for place, bits in flipped:
        content[place % len(content)] ^= bits
    return bytes(content if cut is None else content[: max(1, int(len(content) * cut))])


def read_all(path):
    with open_reader(path) as reader:
        return [reader.trials(), reader.epochs(), reader.readings(), reader.missing(), reader.studies()]


@settings(max_examples=150, deadline=None)
@given(flips, cuts)
def test_a_damaged_store_is_read_whole_or_refused_and_never_changed(flipped, cut):
    content = damaged(flipped, cut)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.sqlite"
        path.write_bytes(content)
        try:
            sizes = [len(table) for table in read_all(path)]
        except HarnessError as error:
            assert str(path) in str(error)  # noqa: PT017 (one of two right outcomes)
        else:
            assert sizes == [40, 40, 40 * READINGS, 40, 1]

        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()


@settings(max_examples=100, deadline=None)
@given(flips, cuts)
def test_a_damaged_store_that_is_refused_for_writing_is_left_as_it_was(flipped, cut):
    content = damaged(flipped, cut)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.sqlite"
        path.write_bytes(content)
        try:
            Store.open(path).close()
        except HarnessError:
            assert ([file.name for file in path.parent.iterdir()], path.read_bytes()) == (["x.sqlite"], content)
        else:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                assert connection.execute("SELECT count(*) FROM attempts").fetchone() == (40,)
