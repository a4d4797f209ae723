"""A store to a table of performance and resources: one line for each trial."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from harness.errors import HarnessError, unknown
from harness.meter import RESOURCE_UNITS
from harness.pepr import Floats
from harness.quantities import LETTERS
from harness.records import Setting
from harness.sources.measured import MEMORY_HOST, PUE_INCLUDED, Windows, measured_alike, number
from harness.sources.table import Query, Table, carried, error_bar
from harness.store.reading import Row, StoreReader, open_reader

SETTING = tuple(field.name for field in attrs.fields(Setting))
_COHORT = ("dataset", "task", *SETTING)
_CARRIED = ("model", *_COHORT, "weights_tag", "seed", "origin", "start_method", "study", "trial", "facts", "metrics")


def read_store(path: Path, query: Query) -> Table:
    """Return the table in the store *path*: for each trial the accepted attempt, else the last.

    A group is one dataset in one setting; with `query.group` it is what those columns name, and settings that differ
    within it belong to the name of the row. Raises HarnessError for a store that cannot be read or holds no trials.
    """
    return read_stores([path], query)[0]


def read_stores(paths: Sequence[Path], query: Query) -> list[Table]:
    """Return the tables in the stores *paths*, as `read_store` does of one.

    SQLite takes and checks all of them at once, beside the interpreter, which imports pandas meanwhile.
    """
    if query.id is not None:
        raise HarnessError("--id is for CSV and Parquet; a store's rows are named by their models")
    with ThreadPoolExecutor(max_workers=len(paths)) as pool:
        opening = [pool.submit(open_reader, path) for path in paths]
        try:
            importlib.import_module("pandas")
            return [_read(one.result(), query) for one in opening]
        finally:
            for one in opening:
                if one.exception() is None:
                    one.result().close()


def _read(reader: StoreReader, query: Query) -> Table:
    attempts = reader.trials()
    totals, gaps = reader.totals(query.phase), reader.gaps(query.phase)
    studies = reader.studies() if "study" in query.columns else ()
    trials = chosen_trials(attempts, query.trials, reader.path)
    _check_performance(trials, query)
    table = _table(trials, measured_alike(trials, totals, gaps, query), query)
    return attrs.evolve(table, studies={study["study"]: study for study in studies})


def label_trials(
    trials: Sequence[Row], group: Sequence[str] = (), left_out: Collection[str] = ()
) -> list[tuple[str, str]]:
    """Return (name, group) of each trial; only what differs within a dataset is told of the setting.

    The columns *left_out* are told in neither.

    Raises HarnessError for a column in *group* that trials have not.
    """
    for column in group:
        if column not in _COHORT:
            raise unknown("group", column, _COHORT)
    telling = [name for name in _telling(trials) if name not in left_out]
    together = [name for name in group or _COHORT if name not in left_out]
    apart = [name for name in telling if name not in together]
    shown = [name for name in together if name in telling or name in group]
    return [
        (
            _label(trial["model"] * ("model" not in left_out), trial, apart, " "),
            _label("", trial, ["dataset"] * ("dataset" in together) + shown),
        )
        for trial in trials
    ]


def chosen_trials(attempts: Iterable[Row], wanted: Iterable[str] | None, path: Path) -> list[Row]:
    """Return of each trial (of those *wanted*, by their keys) the accepted attempt, else the last.

    Raises HarnessError if there is none in the store *path*.
    """
    chosen: dict[str, Row] = {}
    keys = None if wanted is None else set(wanted)
    for attempt in attempts:
        known = chosen.get(attempt["trial"])
        if (keys is None or attempt["trial"] in keys) and not (known and known["accepted"]):
            chosen[attempt["trial"]] = attempt
    if not chosen:
        raise HarnessError(f"store {str(path)!r} holds no trials; `harness run --store {path}` adds some")
    return list(chosen.values())


def _carried(trials: Sequence[Row], name: str) -> list[Any]:
    """What each trial has in the column *name*, a field of it or a metric. Raises HarnessError where none has it."""
    if name in _CARRIED:
        return [trial[name] for trial in trials]
    known = {metric for trial in trials for metric in trial["metrics"] or {}}
    if name not in known:
        raise unknown("column", name, [*_CARRIED, *known])
    return [(trial["metrics"] or {}).get(name) for trial in trials]


def _table(trials: list[Row], windows: Sequence[Windows], query: Query) -> Table:
    import pandas

    names = list(dict.fromkeys(name for one in windows for name in (*one.found, *one.lost)))
    labels = label_trials(trials, query.group, query.apart)
    columns: dict[str, Any] = {
        "model": [model for model, _ in labels],
        "group": [group for _, group in labels],
        "seed": [trial["seed"] for trial in trials],
        "reason": [_reason(trial, query) for trial in trials],
        "performance": np.array([_performance(trial, query) for trial in trials], dtype=np.float64),
    }
    imported = np.array([trial["origin"] == "import" for trial in trials])
    for name in names:
        columns[name], bars = _values(len(trials), windows, name)
        # Others publish no error bars of what they measured.
        columns[error_bar(name)] = np.where(imported, np.nan, bars)
    columns |= {carried(name): _carried(trials, name) for name in query.columns}
    gaps = {name: _gaps(len(trials), windows, name) for name in names}
    units = {name: _unit(windows, name) for name in names}
    letters = {letter: name for letter, name in LETTERS.items() if name in names}
    warnings = tuple(_warnings(trials, columns["group"], windows, query))
    return Table(pandas.DataFrame(columns), tuple(names), units, letters, gaps, warnings)


def _values(size: int, windows: Iterable[Windows], name: str) -> tuple[Floats, Floats]:
    """The readings of a resource and half the widths of their error bars, NaN where missing."""
    values, bars = np.full(size, np.nan), np.full(size, np.nan)
    for one in windows:
        if name in one.found:
            values[one.lines], bars[one.lines] = one.found[name].value, one.found[name].uncertainty
    return values, bars


def _gaps(size: int, windows: Iterable[Windows], name: str) -> list[str | None]:
    """Why each trial lacks a resource."""
    reasons = np.full(size, None, dtype=object)
    for one in windows:
        if name in one.lost:
            reasons[one.lines] = one.lost[name].reason
    found: list[str | None] = reasons.tolist()
    return found


def _performance(trial: Row, query: Query) -> float | None:
    """The performance in [0, 1], or the metric that the query names instead; None where it is missing."""
    if query.performance in (None, "performance"):
        value = number(trial["performance"])
    else:
        value = number((trial["metrics"] or {}).get(query.performance))
    low, high = query.performance_range or (0.0, 1.0)
    return value if value is None or (low, high) == (0.0, 1.0) else (value - low) / (high - low)


def _check_performance(trials: Sequence[Row], query: Query) -> None:
    """Raise HarnessError for a metric that no trial has a value of, nor a reason for having none."""
    done = [trial for trial in trials if trial["status"] == "done"]
    known = {"performance", *(name for trial in done for name in (*(trial["metrics"] or {}), *_undefined(trial)))}
    if done and query.performance is not None and query.performance not in known:
        raise unknown("performance", query.performance, known)


def _undefined(trial: Row) -> Mapping[str, str]:
    """Why metrics of *trial* are missing, by their names."""
    reasons: Mapping[str, str] = (trial["facts"] or {}).get("undefined_metrics", {})
    return reasons


def _reason(trial: Row, query: Query) -> str | None:
    if trial["status"] != "done":
        return f"{trial['status']}: {trial['reason']}" if trial["reason"] else str(trial["status"])
    if _performance(trial, query) is not None:
        return None
    return f"{query.performance}: {_undefined(trial).get(query.performance or '', 'was not stored with this trial')}"


def _warnings(
    trials: Sequence[Row], groups: Sequence[str], windows: Sequence[Windows], query: Query
) -> list[tuple[str | None, str]]:
    """What makes readings of one resource in one group doubtful to compare."""
    sources: dict[tuple[str, str], dict[str, None]] = {}
    methods: dict[tuple[str, str], dict[str, None]] = {}
    for one, group, method in _circumstances(trials, groups, windows):
        for name, reading in one.found.items():
            sources.setdefault((name, group), {})[reading.source] = None
            if MEMORY_HOST in (name, *(reading.note or "").split()):
                methods.setdefault((name, group), {})[method] = None
    warnings: list[tuple[str | None, str]] = [
        (name, f"{name} of {group}: some rows are estimated, others measured; they do not compare")
        for (name, group), seen in sources.items()
        if "estimated" in seen and len(seen) > 1
    ]
    guessed = {name for name, _ in sources if name.startswith("energy")}
    guessed -= {name for (name, _), seen in sources.items() if set(seen) != {"estimated"}}
    warnings += [(name, f"{name} is estimated, not measured") for name in sorted(guessed)]
    warnings += [
        (name, f"{name} of {group}: processes were started by {' and '.join(seen)}, whose memory does not compare")
        for (name, group), seen in methods.items()
        if len(seen) > 1
    ]
    notes = [one.found["energy"].note or "" for one in windows if "energy" in one.found]
    if query.pue is not None and any(PUE_INCLUDED in note for note in notes):
        warnings.append(("carbon", "some energies include the PUE already; --pue multiplies it in once more"))
    return warnings


def _circumstances(
    trials: Sequence[Row], groups: Sequence[str], windows: Sequence[Windows]
) -> list[tuple[Windows, str, str]]:
    """The ways of metering, groups and start methods that go together in some trial, in the order they first do."""
    way = np.empty(len(trials), dtype=np.intp)
    for place, one in enumerate(windows):
        way[one.lines] = place
    seen = dict.fromkeys(zip(way.tolist(), groups, [str(trial["start_method"]) for trial in trials], strict=True))
    return [(windows[place], group, method) for place, group, method in seen]


def _telling(trials: Sequence[Row]) -> list[str]:
    """The settings that differ within a dataset; and the dataset, if there are several."""
    seen: dict[tuple[str, str], set[Any]] = {}
    for cohort in dict.fromkeys(map(itemgetter(*_COHORT), trials)):
        for name, value in zip(_COHORT, cohort, strict=True):
            seen.setdefault((name, "" if name == "dataset" else cohort[0]), set()).add(value)
    return list(dict.fromkeys(name for (name, _), values in seen.items() if len(values) > 1))


def _label(start: str, trial: Row, names: Sequence[str], separator: str = ", ") -> str:
    told = [
        str(trial[name]) if _is_plain(name, trial[name]) else f"{name}={trial[name]}" for name in dict.fromkeys(names)
    ]
    return separator.join([start, *told] if start else told)


def _is_plain(name: str, value: object) -> bool:
    """Whether the value tells by itself what it is the value of."""
    return name == "dataset" or value in ("pretrained", "scratch")


def _unit(windows: Iterable[Windows], name: str) -> str | None:
    return next((one.found[name].unit for one in windows if name in one.found), RESOURCE_UNITS.get(name))
