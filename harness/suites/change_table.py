"""The table that sets what benchmarks take beside what they took in earlier runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.environment import changed_versions
from harness.suites.benchmark_table import NAMED, Writer, listed, short_quantity, shown_resources, write_columns
from harness.suites.change import Change
from harness.suites.change_check import change_text, range_text
from harness.suites.earlier import Result
from harness.tables import plain

_HEAD = ("Name", "resource", "before", "now", "change", "may be", "", "runs")


def write_changes(writer: Writer, changes: Sequence[Change]) -> None:
    """Write a line for each of *changes* and, below, what was not the same in the runs they are set beside."""
    columns = shown_resources([one.now for one in changes])
    shown = [change for change in changes if change.now.resource in columns]
    names = _names(changes)
    ordered = sorted(shown, key=lambda one: columns.index(one.now.resource))
    lines = [[plain(names[change.result.test]), *_cells(change)] for change in ordered]
    write_columns(writer, "harness: beside the last run on this machine", [list(_HEAD), *lines])
    for line in (*_runs(changes), *_unlike(changes), *_versions(changes)):
        writer.write_line(plain(line))


def _names(changes: Sequence[Change]) -> dict[str, str]:
    """The names of tests by their node ids; where files have tests of one name, the ids."""
    names = {change.result.test: change.result.name for change in changes}
    counted = Counter(names.values())
    return {test: name if counted[name] == 1 else test for test, name in names.items()}


def _cells(change: Change) -> list[str]:
    quantities = [short_quantity(reading.value, reading.unit) for reading in (change.before, change.now)]
    told = [change_text(change), range_text(change), _verdict(change), str(change.runs)]
    return [change.now.resource, *quantities, *told]


def _verdict(change: Change) -> str:
    if change.unlike is not None:
        return "not comparable"
    return "more" if change.low > 0 else "less" if change.high < 0 else ""


def _runs(changes: Sequence[Change]) -> list[str]:
    """The runs that stand in the column `before`, the latest first."""
    studies = {change.last.stored.study: change.last.study for change in changes}
    told = [_run(studies[number]) for number in sorted(studies, reverse=True)]
    more = [f"and {len(told) - NAMED} earlier ones"] if len(told) > NAMED else []
    return ["before: " + "; ".join([*told[:NAMED], *more])]


def _run(study: Mapping[str, object]) -> str:
    commit = f", commit {str(study['commit'])[:10]}" if study["commit"] else ""
    return f"run of {study['created']}{commit}"


def _unlike(changes: Sequence[Change]) -> list[str]:
    """A line for each reason why some cannot be compared."""
    tests: dict[str, dict[str, None]] = {}
    for change in changes:
        if change.unlike is not None:
            tests.setdefault(change.unlike, {})[change.result.name] = None
    return [f"warning: not comparable: {reason}: {listed(list(names))}" for reason, names in tests.items()]


def _versions(changes: Sequence[Change]) -> list[str]:
    found: dict[str, None] = {}
    for change in changes:
        if change.unlike is None:
            found |= dict.fromkeys(changed_versions(_versions_of(change.last), _versions_of(change.result)))
    return [f"warning: other versions than in the last run: {listed(list(found))}"] if found else []


def _versions_of(result: Result) -> dict[str, str]:
    machine, study = result.study["machine"] or {}, result.study
    own = {name: str(machine[name]) for name in ("system", "python") if name in machine}
    return {**own, **(study["packages"] or {}), **{f"plugin {k}": v for k, v in (study["plugins"] or {}).items()}}
