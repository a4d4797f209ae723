"""The options for meters, which `run` and `measure` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from harness.cli.options import Duration, Number

F = TypeVar("F", bound=Callable[..., Any])

# What --carbon-live loads; nothing else of the harness asks the network for an intensity.
LIVE_PLUGIN = "harness.plugins.carbon_live"

_OPTIONS = (
    click.option(
        "--sharp/--no-sharp",
        default=True,
        help="Place edges within a counter's step, for up to 0.1 s before and after what is metered.",
    ),
    click.option(
        "--sample-period",
        type=Duration(),
        metavar="DURATION",
        help="Of power, where there is no energy counter.  [default: 50ms]",
    ),
    click.option(
        "--cpu-watts",
        type=Number(min=0, min_open=True),
        metavar="W",
        help="What one busy core takes, for cpu-estimate.",
    ),
    click.option("--location", metavar="CODE", help="Where the electricity is from, such as DK or US-CA, for carbon."),
    click.option("--carbon-intensity", type=Number(min=0), metavar="G_PER_KWH", help="Of the electricity, for carbon."),
    click.option(
        "--carbon-live", is_flag=True, help="Ask Electricity Maps or the UK's Carbon Intensity API over the network."
    ),
    click.option("--pue", type=Number(min=1), default=1.0, help="Power usage effectiveness, for carbon."),
)


def meter_options(command: F) -> F:
    """Add what meters can be told."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def with_live_carbon(plugins: tuple[str, ...], live: bool) -> tuple[str, ...]:
    """Return the *plugins* to load, with the one that asks the network where that is allowed."""
    return (*plugins, LIVE_PLUGIN) if live else plugins
