"""What every executor keeps, as a class of tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
from attrs import evolve

from harness.errors import HarnessError
from harness.interruption import Stop
from harness.plugins_loader import PluginChoice
from harness.records import EpochDone, Event, Failed, Finished, Started, Trial
from harness.testing import scripted_trials as scripted
from harness.testing.scripted_trials import scripted_trial
from harness.wire import decode_event, encode
from harness.workers.executor import Executor, Job

PLUGINS = PluginChoice(wanted=(scripted.PLUGIN,), autoload=False)
# How long a process that was ended may still be seen.
_GONE_SECONDS = 3.0


class ExecutorContract:
    """What every executor keeps. Set `factory`: it is called with the options that the runner gives.

    Trials are those of `harness.testing.scripted_trials`, so that workers must find this package. Processes are looked
    for on this machine.
    """

    factory: ClassVar[Callable[[Mapping[str, Any]], Executor]]

    def test_each_trial_starts_tells_its_epochs_and_ends_once(self) -> None:
        trials = [scripted_trial("finishes", seed) for seed in (1, 2)]
        events = self._events(trials)

        expected = ["Started", *["EpochDone"] * scripted.EPOCHS, "Finished"]
        for trial in trials:
            assert expected == [type(event).__name__ for event in events if event.trial == trial.key]
        assert {trial.key for trial in trials} == {event.trial for event in events}

    def test_epochs_come_in_order(self) -> None:
        epochs = [event.epoch for event in self._events([scripted_trial("finishes")]) if isinstance(event, EpochDone)]

        assert list(range(1, scripted.EPOCHS + 1)) == epochs

    def test_hands_on_the_performance_and_what_the_meters_read(self) -> None:
        trial = scripted_trial("finishes")
        end = _end(self._events([trial]), trial)

        assert isinstance(end, Finished)
        assert scripted.PERFORMANCE == end.performance
        assert {("time", "train")} <= {(reading.resource, reading.phase) for reading in end.readings}

    def test_events_can_be_stored(self) -> None:
        """They are records of plain data, and come through JSON unchanged."""
        events = self._events([scripted_trial("finishes"), scripted_trial("raises")])

        assert events == [decode_event(encode(event)) for event in events]

    def test_trial_that_raises_fails_with_its_words_and_the_next_one_runs(self) -> None:
        trials = [scripted_trial("raises"), scripted_trial("finishes")]
        events = self._events(trials)
        raised, next_one = (_end(events, trial) for trial in trials)

        assert isinstance(raised, Failed)
        assert ("failed", True) == (raised.status, scripted.WORDS in raised.reason)
        assert isinstance(next_one, Finished)

    def test_worker_that_dies_is_a_crash_and_the_next_one_runs(self) -> None:
        trials = [scripted_trial("dies"), scripted_trial("finishes")]
        events = self._events(trials)
        died, next_one = (_end(events, trial) for trial in trials)

        assert isinstance(died, Failed)
        assert ("crashed", True) == (died.status, bool(died.reason.strip()))
        assert isinstance(next_one, Finished)

    def test_trial_that_takes_too_long_ends_as_timeout(self) -> None:
        trial = scripted_trial("lingers")
        end = _end(self._events([trial], timeout=0.5), trial)

        assert isinstance(end, Failed)
        assert "timeout" == end.status

    def test_stop_ends_the_running_trial_and_begins_no_other(self) -> None:
        trials = [scripted_trial("lingers"), scripted_trial("finishes")]
        with self._executor() as executor, _stop() as stop:
            events = []
            for event in executor.execute(_jobs(trials), stop):
                events.append(event)
                if isinstance(event, Started):
                    stop.ask(signal.SIGTERM)

        end = _end(events, trials[0])
        assert isinstance(end, Failed)
        assert "interrupted" == end.status
        assert {trials[0].key} == {event.trial for event in events}

    def test_nothing_begins_after_a_stop(self) -> None:
        with self._executor() as executor, _stop() as stop:
            stop.ask(signal.SIGTERM)
            assert [] == list(executor.execute(_jobs([scripted_trial("finishes")]), stop))

    def test_next_trial_waits_until_its_event_is_asked_for(self, tmp_path: Path) -> None:
        """What was given is stored by then: a crash of the runner costs no more than one trial."""
        trials = [scripted_trial("finishes", seed, tmp_path) for seed in (1, 2)]
        with self._executor() as executor, _stop() as stop:
            events = executor.execute(_jobs(trials), stop)
            next(event for event in events if isinstance(event, (Finished, Failed)))
            time.sleep(0.5)
            began = sorted(path.name for path in tmp_path.iterdir())
            list(events)

        assert ["1"] == began

    def test_every_trial_has_a_process_of_its_own(self) -> None:
        """Peaks of memory are those of a process, and a crash takes one along."""
        events = self._events([scripted_trial("finishes", seed) for seed in (1, 2)])
        pids = [event.pid for event in events if isinstance(event, Started)]

        assert 2 == len({*pids} - {os.getpid()})

    def test_nothing_runs_on_after_close(self) -> None:
        with _stop() as stop:
            with self._executor() as executor:
                events = executor.execute(_jobs([scripted_trial("lingers")]), stop)
                pid = next(event.pid for event in events if isinstance(event, Started))
            _abandon(events)
            assert not _runs(pid, _GONE_SECONDS)

    def test_can_be_closed_twice(self) -> None:
        with self._executor() as executor:
            executor.close()

    def test_calls_a_function_in_a_worker_and_returns_its_message(self) -> None:
        with self._executor() as executor:
            assert b"hello" == executor.call(f"{scripted.PLUGIN}:echo", b"hello")

    def test_call_without_an_answer_is_an_error_for_the_user(self) -> None:
        with self._executor() as executor, pytest.raises(HarnessError):
            executor.call(f"{scripted.PLUGIN}:say_nothing", b"")

    def test_says_how_workers_begin(self) -> None:
        """It is stored, and the memory of different ways is not compared silently."""
        with self._executor() as executor, _stop() as stop:
            events = list(executor.execute(_jobs([scripted_trial("finishes")]), stop))

            assert executor.start_method
            assert {executor.start_method} == {event.start_method for event in events if isinstance(event, Started)}
            assert all(isinstance(note, str) for note in executor.notes)

    def _executor(self) -> Executor:
        return type(self).factory({"plugins": PLUGINS})

    def _events(self, trials: Iterable[Trial], timeout: float | None = None) -> list[Event]:
        with self._executor() as executor, _stop() as stop:
            return list(executor.execute(_jobs(trials, timeout), stop))


def _jobs(trials: Iterable[Trial], timeout: float | None = None) -> list[Job]:
    jobs = [Job(trial, meters=("time",), plugins=PLUGINS, sharp=False) for trial in trials]
    return [evolve(job, timeout=timeout) for job in jobs]


def _end(events: Iterable[Event], trial: Trial) -> Finished | Failed:
    """Return the end of *trial*, of which there must be one."""
    ends = [event for event in events if isinstance(event, (Finished, Failed)) and event.trial == trial.key]
    assert 1 == len(ends), f"the trial that {trial.model!r} has {len(ends)} ends"
    return ends[0]


@contextmanager
def _stop() -> Iterator[Stop]:
    stop = Stop()
    try:
        yield stop
    finally:
        stop.close()


def _abandon(events: Iterator[Event]) -> None:
    """Let go of a generator now rather than when it is collected, for its stop is about to be closed."""
    if isinstance(events, Generator):
        events.close()


def _runs(pid: int, patience: float) -> bool:
    """Say whether process *pid* still runs after so many seconds at most."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or _is_dead(pid):
            return False
        time.sleep(0.02)
    return True


def _is_dead(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
