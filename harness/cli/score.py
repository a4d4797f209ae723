"""`harness score`: PePR of a store, a CSV or a Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from harness.cli.no_collection import no_collection
from harness.cli.options import loaded, output_options, plugin_choice, plugin_options
from harness.cli.score_options import chosen_reducer, score_option, score_request, source_options
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.scoring.ranking import Request
    from harness.scoring.reducer import Reducer

# What --curve means alone.
_EPOCHS = "epochs"


@click.command(
    epilog="""\b
Examples:
  harness score harness.sqlite
  harness score harness.sqlite --resource E --resource memory=0.5 --pareto
  harness score results.csv --id model --group dataset --performance accuracy --resource energy
  harness score harness.sqlite --format json -o cohort.json
  harness score later.sqlite --bounds cohort.json
  harness score harness.sqlite --curve
  harness score harness.sqlite --score edp"""
)
@source_options
@click.option(
    "--pareto", is_flag=True, help="Mark the Pareto front of performance against the resources, and its knee."
)
@click.option(
    "--curve",
    is_flag=False,
    flag_value=_EPOCHS,
    metavar="[COLUMNS]",
    help="Score along the epochs of a store, or the columns FIRST..LAST of a table.",
)
@click.option(
    "--stability",
    is_flag=True,
    help="The chance that each model is the best, and beats the next: seeds and error bars drawn anew.",
)
@score_option
@plugin_options
@output_options
@no_collection()
def command(
    source: Path, pareto: bool, curve: str | None, stability: bool, format: str, output: Path | None, **options: Any
) -> None:
    """Score SOURCE: what each model achieves per unit of resource (PePR).

    SOURCE is a store, a CSV or a Parquet file. Without --resource, each of the letters E, C, D, M, T that every row
    has readings for is scored on its own, and PePR-E, else PePR-T, ranks the rows.
    """
    request = score_request(options, pareto=pareto, stability=stability, reducer=_reducer(options))
    if curve is not None:
        return _score_curves(source, curve, request, format, output)

    from harness.scoring.ranking import rank

    rank(source, request, format=format, output=output)
    return None


def _reducer(options: Mapping[str, Any]) -> Reducer | None:
    """Return the score that is asked for; plugins are not loaded for PePR, which a store can always be scored by."""
    choice = plugin_choice(options["plugin"], options["no_plugin"])
    return None if options["score"] is None else chosen_reducer(options["score"], loaded(choice))


def _score_curves(source: Path, curve: str, request: Request, format: str, output: Path | None) -> None:
    from harness.sources.curve_source import read_curves
    from harness.sources.curve_table import write_curves

    for option, given in (
        ("--pareto", request.pareto),
        ("--stability", request.stability),
        ("--score", request.reducer),
        ("--bounds", request.bounds),
        ("--normalize", request.normalization),
    ):
        if given:
            raise HarnessError(f"{option} does not go with --curve; leave one of them out")
    if request.alpha != 1:
        raise HarnessError("--alpha does not go with --curve, which is f(R) / (1 + R); leave one of them out")
    query = evolve(request.query, resources=None if request.weights is None else tuple(request.weights))
    write_curves(read_curves(source, query, None if curve == _EPOCHS else curve), format, output)
