"""Kill writers of a store at random moments: STORE ROUNDS MILLISECONDS SEED FRESH. Prints what was lost, as JSON.

A program of its own, since it forks. Each writer says on a pipe which trials the store has acknowledged.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sqlite3
import sys
import time
from itertools import count
from pathlib import Path

from store_events import READINGS, STUDY, filled_store, run_trial

from harness.store.reading import open_reader
from harness.store.store import Store


def write(path: Path, first: int, pipe: int) -> None:
    with Store.open(path) as store:
        study = store.begin_study(STUDY)
        for seed in count(first):
            os.write(pipe, f"{run_trial(store, study, seed)}\n".encode())


def kill_one(path: Path, first: int, delay: float, patient: bool) -> list[str]:
    """Return the keys that a writer acknowledged before it was killed, *delay* seconds after its start.

    If *patient*, after its first acknowledgement: however slow the machine, some kills meet a writer at work.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        write(path, first, writing)
    os.close(writing)
    if patient:
        select.select([reading], [], [])
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read().split()


def check(path: Path, acknowledged: set[str], report: dict[str, int]) -> None:
    with open_reader(path) as reader:
        done = {row["trial"] for row in reader.trials(accepted=True)}
        readings = [row["trial"] for row in reader.readings()]
    report["lost"] += len(acknowledged - done)
    report["partial"] += sum(readings.count(key) != READINGS for key in done)
    connection = sqlite3.connect(path)
    report["corrupt"] += connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
    report["corrupt"] += len(connection.execute("PRAGMA foreign_key_check").fetchall())
    connection.close()


def main(path: Path, rounds: int, milliseconds: float, seed: int, fresh: bool) -> None:
    chance = random.Random(seed)
    report = dict.fromkeys(("acknowledged", "lost", "partial", "corrupt", "unusable"), 0)
    acknowledged: set[str] = set()
    # So that the children, which die young, need import nothing.
    filled_store(path.with_name("first"))
    for number in range(rounds):
        here = path.with_name(f"{number}.sqlite") if fresh else path
        known = kill_one(here, 1 + number * 10_000, chance.random() * milliseconds / 1000, patient=number % 3 == 2)
        acknowledged = set(known) if fresh else acknowledged | set(known)
        report["acknowledged"] += len(known)
        if here.exists():
            check(here, acknowledged, report)
        Store.open(here).close()
        report["unusable"] += [file.name for file in here.parent.glob(f"*{here.name}*")] != [here.name]
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "fresh")
