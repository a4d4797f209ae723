"""The options that `score` and `select` share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import evolve

from harness.cli.options import Number
from harness.errors import HarnessError
from harness.records import PHASES

if TYPE_CHECKING:
    from harness.plugins_loader import Plugins
    from harness.scoring.ranking import Request
    from harness.scoring.reducer import Reducer
    from harness.sources.table import Query

_Command = TypeVar("_Command", bound=Callable[..., Any])
# As in pepr.NORMALIZATIONS, which costs an import of numpy.
NORMALIZATIONS = ("minmax", "max", "robust")


def source_options(command: _Command) -> _Command:
    """Add the source and what says how to read and score it."""
    for option in reversed(_SOURCE_OPTIONS):
        command = option(command)
    return command


def score_option(command: _Command) -> _Command:
    """Add --score."""
    return click.option(
        "--score", metavar="NAME", help="A score of a plugin (`harness list scores`).  [default: pepr]"
    )(command)


def chosen_reducer(name: str, plugins: Plugins) -> Reducer:
    """Return the score *name*. Raises HarnessError for one that no plugin brings."""
    from harness.scoring.reducer import Reducer

    function = plugins.registry.scores.get(name)
    return Reducer(name, plugins.describe(plugins.registry.scores.entries[name].plugin), function)


def score_request(
    options: Mapping[str, Any], *, pareto: bool = False, stability: bool = False, reducer: Reducer | None = None
) -> Request:
    """Return the request that the *options* of `source_options` make. Raises HarnessError for a wrong value."""
    from harness.scoring.ranking import Request

    return Request(
        query=evolve(
            source_query(options),
            phase=options["phase"],
            carbon_intensity=options["carbon_intensity"],
            pue=options["pue"],
        ),
        weights=parse_weights(options["resource"]),
        alpha=options["alpha"],
        normalization=options["normalize"],
        bounds=options["bounds"],
        pareto=pareto,
        stability=stability,
        reducer=reducer,
    )


def source_query(options: Mapping[str, Any]) -> Query:
    """Return how the columns of a source are to be read. Raises HarnessError for a wrong value."""
    from harness.sources.table import Query

    return Query(
        id=options["id"],
        group=tuple(options["group"]),
        performance=options["performance"],
        performance_range=parse_range(options["performance_range"]),
        units=parse_pairs(options["unit"], "--unit", "energy=kWh"),
        delimiter=options["delimiter"],
    )


def parse_weights(texts: tuple[str, ...]) -> dict[str, float] | None:
    """Return the weights that `NAME` and `NAME=WEIGHT` give, None if there are none."""
    weights: dict[str, float] = {}
    for text in texts:
        name, weight = text.rsplit("=", 1) if "=" in text else (text, "1")
        if name in weights:
            raise HarnessError(f"--resource {name} is given twice; name it once")
        weights[name] = _number(weight, f"--resource {text}", "NAME or NAME=WEIGHT")
    return weights or None


def parse_pairs(texts: tuple[str, ...], option: str, example: str) -> dict[str, str]:
    """Return the NAME=VALUE pairs in *texts*. Raises HarnessError for one that is none, or a name given twice."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise HarnessError(f"{option} {text!r} must be NAME=VALUE, such as {example}")
        if name in pairs:
            raise HarnessError(f"{option} names {name!r} twice; name it once")
        pairs[name] = value
    return pairs


def parse_range(text: str | None) -> tuple[float, float] | None:
    """Return the two ends of "0..100"."""
    if text is None:
        return None
    low, *rest = re.split(r"\s*(?:\.\.|[,:])\s*|\s+", text.strip())
    ends = [_number(end, f"--performance-range {text!r}", "LOW..HIGH, such as 0..100") for end in (low, *rest)]
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise HarnessError(f"--performance-range {text!r} must be LOW..HIGH, such as 0..100")
    return ends[0], ends[1]


def _number(text: str, what: str, form: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise HarnessError(f"{what} must be {form}; {text!r} is no number")
    return number


_SOURCE_OPTIONS = (
    click.argument("source", type=click.Path(path_type=Path)),
    click.option(
        "--resource", multiple=True, metavar="NAME[=WEIGHT]", help="A resource or letter to score by. Repeatable."
    ),
    click.option("--performance", metavar="COLUMN", help="The column of performance (CSV, Parquet)."),
    click.option(
        "--performance-range", metavar="LOW..HIGH", help="What 0 and 1 are in that column: 0..100 for percent."
    ),
    click.option("--id", metavar="COLUMN", help="The column that names the rows (CSV, Parquet)."),
    click.option("--group", multiple=True, metavar="COLUMN", help="What is normalised together. Repeatable."),
    click.option("--normalize", type=click.Choice(NORMALIZATIONS), help="How costs are normalised.  [default: minmax]"),
    click.option(
        "--alpha", type=float, default=1.0, show_default=True, help="From 1 up: the larger, the less costs count."
    ),
    click.option(
        "--bounds", type=click.Path(path_type=Path), help="Normalise by the bounds in this JSON of an earlier score."
    ),
    click.option(
        "--phase", type=click.Choice(PHASES), default="train", show_default=True, help="Which costs to count."
    ),
    click.option("--unit", multiple=True, metavar="COLUMN=UNIT", help="The unit of a column. Repeatable."),
    click.option("--delimiter", metavar="CHARACTER", help="What separates the columns of a CSV.  [default: ,]"),
    click.option(
        "--carbon-intensity",
        type=Number(min=0),
        metavar="G_PER_KWH",
        help="Compute carbon from energy with it.",
    ),
    click.option("--pue", type=Number(min=1), help="Power usage effectiveness, for carbon."),
)
