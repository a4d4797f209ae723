"""Which lines of a source are on which side: by a column, a number's cut, or a tag of the models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from harness.comparing.naming import named
from harness.errors import HarnessError, unknown
from harness.registry import Registry
from harness.scoring.ranking import Request, read_request
from harness.sources.source import is_store
from harness.sources.table import Table, carried
from harness.sources.tabular import parse_number
from harness.tables import plain

if TYPE_CHECKING:
    import pandas

_TAG = "tag:"
# A column that a store takes from the registry of models.
_PARAMETERS = "parameters"
_LISTED = 8


@frozen
class Question:
    """What to compare by: a column, `tag:NAME` or `parameters`.

    `between` are two values, or several with commas; `cut` is "median" or a number that splits a column of numbers;
    `over` are columns that each model is averaged over first.
    """

    by: str
    between: tuple[str, str] | None = None
    cut: str | None = None
    over: tuple[str, ...] = ()


@frozen(eq=False)
class Sides:
    """A table's lines on the two sides that `names` names: `side` is 0 or 1 for each, `value` what put it there."""

    table: Table
    names: tuple[str, str]
    side: npt.NDArray[np.intp]
    value: npt.NDArray[Any]
    warnings: tuple[str, ...] = ()


def read_sides(source: Path, request: Request, question: Question, registry: Registry) -> Sides:
    """Return the lines of *source* that are on one of two sides.

    Raises HarnessError for a column that is not there, and for values that make not just two sides.
    """
    store = is_store(source)
    by = question.by
    of_models = by.startswith(_TAG) or (store and by == _PARAMETERS)
    compared = () if of_models else (by,)
    needed = dict.fromkeys((*compared, *question.over, *(("model",) if store and of_models else ())))
    query = evolve(request.query, columns=tuple(needed), apart=(*compared, *question.over))
    table = read_request(source, evolve(request, query=query))
    if of_models:
        models = table.frame[carried("model") if store else "model"].tolist()
        values = [_of_model(name, by, registry) for name in models]
    else:
        values = table.frame[carried(by)].tolist()
    _check_tag(by, registry)
    if of_models and all(value is None for value in values):
        raise HarnessError(f"no model here is registered, so {by!r} is not known; `harness list models` has names")
    return _split(table, question, values)


def _check_tag(by: str, registry: Registry) -> None:
    tags = {tag for entry in registry.models.entries.values() for tag in entry.value.tags}
    if by.startswith(_TAG) and by.removeprefix(_TAG) not in tags:
        raise unknown("tag", by.removeprefix(_TAG), tags)


def _of_model(name: str, by: str, registry: Registry) -> Any:
    """The parameters of a model, or whether it has the tag; None of one that is not registered."""
    entry = registry.models.entries.get(str(name))
    if entry is None:
        return None
    if by == _PARAMETERS:
        return entry.value.parameters
    tag = by.removeprefix(_TAG)
    return tag if tag in entry.value.tags else f"not {tag}"


def _split(table: Table, question: Question, values: Sequence[Any]) -> Sides:
    told = [named(value) for value in values]
    if question.cut is not None:
        names, side = _cut(table.frame, question, values)
        # What counts is the side: each seed may have a number of its own.
        put = np.array([*names, ""], dtype=object)[side]
    else:
        names, side = _between(question, told)
        put = np.array(told, dtype=object)
    kept = side >= 0
    for number, name in enumerate(names):
        if not (side == number).any():
            raise HarnessError(
                f"no row is on the side {name!r}; {question.by} is {_listed([text for text in told if text])}"
            )
    lost = sum(not text for text in told)
    warning = f"{lost} of {len(told)} rows have no {question.by} and are left out"
    frame = table.frame[kept].reset_index(drop=True)
    if frame["model"].tolist() == [text for text, keep in zip(map(str, values), kept, strict=True) if keep]:
        # Models are compared: what pairs is then their seeds, whatever their names.
        frame = frame.assign(model="") if len(set(frame["model"])) == len(names) else frame
    gaps = {
        name: [why for why, keep in zip(reasons, kept, strict=True) if keep] for name, reasons in table.gaps.items()
    }
    chosen = evolve(table, frame=frame, gaps=gaps)
    return Sides(chosen, names, side[kept], put[kept], (warning,) if lost else ())


def _between(question: Question, told: Sequence[str]) -> tuple[tuple[str, str], npt.NDArray[np.intp]]:
    names = question.between or _two(question, told)
    sides = [{named(part) for part in name.split(",")} if question.between else {name} for name in names]
    if both := sides[0] & sides[1]:
        raise HarnessError(f"--between has {', '.join(sorted(both))!r} on both sides; name it once")
    for part in sorted((sides[0] | sides[1]) - set(told)):
        raise unknown(f"value of {question.by}", part, filter(None, told))
    return names, np.array([0 if text in sides[0] else 1 if text in sides[1] else -1 for text in told], dtype=np.intp)


def _two(question: Question, told: Sequence[str]) -> tuple[str, str]:
    """The two values, in the order they appear; those with a tag before those without."""
    found = [text for text in dict.fromkeys(told) if text]
    if question.by.startswith(_TAG):
        found.sort(key=lambda text: text.startswith("not "))
    if len(found) == 2:
        return found[0], found[1]
    if len(found) == 1:
        raise HarnessError(f"{question.by!r} is {found[0]!r} of all rows that have it; name another column or tag")
    way = f"choose two with --between A B, or cut numbers with --at median: {_listed(found)}"
    raise HarnessError(f"{question.by!r} has {len(found)} values, not two; {way if found else 'name another column'}")


def _cut(
    frame: pandas.DataFrame, question: Question, values: Sequence[Any]
) -> tuple[tuple[str, str], npt.NDArray[np.intp]]:
    """Below the cut and from it up; the median is that of the models, each counted once."""
    parsed = [parse_number(value) for value in values]
    if None in parsed:
        wrong = plain(values[parsed.index(None)])
        raise HarnessError(f"--at cuts numbers, and {question.by} has {wrong!r}; choose values with --between A B")
    numbers = np.array(parsed, dtype=np.float64)
    known = np.isfinite(numbers)
    if not known.any():
        raise HarnessError(f"{question.by!r} has no value in any row; name another column")
    at = _median(frame, numbers) if question.cut == "median" else parse_number(question.cut)
    if at is None or not np.isfinite(at):
        raise HarnessError(f"--at {question.cut!r} must be a number or median")
    names = (f"{question.by} < {at:g}", f"{question.by} >= {at:g}")
    return names, np.where(known, (numbers >= at).astype(np.intp), -1)


def _median(frame: pandas.DataFrame, numbers: npt.NDArray[np.float64]) -> float:
    return float(np.nanmedian(frame.assign(number=numbers)[["model", "number"]].drop_duplicates()["number"]))


def _listed(values: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(map(plain, values)))
    return ", ".join(distinct[:_LISTED]) + (", ..." if len(distinct) > _LISTED else "")
