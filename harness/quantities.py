"""Quantities with units: "30Wh" to joules, 4294967296 bytes to "4 GiB", and the letters of the paper."""

from __future__ import annotations

import math
import re

from harness.errors import HarnessError, unknown

# unit -> (the unit it is kept in, how many of those it is)
UNITS: dict[str, tuple[str, float]] = {
    "mJ": ("J", 1e-3),
    "J": ("J", 1.0),
    "kJ": ("J", 1e3),
    "MJ": ("J", 1e6),
    "Wh": ("J", 3.6e3),
    "kWh": ("J", 3.6e6),
    "B": ("B", 1.0),
    "kB": ("B", 1e3),
    "MB": ("B", 1e6),
    "GB": ("B", 1e9),
    "TB": ("B", 1e12),
    "KiB": ("B", 2.0**10),
    "MiB": ("B", 2.0**20),
    "GiB": ("B", 2.0**30),
    "TiB": ("B", 2.0**40),
    "ms": ("s", 1e-3),
    "s": ("s", 1.0),
    "m": ("s", 60.0),
    "min": ("s", 60.0),
    "h": ("s", 3.6e3),
    "d": ("s", 8.64e4),
    "mg": ("g", 1e-3),
    "g": ("g", 1.0),
    "kg": ("g", 1e3),
    "t": ("g", 1e6),
    "samples": ("samples", 1.0),
    "g/kWh": ("g/kWh", 1.0),
}
# The letters of the paper: PePR-E, -C, -D, -M, -T.
LETTERS = {"E": "energy", "C": "carbon", "D": "data", "M": "memory", "T": "time"}
_SHOWN = {
    "J": ("kWh", "Wh", "J"),
    "B": ("GiB", "MiB", "KiB", "B"),
    "s": ("h", "min", "s"),
    "g": ("kg", "g"),
}
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z/]*)\s*")


def find_unit(name: str) -> str:
    """Return the unit called *name*; upper and lower case may be mixed up where only one unit can be meant.

    Raises HarnessError for a unit that is not known.
    """
    if name in UNITS:
        return name

    alike = [unit for unit in UNITS if unit.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    raise unknown("unit", name, alike or UNITS, hint=f"say one of {', '.join(alike or UNITS)}")


def convert(value: float, unit: str, into: str) -> float:
    """Return *value*, in *unit*, in the unit *into*. Raises HarnessError where they measure different things."""
    kept, factor = UNITS[find_unit(unit)]
    other, divisor = UNITS[find_unit(into)]
    if kept != other:
        raise HarnessError(f"{unit!r} is no unit like {into!r}; use {', '.join(_units_of(other))}")
    return value if factor == divisor else value * factor / divisor


def parse_quantity(text: str, into: str | None) -> float:
    """Return the number that *text* ("30Wh", "1.5 GiB", "30m", "100") means in the unit *into*.

    A number alone is in *into* already; with *into* None the unit is not known, and only a number alone will do.
    Raises HarnessError for text that is no quantity, is negative or has a unit of something else.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise HarnessError(f"{text!r} is no quantity; write a number and a unit, such as 30Wh, 4GiB, 30min or 12g")
    number, unit = float(match[1]), match[2]
    if number < 0 or not math.isfinite(number):
        raise HarnessError(f"{text!r} cannot be a budget or a limit; give a number from 0 up")
    if not unit:
        return number
    if into is None:
        raise HarnessError(f"{text!r} has a unit, but the column's unit is not known; give it with --unit COLUMN=UNIT")
    return convert(number, unit, into)


def format_quantity(value: float, unit: str | None) -> str:
    """Return *value* for people, with four digits and the largest unit that leaves it at 1 or more: "2.5 GiB"."""
    for name in _SHOWN.get(unit or "", ()):
        shown = value / UNITS[name][1]
        if shown >= 1:
            return f"{shown:.4g} {name}"
    return f"{value:.4g} {unit}" if unit else f"{value:.4g}"


def resource_name(name: str) -> str:
    """Return the resource that a letter of the paper stands for; any other name as it is."""
    return LETTERS.get(name, name)


def _units_of(kept: str) -> list[str]:
    return [name for name, (unit, _) in UNITS.items() if unit == kept]
