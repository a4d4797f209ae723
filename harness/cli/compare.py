"""`harness compare`: groups of models, or two runs of the same trials, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.no_collection import no_collection
from harness.cli.options import loaded, output_options, plugin_choice, plugin_options
from harness.cli.score_options import score_request, source_options
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.scoring.ranking import Request

# As in comparing.group_tests.TESTS, which costs an import of numpy.
TESTS = ("auto", "welch", "student", "mann-whitney", "paired", "wilcoxon")
_OF_GROUPS = ("between", "at", "over", "test")
_OF_RUNS = ("fail_if", "strict")


@click.command(
    epilog="""\b
Examples:
  harness compare harness.sqlite --by weights
  harness compare harness.sqlite --by tag:small
  harness compare harness.sqlite --by train_fraction --between 1 0.1
  harness compare results.csv --by parameters --at median
  harness compare main.sqlite branch.sqlite
  harness compare main.sqlite branch.sqlite --fail-if "energy>5%" --fail-if "accuracy<-1%" """
)
@source_options
@click.argument("other", required=False, type=click.Path(path_type=Path))
@click.option("--by", metavar="COLUMN", help="What makes the two groups: a column, tag:NAME, or a store's parameters.")
@click.option("--between", nargs=2, metavar="A B", help="The two values; several of one side as A1,A2.")
@click.option("--at", metavar="median|NUMBER", help="Cut a column of numbers in two.")
@click.option("--over", multiple=True, metavar="COLUMN", help="Average each model over it first. Repeatable.")
@click.option("--test", type=click.Choice(TESTS), help="Which p is corrected over all questions.  [default: auto]")
@click.option(
    "--fail-if",
    multiple=True,
    metavar="THRESHOLD",
    help="Exit with 1 if NAME changed by more: energy>5%, accuracy<-0.01, memory>10MiB. Repeatable.",
)
@click.option("--strict", is_flag=True, help="Judge the change alone, whatever its interval and error bars.")
@plugin_options
@output_options
@click.pass_context
@no_collection()
def command(
    ctx: click.Context, /, source: Path, other: Path | None, format: str, output: Path | None, **options: Any
) -> None:
    """Compare groups of models in SOURCE, or the run SOURCE with the run OTHER.

    With --by, each measure (performance, resources, PePR) is tested in each dataset: t tests, Mann-Whitney and, where
    models are in both groups, paired tests; with intervals, effect sizes, and p corrected over all questions.

    With OTHER, each trial is compared with the same trial of the other run. A threshold is broken, and the exit code 1,
    only where the change lies beyond its interval over seeds and the error bars of its readings. A change in % is
    relative: an accuracy from 0.80 to 0.79 changed by -1.25%, or by -0.01.
    """
    request = score_request(options)
    if other is None:
        return _compare_groups(source, request, format, output, options)
    _refuse(options, ("by", *_OF_GROUPS), "is for groups within one source; leave it, or the second source, out")
    if options["strict"] and not options["fail_if"]:
        raise HarnessError("--strict says how thresholds are judged; add one with --fail-if")
    from harness.comparing.run_report import broken_lines, unsure_lines, write_runs
    from harness.comparing.runs import compare_runs
    from harness.comparing.thresholds import parse_threshold

    thresholds = [parse_threshold(text) for text in options["fail_if"]]
    comparison = compare_runs(source, other, request, thresholds, strict=options["strict"])
    _tell((*comparison.differences, *comparison.warnings))
    write_runs(comparison, format, output)
    _tell(unsure_lines(comparison))
    for line in broken_lines(comparison):
        click.echo(f"harness: {line}", err=True)
    if comparison.broken:
        ctx.exit(1)
    return None


def _compare_groups(
    source: Path, request: Request, format: str, output: Path | None, options: Mapping[str, Any]
) -> None:
    if options["by"] is None:
        raise HarnessError("compare what? name the groups with --by COLUMN, or a second run after the first")
    _refuse(options, _OF_RUNS, "is for two runs; name the second one after the first")
    if options["at"] and options["between"]:
        raise HarnessError("--at and --between both say what the groups are; leave one of them out")
    registry = loaded(plugin_choice(options["plugin"], options["no_plugin"])).registry
    from harness.comparing.group_report import write_comparison
    from harness.comparing.groups import compare_groups
    from harness.comparing.sides import Question

    question = Question(options["by"], options["between"] or None, options["at"], tuple(options["over"]))
    comparison = compare_groups(source, request, question, registry, options["test"] or TESTS[0])
    _tell(comparison.warnings)
    write_comparison(comparison, format, output)


def _refuse(options: Mapping[str, Any], names: Iterable[str], why: str) -> None:
    for name in names:
        if options[name]:
            raise HarnessError(f"--{name.replace('_', '-')} {why}")


def _tell(warnings: Iterable[str]) -> None:
    for text in warnings:
        click.echo(f"harness: warning: {text}", err=True)
