"""The tables of a store, how an empty one is made, and what to say of a file that cannot be used as one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from harness.errors import HarnessError
from harness.output_file import sync_folder

# "PePR" in ASCII: tells a store from another program's SQLite file.
APPLICATION_ID = 0x50655052
# Bump when the tables change, and say here what changed.
# 1: studies, trials, attempts, epochs, readings, missing.
# 2: benchmarks, benchmark_readings, benchmark_missing.
SCHEMA_VERSION = 2
# How long to wait for a lock that another program holds on the file.
BUSY_SECONDS = 30.0

# No STRICT tables: they need SQLite 3.37, which RHEL 9 has not. Settings, facts and the like are JSON objects.
SCHEMA = """
CREATE TABLE studies (
    id INTEGER PRIMARY KEY,
    created TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('run', 'import', 'pytest')),
    settings TEXT NOT NULL,
    machine TEXT NOT NULL,
    packages TEXT NOT NULL,
    plugins TEXT NOT NULL,
    git_commit TEXT
);
CREATE TABLE trials (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    study INTEGER NOT NULL REFERENCES studies, -- the first that named it
    model TEXT NOT NULL,
    dataset TEXT NOT NULL,
    seed INTEGER NOT NULL CHECK (typeof(seed) = 'integer'),
    task TEXT NOT NULL,
    weights_tag TEXT,
    setting TEXT NOT NULL
);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    trial INTEGER NOT NULL REFERENCES trials,
    study INTEGER NOT NULL REFERENCES studies,
    number INTEGER NOT NULL CHECK (number >= 1),
    status TEXT NOT NULL CHECK (status IN
        ('running', 'done', 'failed', 'diverged', 'oom', 'timeout', 'crashed', 'interrupted')),
    accepted INTEGER NOT NULL DEFAULT 0 CHECK (accepted = 0 OR (accepted = 1 AND status = 'done')),
    performance REAL CHECK ((status = 'done') = (performance IS NOT NULL)),
    reason TEXT,
    detail TEXT,
    metrics TEXT,
    facts TEXT,
    pid INTEGER,
    start_method TEXT,
    started TEXT, -- null: the worker never came up
    finished TEXT, -- null: still running, or its runner was killed
    UNIQUE (trial, number)
);
CREATE UNIQUE INDEX one_accepted_attempt ON attempts (trial) WHERE accepted = 1;
CREATE UNIQUE INDEX one_running_attempt ON attempts (trial) WHERE status = 'running';
CREATE TABLE epochs (
    attempt INTEGER NOT NULL REFERENCES attempts,
    epoch INTEGER NOT NULL CHECK (typeof(epoch) = 'integer'),
    loss REAL,
    performance REAL,
    train_performance REAL,
    PRIMARY KEY (attempt, epoch)
) WITHOUT ROWID;
CREATE TABLE readings (
    id INTEGER PRIMARY KEY,
    attempt INTEGER NOT NULL REFERENCES attempts,
    phase TEXT,
    epoch INTEGER, -- null: the whole phase
    meter TEXT NOT NULL,
    resource TEXT NOT NULL,
    device TEXT, -- null: the total over all devices
    value REAL NOT NULL CHECK (value >= 0 AND value < 9e999),
    unit TEXT NOT NULL,
    uncertainty REAL NOT NULL CHECK (uncertainty >= 0 AND uncertainty < 9e999),
    source TEXT NOT NULL CHECK (source IN ('counter', 'sampled', 'estimated')),
    note TEXT,
    start_ns INTEGER,
    stop_ns INTEGER
);
CREATE INDEX readings_of_attempt ON readings (attempt);
CREATE TABLE missing (
    id INTEGER PRIMARY KEY,
    attempt INTEGER NOT NULL REFERENCES attempts,
    phase TEXT,
    epoch INTEGER,
    meter TEXT NOT NULL,
    resource TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX missing_of_attempt ON missing (attempt);
"""
# What the calls of a benchmark took together, as measured; what one took is computed from it.
BENCHMARKS = """
CREATE TABLE benchmarks (
    id INTEGER PRIMARY KEY,
    study INTEGER NOT NULL REFERENCES studies, -- one for each run of pytest
    test TEXT NOT NULL,
    accepted INTEGER NOT NULL DEFAULT 1 CHECK (accepted IN (0, 1)), -- 0: it broke a limit, or was not held
    calls INTEGER NOT NULL CHECK (calls >= 1),
    seconds REAL NOT NULL CHECK (seconds >= 0 AND seconds < 9e999),
    windows TEXT NOT NULL,
    spread REAL CHECK (spread >= 0 AND spread < 9e999),
    finished TEXT NOT NULL
);
CREATE INDEX benchmarks_of_test ON benchmarks (test);
CREATE TABLE benchmark_readings (
    id INTEGER PRIMARY KEY,
    benchmark INTEGER NOT NULL REFERENCES benchmarks,
    meter TEXT NOT NULL,
    resource TEXT NOT NULL,
    device TEXT, -- null: the total over all devices
    value REAL NOT NULL CHECK (value >= 0 AND value < 9e999),
    unit TEXT NOT NULL,
    uncertainty REAL NOT NULL CHECK (uncertainty >= 0 AND uncertainty < 9e999),
    source TEXT NOT NULL CHECK (source IN ('counter', 'sampled', 'estimated')),
    note TEXT
);
CREATE INDEX readings_of_benchmark ON benchmark_readings (benchmark);
CREATE TABLE benchmark_missing (
    id INTEGER PRIMARY KEY,
    benchmark INTEGER NOT NULL REFERENCES benchmarks,
    meter TEXT NOT NULL,
    resource TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX missing_of_benchmark ON benchmark_missing (benchmark);
"""

# By SQLite's own words, since Python 3.10 does not give the code.
_WAYS_OUT = (
    ("not a database", "it is no harness store; name another file"),
    ("malformed", "it is damaged; take a copy of it from a backup, or save what `sqlite3 FILE .recover` can"),
    ("locked", "another program holds it; close that and try again"),
    ("No space", "free some space and try again"),
    ("full", "free some space and try again; what was stored before is kept"),
    ("readonly", "ask for the right to write it, or name another file"),
    ("unable to open", "ask for the right to read and write the file and its folder, or name another file"),
    ("disk I/O", "look after the disk, then try again; what was stored before is kept"),
)


def store_error(path: Path, error: Exception | str) -> HarnessError:
    """Return the error for a store *path* that SQLite cannot use, with the way out."""
    text = str(error)
    hints = [hint for words, hint in _WAYS_OUT if words in text]
    return HarnessError(f"store {str(path)!r}: {text}; {hints[0] if hints else 'name another file'}")


def check_identity(connection: sqlite3.Connection, path: Path) -> None:
    """Raise HarnessError unless *connection*, to the file *path*, is a store of a schema known here."""
    found: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found != APPLICATION_ID:
        raise HarnessError(
            f"{str(path)!r} is an SQLite file of another program, not a harness store; name another file"
        )
    if version > SCHEMA_VERSION:
        raise HarnessError(
            f"store {str(path)!r} has schema {version}, this harness reads up to {SCHEMA_VERSION}; upgrade harness"
        )
    if version < 1:
        raise store_error(path, f"schema {version} never was, the file is malformed")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the store of *connection*, of a schema known here, to today's: all of it or nothing."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < SCHEMA_VERSION:
        connection.executescript(f"BEGIN IMMEDIATE; {BENCHMARKS} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def create_empty(path: Path) -> None:
    """Make an empty store aside and move it to *path*, so that no half-made one is ever seen.

    Raises HarnessError where side files of another store are in the way.
    """
    for ending in ("-wal", "-journal"):
        side = path.with_name(path.name + ending)
        if side.exists():
            # SQLite would mix what it holds into the new file.
            raise HarnessError(f"{str(side)!r} was left by a store that is gone; move it away, or that store back")

    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    connection = sqlite3.connect(aside, isolation_level=None)
    try:
        connection.executescript(
            f"PRAGMA journal_mode = MEMORY; PRAGMA synchronous = FULL; BEGIN; {SCHEMA} {BENCHMARKS}"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
        connection.close()
        aside.replace(path)
        sync_folder(path.parent)
    finally:
        connection.close()
        aside.unlink(missing_ok=True)
