"""Two writers open one store at the same moment: STORE ROUNDS. Prints [pid, answer] of both for each round, as JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from harness.errors import HarnessError
from harness.store.store import Store


def contend(path: Path, start: int, end: int, answers: int) -> None:
    """Open the store when *start* closes; hold it until *end* closes."""
    os.read(start, 1)
    try:
        store = Store.open(path)
    except HarnessError as error:
        os.write(answers, f"{json.dumps([os.getpid(), str(error)])}\n".encode())
        return
    os.write(answers, f"{json.dumps([os.getpid(), 'opened'])}\n".encode())
    os.read(end, 1)
    store.close()


def race(path: Path) -> list[list[object]]:
    start, end, answers = os.pipe(), os.pipe(), os.pipe()
    children = []
    for _ in range(2):
        children.append(os.fork())
        if children[-1] == 0:
            os.close(start[1])
            os.close(end[1])
            contend(path, start[0], end[0], answers[1])
            os._exit(0)
    os.close(start[1])
    os.close(answers[1])
    lines = os.fdopen(answers[0])
    heard = [json.loads(lines.readline()) for _ in children]
    os.close(end[1])
    for child in children:
        os.waitpid(child, 0)
    return heard


if __name__ == "__main__":
    print(json.dumps([race(Path(sys.argv[1])) for _ in range(int(sys.argv[2]))]))
