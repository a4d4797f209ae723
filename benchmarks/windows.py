"""A process of the benchmark of meters: one tool takes windows at random phases and is compared with the truth.

    python benchmarks/windows.py TOOL BESIDE SEED JITTER SECONDS:COUNT...

BESIDE says what holds the interpreter's lock meanwhile: "nothing", "block" (the metered block itself) or "thread"
(another one). Windows are up to JITTER s longer or shorter than said: a sharp window begins right after a tick of the
counter, so of windows of one length all would end in the same place of its step. Prints a line of JSON for each window.
The fake library is found through the environment.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from typing import NamedTuple

import nvml as fake  # the tests': the process that starts this one has put them on the path
import tools

# Longer than the counter's longest step and the trace's short period, so that windows begin at any phase.
_LONGEST_PAUSE = 0.35


class Taken(NamedTuple):
    """A window of nominal *seconds*: by how much of the truth the tool is off, and what its error bar says."""

    seconds: float
    error: float
    bar: float | None
    inside: bool | None


def take(tool: tools.Tool, seconds: float, more: float, *, is_busy: bool) -> Taken:
    """Take a window of *seconds* and *more* with *tool*. Where it does not say what stretch it means: the block's."""
    tool.begin()
    start = time.monotonic()
    burn(start + seconds + more) if is_busy else time.sleep(seconds + more)
    stop = time.monotonic()
    outcome = tool.end()
    truth = fake.true_joules(*(outcome.edges or (start, stop)))
    off = abs(outcome.joules - truth)
    if outcome.uncertainty is None:
        return Taken(seconds, off / truth, None, None)
    return Taken(seconds, off / truth, outcome.uncertainty / truth, off <= outcome.uncertainty)


def burn(until: float, ended: threading.Event | None = None) -> None:
    """Compute in Python until *until* [s, monotonic] or until *ended*."""
    while time.monotonic() < until and not (ended is not None and ended.is_set()):
        pass


def main() -> None:
    name, beside, seed, jitter = sys.argv[1:5]
    lengths = [
        float(seconds) for part in sys.argv[5:] for seconds, _, n in [part.partition(":")] for _ in range(int(n))
    ]
    draw = random.Random(int(seed))  # noqa: S311  # the same phases each time, nothing secret
    draw.shuffle(lengths)
    tools.refuse_network()
    tool, ended = tools.TOOLS[name](), threading.Event()
    if beside == "thread":
        threading.Thread(target=burn, args=[float("inf"), ended], daemon=True).start()
    for seconds in lengths:
        time.sleep(draw.uniform(0, _LONGEST_PAUSE))
        more = draw.uniform(-float(jitter), float(jitter))
        print(json.dumps(take(tool, seconds, more, is_busy=beside == "block")._asdict()), flush=True)
    ended.set()
    tool.close()


if __name__ == "__main__":
    main()
