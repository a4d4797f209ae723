"""A plugin whose trials do what their model's name says, within milliseconds and without torch.

For tests of executors: a worker is asked to load it by its name. Model "finishes" ends well, "raises" raises, "dies"
takes its process along, "lingers" takes `LINGER_SECONDS`. The dataset is the path of a folder in which each trial
leaves a file named after its seed when it begins, or `NOWHERE`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.hookspecs import hookimpl
from harness.records import EpochDone, Event, Setting, Trial

PLUGIN = "harness.testing.scripted_trials"
TASK = "scripted"
NOWHERE = "nowhere"
EPOCHS = 2
PERFORMANCE = 0.75
WORDS = "the trial was told to raise"
# Long enough to be stopped in, and short enough to end by itself where nobody stops it.
LINGER_SECONDS = 5.0


def scripted_trial(act: str, seed: int = 1, place: str | Path = NOWHERE) -> Trial:
    """Return a trial that does *act*."""
    return Trial(act, str(place), Setting(weights="scratch", epochs=EPOCHS), seed, TASK)


@hookimpl
def harness_run_trial(
    trial: Trial, window: Callable[..., Any], report: Callable[[Event], None]
) -> dict[str, Any] | None:
    if trial.task != TASK:
        return None

    if trial.dataset != NOWHERE:
        (Path(trial.dataset) / str(trial.seed)).touch()
    with window("train") as metered:
        for epoch in range(1, EPOCHS + 1):
            report(EpochDone(trial.key, epoch, 1 / epoch, PERFORMANCE))
            metered.lap()
        _act(trial.model)
    return {"performance": PERFORMANCE}


def _act(name: str) -> None:
    if name == "raises":
        raise ValueError(WORDS)
    if name == "dies":
        os._exit(3)
    if name == "lingers":
        time.sleep(LINGER_SECONDS)


def echo(payload: bytes, send: Callable[[bytes], None]) -> None:
    """Send *payload* back."""
    send(payload)


def say_nothing(payload: bytes, send: Callable[[bytes], None]) -> None:
    """End without a message."""
