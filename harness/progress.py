"""What happens during a run, on stderr: trial of trials, epoch, loss, accuracy, time left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from harness.records import EpochDone, Event, Failed, Finished, Started, Trial
from harness.tables import plain


class Progress:
    """Writes one line for each epoch and each end of a trial; on a terminal, an epoch's line gives way to the next."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._trials: dict[str, Trial] = {}
        self._begun = 0
        self._ended = 0
        self._first = time.monotonic()
        self._trial_start = self._first

    def tell(self, message: str) -> None:
        """Show one line."""
        self._print(message)

    def planned(self, trials: Sequence[Trial], to_run: Mapping[str, str]) -> None:
        """Say how many trials there are, how many of them are done, and why any is run again."""
        self._trials = {trial.key: trial for trial in trials if trial.key in to_run}
        done = len(trials) - len(to_run)
        told = f"{len(to_run)} to run" + (f", {done} finished before" if done else "")
        self._print(f"{_count(len(trials))}: {told}" if to_run else f"{_count(len(trials))}: all finished before")
        for key, reason in to_run.items():
            if reason not in ("new", "forced"):
                self._print(f"again: {self._name(key)}: {reason}")

    def event(self, event: Event) -> None:
        """Show what an event says."""
        if isinstance(event, Started):
            self._begun += 1
            self._trial_start = time.monotonic()
        elif isinstance(event, EpochDone):
            self._print(f"{self._place()} {self._name(event.trial)}: {self._epoch(event)}", passing=True)
        else:
            self._ended += 1
            self._print(f"{self._place()} {self._name(event.trial)}: {self._end(event)}")

    def _epoch(self, event: EpochDone) -> str:
        epochs = self._trials[event.trial].setting.epochs
        spent = time.monotonic() - self._trial_start
        left = spent / event.epoch * (epochs - event.epoch)
        loss = "-" if event.loss is None else f"{event.loss:.4f}"
        accuracy = "-" if event.performance is None else f"{event.performance:.4f}"
        return f"epoch {event.epoch}/{epochs}, loss {loss}, accuracy {accuracy}, {_duration(left)} left"

    def _end(self, event: Finished | Failed) -> str:
        if isinstance(event, Failed):
            return f"{event.status}: {event.reason}"

        whole = [reading for reading in event.readings if reading.resource == "time" and reading.phase == "train"]
        seconds = next((reading.value for reading in whole if reading.epoch is None), None)
        trained = f", trained in {_duration(seconds)}" if seconds is not None else ""
        return f"accuracy {event.performance:.4f}{trained}{self._left()}"

    def _left(self) -> str:
        """Return how long the trials to come will take if they are like those that ended."""
        waiting = len(self._trials) - self._ended
        if not waiting:
            return ""
        return f"; about {_duration((time.monotonic() - self._first) / self._ended * waiting)} left for {waiting} more"

    def _place(self) -> str:
        return f"[{self._begun}/{len(self._trials)}]"

    def _name(self, key: str) -> str:
        trial = self._trials.get(key)
        return (
            key
            if trial is None
            else f"{trial.model} on {trial.dataset}" + (f", seed {trial.seed}" if trial.seed != 1 else "")
        )

    def _print(self, message: str, passing: bool = False) -> None:
        text = plain(message)
        if not self._console.is_terminal:
            self._console.print(text, markup=False)
            return
        # On a terminal a passing line is overwritten by the next: carriage return, text, clear to the end.
        self._console.file.write(f"\r{text[: self._console.width - 1]}\x1b[K" + ("" if passing else "\n"))
        self._console.file.flush()


def _count(trials: int) -> str:
    return "1 trial" if trials == 1 else f"{trials} trials"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
