"""Options and parameter types that several commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.errors import HarnessError
from harness.tables import FORMATS

if TYPE_CHECKING:
    from harness.plugins_loader import PluginChoice, Plugins

F = TypeVar("F", bound=Callable[..., Any])

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h)?", re.ASCII)
_LONGEST = 366 * 86400
_SECONDS = {None: 1, "ms": 1e-3, "s": 1, "m": 60, "min": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """A length of time such as 90, 50ms, 90s, 30m or 2h, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = _DURATION.fullmatch(str(value).strip())
        seconds = float(match[1]) * _SECONDS[match[2]] if match is not None else 0.0
        if not 0 < seconds <= _LONGEST:
            self.fail(f"{value!r} is no duration; write 90s, 30m or 2h", param, ctx)
        return seconds


class Number(click.FloatRange):
    """A number from *min* up that is one: `nan` and `inf` pass every comparison of a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number that can be counted with", param, ctx)
        return number


def plugin_options(command: F) -> F:
    """Add --plugin and --no-plugin."""
    command = click.option(
        "--no-plugin", multiple=True, metavar="NAME", help="Leave out a plugin; it is not imported."
    )(command)
    return click.option("--plugin", multiple=True, metavar="NAME", help="Load a module or installed plugin too.")(
        command
    )


def output_options(command: F) -> F:
    """Add --format and -o/--output."""
    command = click.option(
        "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file instead of stdout."
    )(command)
    return click.option("--format", type=click.Choice(FORMATS), default="table", show_default=True)(command)


def plugin_choice(plugin: tuple[str, ...], no_plugin: tuple[str, ...]) -> PluginChoice:
    """Return the choice that the options and the environment make."""
    from harness.plugins_loader import PluginChoice

    return PluginChoice.from_environment(plugin, no_plugin)


def loaded(choice: PluginChoice) -> Plugins:
    """Return the plugins of *choice*; what went wrong is told on stderr, a line each."""
    from harness.plugins_loader import load_plugins

    return load_plugins(choice, on_fault=lambda fault: click.echo(f"harness: {fault}", err=True))


def read_text(path: Path) -> str:
    """Return the text of *path*; raises HarnessError where it cannot be read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise HarnessError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise HarnessError(f"{str(path)!r} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
