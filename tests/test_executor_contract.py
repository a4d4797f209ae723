"""The built-in executor keeps the contract, and the contract catches executors that do not."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from harness.errors import HarnessError
from harness.interruption import Stop
from harness.plugins_loader import load_plugins
from harness.records import EpochDone, Event, Failed, Finished, Started
from harness.testing import ExecutorContract
from harness.workers.executor import Job
from harness.workers.local import LocalExecutor


class TestLocal(ExecutorContract):
    """Without torch in the server, whose import takes seconds in each of these tests."""

    factory = staticmethod(lambda options: LocalExecutor(options["plugins"], preload=()))


def test_registered_executor_runs_trials() -> None:
    class Under(ExecutorContract):
        factory = staticmethod(load_plugins().registry.executors.get("local"))

    Under().test_hands_on_the_performance_and_what_the_meters_read()


left_behind: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _end_what_is_left_behind() -> Iterator[None]:
    yield
    while left_behind:
        process = left_behind.pop()
        process.kill()
        process.wait()


class Wrong(LocalExecutor):
    """The local executor, for a wrong one to change what it gives."""

    def __init__(self, options: Any) -> None:
        super().__init__(options["plugins"], preload=())


class LosesEpochs(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        return (event for event in super().execute(jobs, stop) if not isinstance(event, EpochDone))


class EndsTwice(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        for event in super().execute(jobs, stop):
            yield event
            if isinstance(event, Finished):
                yield event


class NeverEnds(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        return (event for event in super().execute(jobs, stop) if not isinstance(event, Finished))


class TurnsEpochsRound(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        for event in super().execute(jobs, stop):
            yield evolve(event, epoch=3 - event.epoch) if isinstance(event, EpochDone) else event


class LosesReadings(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        for event in super().execute(jobs, stop):
            yield evolve(event, readings=()) if isinstance(event, Finished) else event


class GivesObjects(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        for event in super().execute(jobs, stop):
            yield evolve(event, facts={"where": (1, 2)}) if isinstance(event, Finished) else event


class GivesUp(Wrong):
    """Ends all for one that failed."""

    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        for event in super().execute(jobs, stop):
            yield event
            if isinstance(event, Failed):
                return


class SwallowsWords(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        for event in super().execute(jobs, stop):
            yield evolve(event, reason="failed") if isinstance(event, Failed) else event


class RaisesAtACrash(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        for event in super().execute(jobs, stop):
            if isinstance(event, Failed) and event.status == "crashed":
                raise HarnessError("a worker died")
            yield event


class KnowsNoTimeout(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        return super().execute((evolve(job, timeout=None) for job in jobs), stop)


class KnowsNoStop(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        yield from super().execute(jobs, Stop())


class GoesOnAfterAStop(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        for job in jobs:
            yield from super().execute([job], stop if job.trial.model == "lingers" else Stop())


class RunsAhead(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        yield from list(super().execute(jobs, stop))


class RunsHere(Wrong):
    """Runs trials in the runner's own process."""

    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        from harness.workers.worker import run_job

        for job in jobs:
            events: list[Event] = [Started(job.trial.key, os.getpid(), "none")]
            run_job(job, events.append)
            yield from events


class LeavesProcesses(Wrong):
    """Begins what it does not end."""

    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        for event in super().execute(jobs, stop):
            if isinstance(event, Started):
                left_behind.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"]))
                event = evolve(event, pid=left_behind[-1].pid)
            yield event


class ClosesOnce(Wrong):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True
        super().close()


class AnswersTwiceAsLong(Wrong):
    def call(self, target: str, payload: bytes) -> bytes:
        return super().call(target, payload) * 2


class AnswersAnyway(Wrong):
    def call(self, target: str, payload: bytes) -> bytes:
        try:
            return super().call(target, payload)
        except HarnessError:
            return b""


class BeginsUnsaid(Wrong):
    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        for event in super().execute(jobs, stop):
            yield evolve(event, start_method="") if isinstance(event, Started) else event


def contract(executor: type[Wrong]) -> ExecutorContract:
    class Under(ExecutorContract):
        factory = staticmethod(executor)

    return Under()


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        (LosesEpochs, "test_each_trial_starts_tells_its_epochs_and_ends_once"),
        (EndsTwice, "test_each_trial_starts_tells_its_epochs_and_ends_once"),
        (NeverEnds, "test_each_trial_starts_tells_its_epochs_and_ends_once"),
        (TurnsEpochsRound, "test_epochs_come_in_order"),
        (LosesReadings, "test_hands_on_the_performance_and_what_the_meters_read"),
        (GivesObjects, "test_events_can_be_stored"),
        (GivesUp, "test_trial_that_raises_fails_with_its_words_and_the_next_one_runs"),
        (SwallowsWords, "test_trial_that_raises_fails_with_its_words_and_the_next_one_runs"),
        (GivesUp, "test_worker_that_dies_is_a_crash_and_the_next_one_runs"),
        (RaisesAtACrash, "test_worker_that_dies_is_a_crash_and_the_next_one_runs"),
        (KnowsNoTimeout, "test_trial_that_takes_too_long_ends_as_timeout"),
        (KnowsNoStop, "test_stop_ends_the_running_trial_and_begins_no_other"),
        (GoesOnAfterAStop, "test_stop_ends_the_running_trial_and_begins_no_other"),
        (KnowsNoStop, "test_nothing_begins_after_a_stop"),
        (RunsAhead, "test_next_trial_waits_until_its_event_is_asked_for"),
        (RunsHere, "test_every_trial_has_a_process_of_its_own"),
        (LeavesProcesses, "test_nothing_runs_on_after_close"),
        (ClosesOnce, "test_can_be_closed_twice"),
        (AnswersTwiceAsLong, "test_calls_a_function_in_a_worker_and_returns_its_message"),
        (AnswersAnyway, "test_call_without_an_answer_is_an_error_for_the_user"),
        (BeginsUnsaid, "test_says_how_workers_begin"),
    ],
)
def test_contract_catches_a_wrong_executor(wrong: type[Wrong], test: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, HarnessError, RuntimeError, pytest.fail.Exception)):
        call(contract(wrong), test, tmp_path)


def call(under: ExecutorContract, test: str, tmp_path: Path) -> None:
    """Call a test as pytest does, with the folder where it asks for one."""
    method = getattr(under, test)
    method(*[tmp_path] * len(inspect.signature(method).parameters))
