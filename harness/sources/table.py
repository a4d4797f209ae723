"""What is asked of a source, and the one kind of table that every source gives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, field, frozen

from harness.errors import HarnessError
from harness.quantities import UNITS, convert, find_unit

if TYPE_CHECKING:
    import pandas

JOULES_PER_KWH = 3.6e6


@frozen
class Query:
    """What to take from a source.

    `resources` are names or letters (None: what the letters stand for), `also` some more; `trials` are the keys of
    those to take from a store (None: all); `group`, `id` and `performance` name columns; `performance_range` is what 0
    and 1 are in the source (0 and 100 for percent); `units` overrule the columns' own; `carbon_intensity` [g/kWh] and
    `pue` are for grams computed from joules. `columns` are to be carried along (`carried` names them in the frame), and
    `apart` are left out of groups and names, since they are compared.
    """

    resources: tuple[str, ...] | None = None
    also: tuple[str, ...] = ()
    phase: str = "train"
    trials: Collection[str] | None = None
    id: str | None = None
    group: tuple[str, ...] = ()
    performance: str | None = None
    performance_range: tuple[float, float] | None = None
    units: Mapping[str, str] = field(factory=dict)
    delimiter: str | None = None
    carbon_intensity: float | None = None
    pue: float | None = None
    columns: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    @property
    def recomputes_carbon(self) -> bool:
        return self.carbon_intensity is not None or self.pue is not None


@frozen(eq=False)
class Table:
    """Performance and resources, one line for each model, group and seed.

    `frame` is as `scoring.score_table` takes it; `resources` are the columns that can be scored, with their `units`
    where known, and half the width of a reading's error bar in the column `error_bar(name)` where it is known;
    `letters` says which of them a letter stands for; `gaps` why a line lacks one. `warnings` are
    (resource, text): to be told where that resource is scored, or always (None). `studies` are the rows of a store's,
    by their numbers, where the query carries the column "study" along.
    """

    frame: pandas.DataFrame
    resources: tuple[str, ...]
    units: Mapping[str, str | None]
    letters: Mapping[str, str]
    gaps: Mapping[str, Sequence[str | None]] = field(factory=dict)
    warnings: tuple[tuple[str | None, str], ...] = ()
    studies: Mapping[int, Mapping[str, Any]] = field(factory=dict)

    def resolve(self, name: str) -> str:
        """Return the resource that *name*, a column or a letter, means here."""
        return resolve(name, self.resources, self.letters)


def carried(column: str) -> str:
    """Return how a frame calls the *column* of `Query.columns`, which may bear the name of another."""
    return f"column {column}"


def error_bar(resource: str) -> str:
    """Return how a frame calls half the width of the error bars of *resource*, in its unit."""
    return f"{resource} uncertainty"


def resolve(name: str, columns: Iterable[str], letters: Mapping[str, str]) -> str:
    """Return the column that *name* means: itself if there is one, else what it stands for as a letter."""
    return name if name in columns else letters.get(name, name)


def add_carbon(table: Table, query: Query) -> Table:
    """Return *table* with `carbon` [g] computed anew from its energy.

    Raises HarnessError where the energy, its unit or the carbon intensity is not known.
    """
    energy = table.letters.get("E")
    unit = table.units.get(energy or "")
    if energy is None or unit is None or UNITS[unit][0] != "J":
        raise HarnessError("carbon needs an energy in a known unit; name its column's with --unit energy=kWh")

    kilowatt_hours = table.frame[energy].to_numpy(dtype=np.float64) * convert(1.0, unit, "kWh")
    frame = table.frame.assign(carbon=kilowatt_hours * _intensity(table, query) * (query.pue or 1.0))
    names = tuple(dict.fromkeys((*table.resources, "carbon")))
    gaps = {name: reasons for name, reasons in table.gaps.items() if name != "carbon"}
    if energy in gaps:
        gaps["carbon"] = gaps[energy]
    units, letters = {**table.units, "carbon": "g"}, {**table.letters, "C": "carbon"}
    return evolve(table, frame=frame, resources=names, units=units, letters=letters, gaps=gaps)


def checked_units(units: Mapping[str, str]) -> dict[str, str]:
    """Return *units* under their proper names. Raises HarnessError for one that is not known."""
    return {name: find_unit(unit) for name, unit in units.items()}


def _intensity(table: Table, query: Query) -> float | np.ndarray[tuple[int], np.dtype[np.float64]]:
    if query.carbon_intensity is not None:
        return query.carbon_intensity
    if "carbon_intensity" not in table.frame:
        raise HarnessError(
            "--pue needs a carbon intensity, which this source has not; add --carbon-intensity G_PER_KWH"
        )
    return table.frame["carbon_intensity"].to_numpy(dtype=np.float64)
