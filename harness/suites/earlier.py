"""What earlier runs of a suite say of a benchmark, and which of them can be compared with the run of now."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from harness.measuring.derive import DERIVED
from harness.records import Reading
from harness.store.benchmarks import StoredBenchmark, read_benchmarks
from harness.store.reading import StoreReader
from harness.suites.per_call import PerCall, per_call

# What makes two machines two: readings of one say nothing of the other.
_MACHINE = ("host", "processor", "threads", "nvidia_cards")


@frozen
class Result:
    """What one call of a benchmark took in one run: `study` is the row of that run."""

    stored: StoredBenchmark
    study: Mapping[str, Any] = field(repr=False)
    taken: PerCall = field(repr=False)

    @property
    def test(self) -> str:
        """The benchmark's node id."""
        return self.stored.benchmark.test

    @property
    def name(self) -> str:
        """The node id without the file."""
        return self.test.partition("::")[2]


@frozen
class Earlier:
    """The earlier results of one resource of one benchmark, oldest first.

    All of them `like` that of now or, where there is none like it, the last one, which is unlike it: `unlike` says in
    what.
    """

    results: Sequence[Result]
    readings: Sequence[Reading]
    unlike: str | None = None


def read_results(reader: StoreReader, tests: Container[str] | None = None) -> list[Result]:
    """Return the results of all runs in a store, of all benchmarks or those of *tests*, oldest first.

    Raises HarnessError for content that cannot be.
    """
    studies = {study["study"]: study for study in reader.studies()}
    stored = [one for one in read_benchmarks(reader) if tests is None or one.benchmark.test in tests]
    return [Result(one, studies[one.study], per_call(one.benchmark.metered)) for one in stored]


def earlier_of(now: Result, reading: Reading, results: Sequence[Result]) -> Earlier | None:
    """Return what *results* of the same benchmark that are earlier than *now* say of the resource of its *reading*.

    None where they say nothing.
    """
    before = [one for one in results if one.stored.accepted and one.stored.study < now.stored.study]
    totals = [(one, one.taken.total(reading.resource)) for one in before]
    found = [(one, total) for one, total in totals if total is not None]
    if not found:
        return None
    reasons = [_unlike(one.study, now.study) or _read_otherwise(total, reading) for one, total in found]
    like = [pair for pair, reason in zip(found, reasons, strict=True) if reason is None]
    chosen = like or found[-1:]
    return Earlier([one for one, _ in chosen], [total for _, total in chosen], None if like else reasons[-1])


def _unlike(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    machines = [tuple(str((study["machine"] or {}).get(name)) for name in _MACHINE) for study in (before, now)]
    if machines[0] != machines[1]:
        return f"it ran on another machine ({_machine(before)})"
    if _options(before) != _options(now):
        return f"meters had other options ({_options(before)}, now {_options(now)})"
    return None


def _machine(study: Mapping[str, Any]) -> str:
    facts = study["machine"] or {}
    return ", ".join(str(facts[name]) for name in ("host", "processor") if facts.get(name))


def _options(study: Mapping[str, Any]) -> str:
    options = (study["settings"] or {}).get("options") or {}
    return ", ".join(f"{name}={value}" for name, value in sorted(options.items())) or "none"


def _read_otherwise(before: Reading, now: Reading) -> str | None:
    if before.unit != now.unit:
        return f"{now.resource} was in {before.unit}, is now in {now.unit}"
    if (before.meter, before.source) != (now.meter, now.source):
        return f"{now.resource} was read by {before.meter} ({before.source}), now by {now.meter} ({now.source})"
    parts = [reading.note if str(reading.note).startswith(DERIVED) else None for reading in (before, now)]
    # Such as a peak of CUDA memory, which a benchmark begins to use, beside one of the host's.
    return None if parts[0] == parts[1] else f"{now.resource} was {parts[0]}, is now {parts[1]}"
