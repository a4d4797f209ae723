"""`harness run`: fine-tune, meter and rank models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.meter_options import meter_options, with_live_carbon
from harness.cli.options import Duration, loaded, output_options, plugin_choice, plugin_options, read_text
from harness.cli.score_options import chosen_reducer, parse_pairs, score_option
from harness.errors import HarnessError, unknown
from harness.meter import RESOURCE_UNITS
from harness.protocol import PEPR, PROTOCOLS
from harness.study import PRECISIONS, Study
from harness.study_file import Option, parse_study
from harness.training.metrics import METRICS

if TYPE_CHECKING:
    from harness.plugins_loader import Plugins
    from harness.scoring.reducer import Reducer


def _read_study_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Make the file's values the defaults of the other options, so that options and environment go before them."""
    if path is None:
        return None

    options = {name: option for parameter in ctx.command.params for name, option in _file_options(parameter)}
    found = parse_study(read_text(path), str(path), options)
    if "scratch" in found:
        found["pretrained"] = not found.pop("scratch")
    ctx.default_map = found
    return path


def _file_options(parameter: click.Parameter) -> Iterator[tuple[str, Option]]:
    """Yield the keys that a study file may use for *parameter*: its own, and `scratch` beside `pretrained`."""
    if not isinstance(parameter, click.Option) or parameter.name is None:
        return
    kinds = {click.types.BoolParamType: "flag", click.IntRange: "whole", click.FloatRange: "number"}
    kind = next((word for type_, word in kinds.items() if isinstance(parameter.type, type_)), "text")
    yield parameter.name, Option(kind, parameter.multiple)
    if parameter.name == "pretrained":
        yield "scratch", Option("flag")


@click.command(
    # HARNESS_EPOCHS rather than HARNESS_RUN_EPOCHS.
    context_settings={"auto_envvar_prefix": "HARNESS", "show_default": True},
    epilog="""\b
Examples:
  harness run --model resnet18d --model dla46_c --dataset digits --scratch --epochs 3
  harness run --model 'tag:efficient' --dataset digits --meter time --meter memory
  harness run study.toml --seed 1 --seed 2 --seed 3""",
)
@click.argument("study_file", required=False, is_eager=True, callback=_read_study_file, type=click.Path(path_type=Path))
@click.option("--model", multiple=True, metavar="PATTERN", help="A name, a glob, tag:NAME or timm:NAME; repeatable.")
@click.option("--dataset", multiple=True, metavar="NAME", help="A name, folder:PATH or npz:PATH; repeatable.")
@click.option(
    "--meter", multiple=True, default=["auto"], metavar="NAME", help="A meter; repeatable. auto: what works here."
)
@click.option(
    "--store", type=click.Path(path_type=Path), default=Path("harness.sqlite"), help="Where results are kept."
)
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    help="pepr: the paper's, which is the defaults here with images of 256 pixels. Options beside it win.",
)
@click.option("--pretrained/--scratch", default=True, help="Start from published weights, or from random ones.")
@click.option("--epochs", type=click.IntRange(min=1), default=PEPR.epochs)
@click.option("--batch-size", type=click.IntRange(min=1), default=PEPR.batch_size)
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), default=PEPR.lr, help="Learning rate of Adam.")
@click.option("--image-size", type=click.IntRange(min=1), help="Pixels.  [default: the protocol's or dataset's]")
@click.option(
    "--resize-to-model", is_flag=True, help="Where a model cannot take the image size: the nearest that it takes."
)
@click.option(
    "--train-fraction", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Of the training images."
)
@click.option("--stratified/--not-stratified", default=False, help="Draw that fraction of each class.")
@click.option("--precision", type=click.Choice(PRECISIONS), default=PEPR.precision, help="fp16 is for CUDA.")
@click.option("--compile/--no-compile", default=False, help="Train with torch.compile, metered with the training.")
@click.option(
    "--metric", type=click.Choice(METRICS), default=METRICS[0], help="The performance to rank by; all are stored."
)
@click.option(
    "--seed", multiple=True, type=click.IntRange(min=0), default=[PEPR.seed], help="Repeatable: one trial for each."
)
@click.option("--device", type=click.Choice(["cuda", "cpu"]), help="[default: cuda where there is one]")
@click.option("--executor", default="local", metavar="NAME", help="Where trials run.")
@click.option("--timeout", type=Duration(), metavar="DURATION", help="For each trial, such as 30m.")
@meter_options
@click.option("--baseline", type=Duration(), metavar="DURATION", help="Meter the idle power so long before each trial.")
@score_option
@click.option("--budget", multiple=True, metavar="NAME=QUANTITY", help="Show only what fits, such as memory=1GiB.")
@click.option("--force", is_flag=True, help="Run finished trials again.")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where datasets' files are.")
@click.option(
    "--weights-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where NAME.safetensors, .pth or .pt files are.",
)
@click.option("--download", is_flag=True, help="Allow datasets to be downloaded, --dry-run included.")
@click.option("--dry-run", is_flag=True, help="Check and print the plan; run nothing.")
@plugin_options
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    score: str | None,
    budget: tuple[str, ...],
    dry_run: bool,
    format: str,
    output: Path | None,
    **options: Any,
) -> None:
    """Fine-tune, meter and rank models.

    Every trial runs in a process of its own and is stored when it ends. Finished trials are not run again: the same
    command a second time prints the same table. STUDY_FILE is TOML with any of these options, such as
    `batch-size = 16`; an option goes before its environment variable (HARNESS_BATCH_SIZE), that before the file.
    """
    study = _study(options)
    plugins = loaded(study.plugins)
    budgets = _budgets(budget, plugins)
    reducer = None if score is None else chosen_reducer(score, plugins)
    if budgets and reducer is not None:
        raise HarnessError("--budget does not go with --score; leave one of them out")
    if dry_run:
        _print_plan(study, plugins, format, output)
        return

    from harness.auditing.announce import announce
    from harness.progress import Progress
    from harness.runner import run_study

    result = run_study(study, plugins, Progress())
    keys = [trial.key for trial in result.trials]
    _print_ranking(study, keys, budgets, reducer, format, output)
    announce(study.store, keys)
    ctx.exit(result.exit_code)


