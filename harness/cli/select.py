"""`harness select`: the best model that fits a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.no_collection import no_collection
from harness.cli.options import output_options
from harness.cli.score_options import parse_pairs, score_request, source_options


@click.command(
    epilog="""\b
Examples:
  harness select harness.sqlite --budget energy=30Wh --budget memory=4GiB
  harness select results.csv --unit energy=kWh --budget E=0.05kWh --resource E"""
)
@source_options
@click.option(
    "--budget", multiple=True, required=True, metavar="NAME=QUANTITY", help="The most a resource may be. Repeatable."
)
@output_options
@click.pass_context
@no_collection()
def command(
    ctx: click.Context, /, source: Path, budget: tuple[str, ...], format: str, output: Path | None, **options: Any
) -> None:
    """The best models in SOURCE that fit a budget.

    Scores are those of all models, fitting or not. Both the best by PePR and the best by performance are told. A model
    without a reading of what is budgeted does not fit. Units: J, Wh, kWh, B, MB, MiB, GB, GiB, s, min, h, g, kg; a
    number alone is in the unit of the source. Where nothing fits the exit code is 1.
    """
    from harness.scoring.selecting import select, write_selection

    selection = select(source, parse_pairs(budget, "--budget", "energy=30Wh"), score_request(options))
    write_selection(selection, format, output)
    if selection.score.table.empty:
        click.echo(f"harness: {selection.refused()}", err=True)
        ctx.exit(1)
