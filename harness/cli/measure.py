"""`harness measure`: meter any command."""

from __future__ import annotations

import signal
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.meter_options import meter_options, with_live_carbon
from harness.cli.options import loaded, plugin_choice, plugin_options
from harness.errors import HarnessError
from harness.output_file import check_file

if TYPE_CHECKING:
    from harness.measuring.commands import MeteredCommand

# So that a failure of the harness is not taken for the command's own, as with env and timeout.
_FAILED = 125
_METER_OPTIONS = ("sample_period", "cpu_watts", "location", "carbon_intensity")


class _Wrapper(click.Command):
    """A command line whose mistakes exit with 125, and that wants `--` before the command to run."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*args, **options)
        except click.UsageError as error:
            error.exit_code = _FAILED  # type: ignore[misc]  # of the class, for click
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        command = ctx.params.get("command", ())
        if command and given[-len(command) - 1 : -len(command)] != ["--"]:
            raise click.UsageError(f"write -- before the command: harness measure -- {command[0]} ...", ctx)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HarnessError as error:
            error.exit_code = _FAILED
            raise


@click.command(
    cls=_Wrapper,
    context_settings={"auto_envvar_prefix": "HARNESS", "show_default": True, "allow_interspersed_args": False},
    epilog="""\b
Examples:
  harness measure -- python train.py
  harness measure --meter time --meter memory --output cost.json -- make -j4""",
)
@click.option(
    "--meter", multiple=True, default=["auto"], metavar="NAME", help="A meter; repeatable. auto: what works here."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write JSON to this file; print nothing.")
@meter_options
@plugin_options
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.pass_context
def command(ctx: click.Context, /, meter: tuple[str, ...], output: Path | None, **options: Any) -> None:
    """Meter any command: what it used is printed on stderr, or written as JSON.

    Input, output and exit code are the command's own; the exit code is 125 if the harness itself failed, 126 or 127 if
    the command cannot be run, 128 + n if signal n ended it.
    """
    if output is not None:
        check_file(output)
    ctx.exit(_measure(options.pop("command"), meter, output, options))


def _measure(words: tuple[str, ...], meters: tuple[str, ...], output: Path | None, options: dict[str, Any]) -> int:
    """Meter the command *words*, report, and return the exit code. A report is written whatever happens."""
    from harness.measuring.commands import Metering, meter_command
    from harness.measuring.passing_on import PassingOn

    wanted = with_live_carbon(options["plugin"], options["carbon_live"])
    registry = loaded(plugin_choice(wanted, options["no_plugin"])).registry
    given = {name: options[name] for name in _METER_OPTIONS if options[name] is not None}
    metering = Metering(meters, given, options["sharp"], options["pue"])
    with PassingOn() as passing:
        try:
            metered = meter_command(words, metering, registry, passing, _tell)
            _report(metered, output)
        except KeyboardInterrupt:
            code = 128 + (passing.signum or signal.SIGINT)
            return _report_failure(words, "interrupted while no command ran", code, output)
        except HarnessError:
            raise
        except Exception as error:
            traceback.print_exc()
            return _report_failure(words, f"{type(error).__name__}: {error}", _FAILED, output)
        return metered.exit_code


def _report(metered: MeteredCommand, output: Path | None) -> None:
    from harness.measuring.commands import write_document

    if metered.error is not None:
        _tell(metered.error)
    if output is not None:
        write_document(metered.document(), output)
    elif metered.error is None:
        click.echo(metered.summary(), err=True, nl=False)


def _report_failure(words: tuple[str, ...], error: str, code: int, output: Path | None) -> int:
    from harness.measuring.commands import failed_document, write_document

    _tell(error)
    if output is not None:
        write_document(failed_document(words, error, code), output)
    return code


def _tell(line: str) -> None:
    click.echo(f"harness: {line}", err=True)
