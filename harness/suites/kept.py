"""The results of one pytest run on their way into a store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from attrs import Factory, define, evolve

from harness.environment import describe_environment, git_commit, nvidia_cards, package_versions
from harness.measuring.block import default_plugins
from harness.records import Benchmark, StudyRecord
from harness.store.benchmarks import BenchmarkStore
from harness.suites.settings import SuiteSettings

_PACKAGES = ("pytest", "pytest-benchmark")
# Before the first test and after the last one, how long [s] to wait for another run that keeps a result: that is short.
PATIENCE = 3.0


@define
class Kept:
    """A store that each result goes to as soon as there is one, open for no longer: trials of the suite go there too.

    Unless they are `accepted` as they come, later runs are compared with them only after `accept`. `number` is the row
    of this run, None until there is a result; `waiting` is what could not be stored yet.
    """

    path: Path
    _record: StudyRecord
    accepted: bool = True
    number: int | None = None
    waiting: list[Benchmark] = Factory(list)
    notes: Sequence[str] = ()

    def open(self) -> None:
        """Make the store, or check the one that is there. Raises HarnessError where it cannot be used."""
        with BenchmarkStore.open(self.path, PATIENCE) as store:
            self.notes = store.notes

    def add(self, results: Sequence[Benchmark], patience: float = 0.0) -> None:
        """Store *results* and what is waiting; what cannot be stored within *patience* [s] waits on.

        Raises HarnessError then.
        """
        self.waiting.extend(results)
        if not self.waiting:
            return
        with BenchmarkStore.open(self.path, patience) as store:
            if self.number is None:
                self.number = store.begin_study(self._record)
            while self.waiting:
                store.add(self.number, self.waiting[0], self.accepted)
                del self.waiting[0]

    def accept(self, refused: Collection[str]) -> None:
        """Have later runs be compared with these results, but for those of the tests *refused*.

        Raises HarnessError as `add`.
        """
        if self.number is not None:
            with BenchmarkStore.open(self.path, PATIENCE) as store:
                store.accept(self.number, refused)


def describe_run(settings: SuiteSettings, meters: Sequence[str], project: Path) -> StudyRecord:
    """Return the record of a pytest run of the suite in *project* with *meters*, which begins now."""
    asked = {"meters": list(meters), "options": dict(settings.meter_options)}
    record = describe_environment(asked, default_plugins(), "pytest")
    cards, _ = nvidia_cards()
    return evolve(
        record,
        machine={**record.machine, "nvidia_cards": cards},
        packages={**record.packages, **package_versions(_PACKAGES)},
        commit=git_commit(project),
    )
