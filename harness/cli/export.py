"""`harness export`: a store's tables as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from harness.cli.no_collection import no_collection
from harness.errors import HarnessError
from harness.tables import FORMATS

_BY_ENDING = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
_ATTEMPT = ("trial", "attempt", "accepted")
_READING = ("phase", "epoch", "meter", "resource", "device", "value", "unit", "uncertainty", "source", "note")
_COLUMNS = {
    "epochs": (*_ATTEMPT, "epoch", "loss", "performance", "train_performance"),
    "readings": (*_ATTEMPT, *_READING, "start_ns", "stop_ns"),
    "missing": (*_ATTEMPT, "phase", "epoch", "meter", "resource", "reason"),
}


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--table", type=click.Choice(["trials", *_COLUMNS, "benchmarks"]), default="trials", show_default=True)
@click.option("--accepted", is_flag=True, help="Only what counts: no earlier or failed attempt at a trial.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file instead of stdout."
)
@click.option("--format", type=click.Choice(FORMATS), help="[default: by the file's ending; table on stdout]")
@no_collection()
def command(source: Path, table: str, accepted: bool, output: Path | None, format: str | None) -> None:
    """Write a table of the store SOURCE to a file. Works during a run too.

    trials has a row for each attempt at a trial, readings what the meters said of it, missing what they could not
    say and why, epochs how its training went. benchmarks has a row for each reading of one call of a benchmark, from
    pytest with --harness-store.

    \b
    Examples:
      harness export harness.sqlite -o trials.csv
      harness export harness.sqlite --table readings -o readings.parquet
      harness export harness.sqlite --table epochs --format json
    """
    from harness.store.reading import open_reader
    from harness.suites.benchmark_rows import COLUMNS, benchmark_rows
    from harness.tables import write_table

    format = format or _format_of(output)
    with open_reader(source) as reader:
        rows = benchmark_rows(reader, accepted) if table == "benchmarks" else getattr(reader, table)(accepted=accepted)
    if format == "parquet":
        rows = [_without_mappings(row) for row in rows]
    columns = COLUMNS if table == "benchmarks" else _COLUMNS.get(table) or _trial_columns()
    write_table(rows, columns, format, output)


def _format_of(output: Path | None) -> str:
    if output is None:
        return "table"
    if output.suffix.lower() not in _BY_ENDING:
        raise HarnessError(f"the ending of {str(output)!r} tells no format; add --format csv, json or parquet")
    return _BY_ENDING[output.suffix.lower()]


def _trial_columns() -> list[str]:
    import attrs

    from harness.records import Setting

    setting = [field.name for field in attrs.fields(Setting)]
    known = (
        "trial",
        "model",
        "dataset",
        "seed",
        "task",
        "weights_tag",
        "status",
        "attempt",
        "accepted",
        "performance",
        "reason",
    )
    return [*known, "origin", "started", "finished", "start_method", *setting, "metrics", "facts", "study"]


def _without_mappings(row: Mapping[str, Any]) -> dict[str, Any]:
    """Dictionaries as JSON: Parquet wants the same fields in each row, and at least one."""
    return {name: json.dumps(value) if isinstance(value, Mapping) else value for name, value in row.items()}
