"""What the columns of a CSV mean: known files by their header, others by the names of their columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from harness.meter import RESOURCE_UNITS
from harness.quantities import UNITS

# What may stand for a letter where a file is not a known one; the first found counts.
_BY_LETTER = {
    "E": ("energy", "energy_consumed"),
    "C": ("carbon", "co2", "co2e", "emissions"),
    "D": ("data", "samples"),
    "M": ("memory",),
    "T": ("time", "duration", "train_time"),
}
_IDS = ("model", "name", "id")
_GROUPS = ("group", "dataset")
_PERFORMANCES = ("performance", "accuracy", "test_accuracy", "acc")
# energy_kWh, "energy [kWh]", "energy (kWh)"
_NO_SUFFIX = ("m", "t", "d", "M", "T", "D")
_UNIT = re.compile(r"(?P<name>.+?)(?:_(?P<bare>[A-Za-z]+)|\s*[\[(](?P<framed>[A-Za-z/]+)[\])])")


@frozen
class Layout:
    """Which column is what in one kind of file. `name` is None for a file that is not a known one."""

    name: str | None
    id: str | None
    group: tuple[str, ...]
    performance: str | None
    letters: Mapping[str, str]
    units: Mapping[str, str] = field(factory=dict)
    performance_range: tuple[float, float] = (0.0, 1.0)
    pue_included: bool = False


# The PePR paper's all_results.csv.
PEPR_AUTHORS = Layout(
    name="pepr",
    id="model",
    group=("dataset",),
    performance="test_09",
    letters={"E": "energy", "C": "co2", "M": "memR", "T": "train_time"},
    units={
        "energy": "kWh",
        "co2": "g",
        "train_time": "s",
        "inf_time": "s",
        "memT": "GB",
        "memR": "GB",
        "memA": "GB",
        "memM": "GB",
    },
    pue_included=True,
)
# timm's results-imagenet*.csv.
TIMM_RESULTS = Layout(
    name="timm",
    id="model",
    group=(),
    performance="top1",
    letters={},
    performance_range=(0.0, 100.0),
)
# CodeCarbon's emissions.csv.
CODECARBON = Layout(
    name="codecarbon",
    id="project_name",
    group=(),
    performance=None,
    letters={"E": "energy_consumed", "C": "emissions", "T": "duration"},
    units={
        "energy_consumed": "kWh",
        "cpu_energy": "kWh",
        "gpu_energy": "kWh",
        "ram_energy": "kWh",
        "emissions": "kg",
        "duration": "s",
    },
)
_MARKS: tuple[tuple[Layout, frozenset[str]], ...] = (
    (
        PEPR_AUTHORS,
        frozenset({"model", "dataset", "memT", "memR", "memA", "memM", "energy", "co2", "train_time", "test_09"}),
    ),
    (TIMM_RESULTS, frozenset({"model", "top1", "top1_err", "top5", "param_count"})),
    (CODECARBON, frozenset({"run_id", "project_name", "duration", "emissions", "energy_consumed"})),
)


def recognize(columns: Sequence[str]) -> Layout:
    """Return the layout of a file with these *columns*."""
    known = set(columns)
    for layout, marks in _MARKS:
        if marks <= known:
            return layout

    group = _first(_GROUPS, columns)
    return Layout(
        name=None,
        id=_first(_IDS, columns),
        group=() if group is None else (group,),
        performance=_first(_PERFORMANCES, columns),
        letters=_letters(columns),
    )


def unit_of(column: str, layout: Layout) -> str | None:
    """Return the unit that *layout* or the column's own name gives: `energy` is in J, `energy_kwh` in kWh."""
    if column in layout.units:
        return layout.units[column]
    if column in RESOURCE_UNITS:
        return RESOURCE_UNITS[column]
    return _split(column)[1]


def _letters(columns: Sequence[str]) -> dict[str, str]:
    plain: dict[str, str] = {}
    for column in columns:
        plain.setdefault(_split(column)[0].lower(), column)
    found = {letter: _first(names, plain) for letter, names in _BY_LETTER.items()}
    return {letter: plain[name] for letter, name in found.items() if name is not None}


def _split(column: str) -> tuple[str, str | None]:
    """Return a column's name without its unit, and the unit."""
    match = _UNIT.fullmatch(column)
    written = "" if match is None else match["bare"] or match["framed"]
    units = [unit for unit in UNITS if unit.lower() == written.lower()]
    exact = [unit for unit in units if unit == written] or units
    # params_m are millions, not minutes.
    if match is not None and match["bare"] in _NO_SUFFIX:
        return column, None
    return (match["name"], exact[0]) if match is not None and len(exact) == 1 else (column, None)


def _first(names: Iterable[str], columns: Iterable[str]) -> str | None:
    known = set(columns)
    return next((name for name in names if name in known), None)
