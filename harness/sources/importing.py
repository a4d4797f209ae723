"""Others' results into a store, with where they came from, so that all commands work on them."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attrs import evolve, field, frozen

from harness.errors import HarnessError
from harness.records import Event, Started, StudyRecord
from harness.sources.imported import Imported, Row
from harness.sources.importers import codecarbon_trials, pepr_trials, timm_trials
from harness.sources.layouts import recognize
from harness.sources.source import read_source
from harness.sources.table import Query
from harness.sources.tabular import load_csv, read_header
from harness.store.store import Store

_KINDS = "the PePR authors' all_results.csv, timm's results-*.csv or CodeCarbon's emissions.csv"


@frozen
class Summary:
    """What an import did: of `kind` of file, the trials `added`, those `known` before, and rows `left_out`."""

    kind: str
    added: int
    known: int
    left_out: int


@frozen
class Wanted:
    """How to import: `dataset` names what the file does not; `join` is a second file.

    For timm's results that is a benchmark-infer-*.csv. For CodeCarbon's it is a table with the performance of each
    project, read as `query` says.
    """

    dataset: str | None = None
    join: Path | None = None
    query: Query = field(factory=Query)


def import_file(source: Path, store: Path, wanted: Wanted | None = None) -> Summary:
    """Add the trials in the file *source* to *store*; those that it holds already stay as they are.

    Raises HarnessError for a file of a kind that is not known, or one that lacks what is needed.
    """
    kind, rows, trials = read_trials(source, wanted or Wanted())
    record = StudyRecord(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        origin="import",
        settings={"file": source.name, "kind": kind, "sha256": hashlib.sha256(source.read_bytes()).hexdigest()},
    )
    with Store.open(store) as target:
        added = _add(target, record, trials)
    return Summary(kind, added, len(trials) - added, rows - len(trials))


def read_trials(source: Path, wanted: Wanted) -> tuple[str, int, Sequence[Imported]]:
    """Return (kind of file, number of rows, the trials) in *source*; errors as `import_file`."""
    kind = recognize(read_header(source)).name
    rows = list(_rows(source))
    if kind == "pepr":
        return kind, len(rows), pepr_trials(rows)
    if kind == "timm":
        speeds = () if wanted.join is None else _rows(wanted.join)
        return kind, len(rows), timm_trials(rows, wanted.dataset or source.stem.removeprefix("results-"), speeds)
    if kind == "codecarbon":
        trials = codecarbon_trials(rows, wanted.dataset or "not published", _performances(source, wanted))
        if not trials:
            raise HarnessError(
                f"no project of {str(source)!r} has a performance in {str(wanted.join)!r}; check its names"
            )
        return kind, len(rows), trials
    raise HarnessError(
        f"{str(source)!r} is none of the files that can be imported: {_KINDS}; `harness score` reads any"
    )


def _add(store: Store, record: StudyRecord, trials: Sequence[Imported]) -> int:
    new = store.unfinished([one.trial for one in trials], ())
    chosen = {one.trial.key: one for one in trials if one.trial.key in new}
    with store.batch():
        study = store.begin_study(record)
        store.add_trials(study, [one.trial for one in chosen.values()])
        for one in chosen.values():
            events: tuple[Event, ...] = (Started(one.trial.key, 0, "import"), *one.epochs, one.finished)
            for event in events:
                store.record(study, event)
    return len(chosen)


def _rows(path: Path) -> Iterator[Row]:
    header = read_header(path)
    frame = load_csv(path, ",", header)
    for number, cells in enumerate(zip(*[frame[name] for name in header], strict=True), start=1):
        yield Row(number, dict(zip(header, cells, strict=True)))


def _performances(source: Path, wanted: Wanted) -> dict[str, float]:
    if wanted.join is None:
        raise HarnessError(
            f"{str(source)!r} tells costs but no performance; add --join FILE, a CSV of project_name,performance"
        )
    header = read_header(wanted.join)
    name = wanted.query.id or ("project_name" if "project_name" in header else None)
    frame = read_source(wanted.join, evolve(wanted.query, resources=(), id=name)).frame
    known: Iterable[tuple[str, float]] = zip(frame["model"], frame["performance"], strict=True)
    performances = {project: value for project, value in known if value == value}
    for project, value in performances.items():
        if not 0 <= value <= 1:
            raise HarnessError(
                f"performance {value:g} of {project!r} is outside 0 to 1; say --performance-range LOW..HIGH"
            )
    return performances