def _study(options: dict[str, Any]) -> Study:
    names = {"model": "models", "dataset": "datasets", "meter": "meters", "seed": "seeds"}
    wanted = with_live_carbon(options.pop("plugin"), options.pop("carbon_live"))
    choice = plugin_choice(wanted, options.pop("no_plugin"))
    options["weights"] = "pretrained" if options.pop("pretrained") else "scratch"
    del options["study_file"]
    return Study(**{names.get(name, name): value for name, value in options.items()}, plugins=choice)


def _print_plan(study: Study, plugins: Plugins, format: str, output: Path | None) -> None:
    from harness.progress import Progress
    from harness.runner import plan_study
    from harness.tables import write_table

    plan = plan_study(study, plugins, Progress())
    columns = ["trial", "model", "dataset", "seed", "weights", "image_size", "epochs", "device", "plan"]
    rows = [
        {
            "trial": trial.key,
            "model": trial.model,
            "dataset": trial.dataset,
            "seed": trial.seed,
            "weights": trial.setting.weights,
            "image_size": trial.setting.image_size,
            "epochs": trial.setting.epochs,
            "device": trial.setting.device,
            "plan": f"run: {plan.to_run[trial.key]}" if trial.key in plan.to_run else "finished",
        }
        for trial in plan.trials
    ]
    write_table(rows, columns, format, output, title=f"meters: {', '.join(plan.meters)}")


def _budgets(texts: tuple[str, ...], plugins: Plugins) -> dict[str, str]:
    """Return resource -> limit, checked as far as it can be before anything has run."""
    if not texts:
        return {}

    from harness.quantities import LETTERS, parse_quantity

    budgets = parse_pairs(texts, "--budget", "energy=30Wh")
    read = {resource for entry in plugins.registry.meters.entries.values() for resource in entry.value.resources}
    for name, text in budgets.items():
        resource = LETTERS.get(name, name)
        if resource not in read | RESOURCE_UNITS.keys():
            raise unknown("resource", name, read | RESOURCE_UNITS.keys())
        if resource in RESOURCE_UNITS:
            parse_quantity(text, RESOURCE_UNITS[resource])
    return budgets


def _print_ranking(
    study: Study,
    keys: Sequence[str],
    budgets: dict[str, str],
    reducer: Reducer | None,
    format: str,
    output: Path | None,
) -> None:
    """Rank the trials of this study, all or those that fit; others in the store stay out of it."""
    from harness.scoring.ranking import Request, rank
    from harness.scoring.selecting import select, write_selection
    from harness.sources.table import Query

    # The performance of a plugin's own task has no other name.
    metric = None if study.metric == METRICS[0] else study.metric
    request = Request(Query(trials=keys, performance=metric), reducer=reducer)
    if budgets:
        write_selection(select(study.store, budgets, request), format, output)
    else:
        rank(study.store, request, format=format, output=output, strict=False)
