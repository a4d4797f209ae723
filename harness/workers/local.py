"""The `local` executor: one worker process after the other on this machine, so that no trial disturbs another."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

from harness.errors import HarnessError
from harness.interruption import Stop
from harness.plugins_loader import PluginChoice
from harness.records import Event, Failed, Finished, Started
from harness.wire import decode_event, encode
from harness.workers.executor import Job
from harness.workers.launcher import Launcher, Worker, describe_end

# Imported once in the server that workers are forked from.
PRELOAD = ("torch", "timm", "sklearn.datasets", "PIL.Image", "harness.training.course")
_GRACE_SECONDS = 10.0
# How long a worker may take, after its last word, to run its exit handlers.
_EXIT_SECONDS = 5.0


class LocalExecutor:
    """Runs each trial in a process of its own, forked from a server that has torch, timm and the plugins imported."""

    def __init__(self, plugins: PluginChoice, preload: Sequence[str] = PRELOAD) -> None:
        self._launcher = Launcher(preload=preload, setup=("harness.workers.worker:prepare", encode(plugins)))

    @property
    def start_method(self) -> str:
        return self._launcher.start_method

    @property
    def notes(self) -> list[str]:
        return self._launcher.notes

    def call(self, target: str, payload: bytes) -> bytes:
        """Run *target* in a worker and return its one message; raises HarnessError where it ends without one."""
        worker = self._launcher.launch(target, payload)
        try:
            answer = next(worker.messages(), None)
            _see_out(worker)
        finally:
            worker.terminate(_GRACE_SECONDS)
        if answer is not None:
            return answer
        raise HarnessError(f"{target} ended without an answer: {describe_end(worker.returncode)}; its error is above")

    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        """Run *jobs* one after the other; see `harness.workers.executor.Executor`."""
        for job in jobs:
            if stop.asked:
                return
            try:
                worker = self._launcher.launch("harness.workers.worker:run_trial", encode(job), wake=stop)
            except InterruptedError:
                return
            try:
                yield Started(job.trial.key, worker.pid, self.start_method)
                yield from self._follow(worker, job, stop)
                if not stop.asked:
                    _see_out(worker)
            finally:
                worker.terminate(_GRACE_SECONDS if stop.count < 2 else 0, wake=stop.again())
            if worker.left_behind:
                self.notes.append(f"{job.trial.model} on {job.trial.dataset} left processes behind; they were killed")

    def _follow(self, worker: Worker, job: Job, stop: Stop) -> Iterator[Event]:
        """Yield what the worker says, and an end in any case."""
        deadline = None if job.timeout is None else time.monotonic() + job.timeout
        for message in worker.messages(deadline=deadline, wake=stop):
            event = _understood(message, job)
            yield event
            if isinstance(event, (Finished, Failed)):
                return
        yield self._ended(worker, job, deadline, stop)

    def _ended(self, worker: Worker, job: Job, deadline: float | None, stop: Stop) -> Failed:
        """Return why a worker said no last word: it was stopped, was too slow, or died."""
        key = job.trial.key
        if stop.signum is not None:
            return Failed(key, "interrupted", f"stopped by {signal.Signals(stop.signum).name}")
        if deadline is not None and time.monotonic() >= deadline:
            return Failed(key, "timeout", f"took longer than the {job.timeout:g} s of --timeout")
        return Failed(key, "crashed", describe_end(worker.returncode))

    def close(self) -> None:
        """End the server and whatever still runs."""
        self._launcher.close()

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _understood(message: bytes, job: Job) -> Event:
    try:
        return decode_event(message)
    except Exception as error:
        return Failed(job.trial.key, "failed", f"the worker said something that is no event: {error!r}")


def _see_out(worker: Worker) -> None:
    """Wait a moment for the end of a worker that has said its last word."""
    for _ in worker.messages(deadline=time.monotonic() + _EXIT_SECONDS):
        pass
