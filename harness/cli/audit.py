"""`harness audit`: readings and metrics that cannot be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.no_collection import no_collection
from harness.cli.options import output_options
from harness.cli.score_options import parse_pairs, parse_range


@click.command(
    context_settings={"show_default": True},
    epilog="""\b
Examples:
  harness audit harness.sqlite
  harness audit all_results.csv --format json -o findings.json
  harness audit results.csv --id model --group dataset --performance accuracy --unit consumed=kWh""",
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--id", metavar="COLUMN", help="The column that names the rows (CSV, Parquet).")
@click.option("--group", multiple=True, metavar="COLUMN", help="What makes a cohort. Repeatable.")
@click.option("--performance", metavar="COLUMN", help="The column of performance (CSV, Parquet).")
@click.option("--performance-range", metavar="LOW..HIGH", help="What 0 and 1 are in that column: 0..100 for percent.")
@click.option("--unit", multiple=True, metavar="COLUMN=UNIT", help="The unit of a column. Repeatable.")
@click.option("--delimiter", metavar="CHARACTER", help="What separates the columns of a CSV.  [default: ,]")
@click.option(
    "--coincidences", type=float, default=0.01, help="Equal values are found where fewer are expected by chance."
)
@click.option("--deviations", type=float, default=5.0, help="Robust standard deviations that a power may lie off.")
@click.option("--power-factor", type=float, default=2.0, help="The factor that a power may lie off at least.")
@click.option(
    "--multiples", type=float, default=0.9, help="The share of accuracies that must be multiples of 1/n to believe n."
)
@output_options
@click.pass_context
@no_collection()
def command(ctx: click.Context, /, source: Path, format: str, output: Path | None, **options: Any) -> None:
    """Find what cannot be right in SOURCE: a store, a CSV or a Parquet file.

    Readings, metrics and whole rows that trials share to the last digit; energy over time far from that of the other
    rows; accuracies that no number of right answers gives; clocks and counters that stand still; readings below their
    meter's resolution; cohorts that mix machines, meters or kinds of reading. The exit code is 1 where any is found.
    """
    from harness.auditing.audit import audit_source
    from harness.auditing.audit_table import write_audit
    from harness.auditing.evidence import Limits
    from harness.sources.table import Query

    names = ("coincidences", "deviations", "power_factor", "multiples")
    limits = Limits(**{name: options[name] for name in names})
    query = Query(
        id=options["id"],
        group=tuple(options["group"]),
        performance=options["performance"],
        performance_range=parse_range(options["performance_range"]),
        units=parse_pairs(options["unit"], "--unit", "energy=kWh"),
        delimiter=options["delimiter"],
    )
    found = audit_source(source, query, limits)
    write_audit(found, format, output)
    ctx.exit(1 if found.findings else 0)
