"""Meter any command: hold it, open the meters, let it go between two edges, and tell what it used."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from harness.errors import HarnessError
from harness.measuring.held_command import FAILED, HeldCommand
from harness.measuring.passing_on import PassingOn
from harness.measuring.stack import MeterStack
from harness.measuring.window import Window, overhead
from harness.meter import StackedMeter, UnmadeMeter
from harness.output_file import write_file
from harness.quantities import format_quantity
from harness.records import Missing, Reading
from harness.registry import Registry
from harness.tables import plain, render_json

# harness.measure/1: schema, command, exit_code, window, readings, missing; further keys may be added beside them.
SCHEMA = "harness.measure/1"


@frozen
class Metering:
    """What to meter a command with; `names` may hold "auto", `options` are those of meters."""

    names: Sequence[str]
    options: Mapping[str, Any]
    sharp: bool = True
    pue: float = 1.0


def failed_document(command: Sequence[str], error: str, exit_code: int = FAILED) -> dict[str, Any]:
    """Return what is written in place of `MeteredCommand.document` where the harness itself failed."""
    return {
        "schema": SCHEMA,
        "command": list(command),
        "exit_code": exit_code,
        "window": None,
        "readings": [],
        "missing": [],
        "error": error,
    }


@frozen
class MeteredCommand:
    """A command that has ended, and what it used. `error` says why it could not be run."""

    command: Sequence[str]
    exit_code: int
    error: str | None
    window: Window
    facts: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]

    @property
    def readings(self) -> list[Reading]:
        return [*self.window.readings, *self.window.derived()[0]]

    @property
    def missing(self) -> list[Missing]:
        return [*self.window.missing, *self.window.derived()[1]]

    def document(self) -> dict[str, Any]:
        """Return it as plain data in the format `SCHEMA`."""
        start, stop = self.window.edges_ns
        return {
            "schema": SCHEMA,
            "command": list(self.command),
            "exit_code": self.exit_code,
            "window": {"start_monotonic_ns": start, "stop_monotonic_ns": stop},
            "readings": [_chosen(reading, _READING) for reading in self.readings],
            "missing": [_chosen(gap, _MISSING) for gap in self.missing],
            "error": self.error,
            "facts": self.facts,
            "overhead": overhead(self.window),
            "left_out": [{"meter": name, "reason": reason} for name, reason in self.left_out.items()],
        }

    def summary(self) -> str:
        """Return a line for each total and for each resource that is missing."""
        totals = [reading for reading in self.readings if reading.device is None]
        rows = [(r.resource, format_quantity(r.value, r.unit), _bar(r), _said(r.source, r.note)) for r in totals]
        rows += [(gap.resource, "-", "", f"missing: {plain(gap.reason)}") for gap in self.missing]
        widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:3]] if rows else []
        lines = ["  ".join([*map(str.ljust, row[:3], widths), row[3]]).rstrip() for row in rows]
        return "".join(f"{line}\n" for line in lines)


def meter_command(
    command: Sequence[str], metering: Metering, registry: Registry, passing: PassingOn, tell: Callable[[str], None]
) -> MeteredCommand:
    """Run *command*, its output and input untouched, and meter it; what is worth a line to the user goes to *tell*.

    A meter that fails or does not work here is missing, and stops nothing. The window ends when the command's own
    process does, whatever it has left running. Raises HarnessError for a meter that is unknown; nothing has run then.
    """
    for name in metering.names:
        if name != "auto":
            registry.meters.get(name)
    with HeldCommand(command) as held, passing.attached(held):
        options = {**metering.options, "pid": held.pid, "ended_usage": held.usage}
        names, left_out = _choose(metering.names, options, registry, tell)
        with MeterStack(on_hang=lambda what, seconds: tell(f"{what} has not returned for {seconds:.0f} s")) as stack:
            stack.add(_create(names, {**options, "sampler": stack.sampler}, registry))
            with stack.window(names, sharp=metering.sharp, pue=metering.pue) as window:
                passing.run()
            facts = stack.facts()
        code = held.reap()
        return MeteredCommand(command, code, _why_not_run(held), window, facts, left_out)


def write_document(document: Mapping[str, Any], output: Path) -> None:
    """Write *document* as JSON to *output*, whole or not at all. Raises HarnessError."""
    write_file(output, (render_json(document) + "\n").encode())


_READING = ("meter", "resource", "device", "value", "unit", "uncertainty", "source", "note")
_MISSING = ("meter", "resource", "reason")


def _chosen(record: Reading | Missing, fields: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in fields}


def _choose(
    names: Sequence[str], options: Mapping[str, Any], registry: Registry, tell: Callable[[str], None]
) -> tuple[list[str], dict[str, str]]:
    """Return the names of the meters, "auto" replaced by what works here, and why that leaves others out."""
    named = [name for name in names if name != "auto"]
    if "auto" not in names:
        return list(dict.fromkeys(named)), {}

    automatic, left_out = registry.automatic_meters(options)
    for line in [*registry.in_vain(left_out, options), *registry.estimates(automatic)]:
        tell(line)
    left_out = {name: reason for name, reason in left_out.items() if name not in named}
    return list(dict.fromkeys([*named, *automatic])), left_out


def _create(names: Sequence[str], options: Mapping[str, Any], registry: Registry) -> list[StackedMeter]:
    made = []
    for name in names:
        try:
            made += registry.create_meters([name], options)
        except HarnessError as error:  # an option that cannot be: the command runs all the same
            unmade = UnmadeMeter(f"it cannot be made: {error}")
            made.append(StackedMeter(name, unmade, registry.meters.get(name).resources))
    return made


def _why_not_run(held: HeldCommand) -> str | None:
    """Return in words why the command could not be executed, None if it was."""
    name = plain(held.command[0])
    if held.fault is None:
        return f"command {name!r} was ended before it was executed" if held.lost else None
    if held.fault in (errno.ENOENT, errno.ENOTDIR):
        if shutil.which(held.command[0]) is None:
            return f"command {name!r} is not found"
        return f"command {name!r} cannot be executed: the interpreter that its first line names is not found"
    return f"command {name!r} cannot be executed: {os.strerror(held.fault)}"


def _bar(reading: Reading) -> str:
    return f"± {format_quantity(reading.uncertainty, reading.unit)}" if reading.uncertainty else ""


def _said(source: str, note: str | None) -> str:
    return f"{source}: {plain(note)}" if note else source
