"""What an executor is: it runs jobs in processes of their own and yields what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol

from attrs import field, frozen

from harness.interruption import Stop
from harness.plugins_loader import PluginChoice
from harness.records import Event, Trial


@frozen
class Job:
    """All that a worker needs for one trial: names and options, never objects, so that it builds its own.

    `timeout` is in seconds, None for no limit; `meter_options` is handed to the meters; for `sharp`, `pue` and
    `baseline` (in seconds) see `harness.study.Study`.
    """

    trial: Trial
    meters: tuple[str, ...]
    plugins: PluginChoice = field(factory=PluginChoice)
    data_dir: str | None = None
    weights_dir: str | None = None
    download: bool = False
    timeout: float | None = None
    meter_options: Mapping[str, Any] = field(factory=dict)
    sharp: bool = True
    pue: float = 1.0
    baseline: float | None = None


class Executor(Protocol):
    """Where trials run. Made by a factory `factory(options)`, closed by the runner.

    `start_method` is known once something ran; `notes` is what the user should be told.
    """

    start_method: str
    notes: list[str]

    def call(self, target: str, payload: bytes) -> bytes:
        """Run `target` ("package.module:function") in a worker and return its one message.

        Raises HarnessError where the worker ends without one.
        """

    def execute(self, jobs: Iterable[Job], stop: Stop) -> Iterator[Event]:
        """Run *jobs* and yield their events in order: for each trial a `Started`, its epochs, one end.

        A next trial begins only when the caller asks for the next event, so that what it was given is safe by then.
        A worker's death is an event, not an error. When *stop* is signalled, running trials are ended as
        `interrupted` and no other begins.
        """

    def close(self) -> None:
        """End every process that was begun."""

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
