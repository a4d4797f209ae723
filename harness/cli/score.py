"""`harness score`: PePR of a store, a CSV or a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.options import output_options
from harness.cli.score_options import score_request, source_options


@click.command(
    epilog="""\b
Examples:
  harness score harness.sqlite
  harness score harness.sqlite --resource E --resource memory=0.5 --pareto
  harness score results.csv --id model --group dataset --performance accuracy --resource energy
  harness score harness.sqlite --format json -o cohort.json
  harness score later.sqlite --bounds cohort.json"""
)
@source_options
@click.option(
    "--pareto", is_flag=True, help="Mark the Pareto front of performance against the resources, and its knee."
)
@output_options
def command(source: Path, pareto: bool, format: str, output: Path | None, **options: Any) -> None:
    """Score SOURCE: what each model achieves per unit of resource (PePR).

    SOURCE is a store, a CSV or a Parquet file. Without --resource, each of the letters E, C, D, M, T that every row
    has readings for is scored on its own, and PePR-E, else PePR-T, ranks the rows.
    """
    from harness.ranking import rank

    rank(source, score_request(options, pareto=pareto), format=format, output=output)
