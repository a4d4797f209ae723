"""`harness import`: others' results into a store."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.score_options import parse_range


@click.command(
    name="import",
    epilog="""\b
Examples:
  harness import all_results.csv --store pepr.sqlite
  harness import results-imagenet.csv --join benchmark-infer-amp-nhwc-pt240-cu124-rtx4090.csv --store timm.sqlite
  harness import emissions.csv --join accuracies.csv --dataset derma --store mine.sqlite""",
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("harness.sqlite"),
    show_default=True,
    help="Where to put it.",
)
@click.option("--dataset", metavar="NAME", help="The dataset, where the file does not name it.")
@click.option(
    "--join", type=click.Path(path_type=Path), help="timm: a benchmark-infer CSV. CodeCarbon: the performances."
)
@click.option("--id", metavar="COLUMN", help="The column of --join that names the projects.  [default: project_name]")
@click.option("--performance", metavar="COLUMN", help="The column of --join that holds the performance.")
@click.option("--performance-range", metavar="LOW..HIGH", help="What 0 and 1 are in that column: 0..100 for percent.")
def command(
    source: Path,
    store: Path,
    dataset: str | None,
    join: Path | None,
    id: str | None,
    performance: str | None,
    performance_range: str | None,
) -> None:
    """Put the results in SOURCE into a store.

    SOURCE is the all_results.csv of the PePR authors, one of timm's results-*.csv, or CodeCarbon's emissions.csv. The
    readings keep where they come from, in which unit they were, and whether they were estimated. What is in the store
    already stays as it is.
    """
    from harness.auditing.announce import announce
    from harness.sources.importing import Wanted, import_file
    from harness.sources.table import Query

    query = Query(id=id, performance=performance, performance_range=parse_range(performance_range))
    done = import_file(source, store, Wanted(dataset, join, query))
    told = f"harness: {store}: {done.added} trials added from {source.name} ({done.kind})"
    told += f", {done.known} were there already" if done.known else ""
    told += f", {done.left_out} rows left out" if done.left_out else ""
    click.echo(told, err=True)
    if done.added:
        announce(store)
