"""The table of what calls take, printed after pytest-benchmark's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from attrs import frozen

from harness.meter import ENERGY_PARTS
from harness.quantities import format_quantity
from harness.records import Reading
from harness.suites.per_call import PerCall
from harness.tables import plain

_PREFIXES = ((1e-9, "n"), (1e-6, "u"), (1e-3, "m"), (1.0, ""), (1e3, "k"), (1e6, "M"))
# Units whose small parts are commonly told with a prefix.
_SMALL = ("J", "g", "s")
# Stand behind a column of their own: `memory` and `carbon`.
_BEHIND = ("memory_host", "memory_cuda", "memory_cuda_reserved", "carbon_intensity")
# So many benchmarks, earlier runs, versions and the like are named, where there are many.
NAMED = 5


class Writer(Protocol):
    """What is asked of pytest's terminal."""

    def write_line(self, line: str, **markup: bool) -> None:
        """Write one line."""


@frozen
class BenchmarkRow:
    """One benchmark: its node id, its name, its group, and what one call takes."""

    test: str
    name: str
    group: str | None
    taken: PerCall


def write_benchmarks(writer: Writer, rows: Sequence[BenchmarkRow]) -> None:
    """Write one table for each group of *rows*, and below them what is missing and why."""
    for group in dict.fromkeys(row.group for row in rows):
        chosen = [row for row in rows if row.group == group]
        _write_group(writer, f"harness{'' if group is None else f' {group!r}'}: what one call takes", chosen)
    if any("~" in _cell(reading) for row in rows for reading in row.taken.readings):
        writer.write_line("~: estimated, not read from a counter")
    for line in _missing(rows):
        writer.write_line(line)


def _write_group(writer: Writer, title: str, rows: Sequence[BenchmarkRow]) -> None:
    columns = shown_resources(reading for row in rows for reading in row.taken.readings)
    lines = [["Name", *columns, "Calls"]]
    for row in rows:
        cells = [_cell(row.taken.total(column)) for column in columns]
        lines.append([plain(row.name), *cells, str(row.taken.metered.calls)])
    write_columns(writer, title, lines)


def write_columns(writer: Writer, title: str, lines: Sequence[Sequence[str]]) -> None:
    """Write *lines* of cells, the head first, below a *title*; the first column to the left, the others right."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    drawn = [_aligned(line, widths) for line in lines]
    writer.write_line(f" {title} ".center(len(drawn[0]), "-"), yellow=True)
    for line in (drawn[0], "-" * len(drawn[0]), *drawn[1:], ""):
        writer.write_line(line)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "   ".join([cells[0].ljust(widths[0]), *rest]).rstrip()


def shown_resources(readings: Iterable[Reading]) -> list[str]:
    """Return those resources of *readings* to show: what is derived first; its parts where there are several."""
    found = [reading.resource for reading in readings if reading.device is None]
    parts = [name for name in ENERGY_PARTS if name in found]
    hidden = {*_BEHIND, *(parts if len(parts) < 2 and "energy" in found else ())}
    first = [name for name in ("energy", "memory", "carbon") if name in found]
    return first + [name for name in dict.fromkeys(found) if name not in (*first, *hidden)]


def _cell(reading: Reading | None) -> str:
    if reading is None:
        return "-"
    return f"{'~' * (reading.source == 'estimated')}{short_quantity(reading.value, reading.unit)}{_bar(reading)}"


def _bar(reading: Reading) -> str:
    if not reading.value:
        return ""
    percent = 100 * reading.uncertainty / reading.value
    if percent < 0.01:
        return " ±<0.01 %"
    return f" ±{percent:.2g} %" if percent < 100 else f" ±{percent:.0f} %"


def short_quantity(value: float, unit: str) -> str:
    """Return *value* with four digits and, for joules, grams and seconds, a prefix: "12.3 mJ"."""
    if unit not in _SMALL or value == 0:
        return format_quantity(value, unit)
    factor, prefix = max((pair for pair in _PREFIXES if pair[0] <= abs(value)), default=_PREFIXES[0])
    return f"{value / factor:.4g} {prefix}{unit}"


def _missing(rows: Sequence[BenchmarkRow]) -> Iterable[str]:
    """Yield a line for each reason why a resource is missing; what another stands in for is not missed."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        stood_in = _BEHIND if row.taken.total("memory") is not None else ()
        for gap in row.taken.missing:
            if gap.resource not in stood_in:
                found.setdefault((gap.resource, gap.reason), []).append(row.name)
    for (resource, reason), names in found.items():
        yield plain(f"no {resource} of {listed(names)}: {reason}")


def listed(names: Sequence[str]) -> str:
    """Return the first of *names* and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
