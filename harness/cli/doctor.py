"""`harness doctor`: which meters and devices work here, and for each that does not, why and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import loaded, output_options, plugin_choice, plugin_options
from harness.tables import write_table

if TYPE_CHECKING:
    from harness.measuring.checking import Comparison
    from harness.plugins_loader import PluginChoice, Plugins

_CHECK_SECONDS = 2.0
_COLUMNS = ["kind", "name", "works", "what"]


@click.command(
    epilog="""\b
Examples:
  harness doctor
  harness doctor --check"""
)
@click.option("--check", is_flag=True, help="Run all meters for two seconds: do they agree, and what do they cost?")
@plugin_options
@output_options
def command(check: bool, plugin: tuple[str, ...], no_plugin: tuple[str, ...], format: str, output: Path | None) -> None:
    """Show which meters and devices work here; for each that does not, why and what to do."""
    choice = plugin_choice(plugin, no_plugin)
    plugins = loaded(choice)
    rows = [*_meters(plugins), *_plugins(plugins), _packages(), *_devices(choice), _start_method()]
    if check:
        rows += _checks(plugins)
    write_table(rows, _COLUMNS, format, output)


def _row(kind: str, name: str, works: bool, what: str | None) -> dict[str, Any]:
    return {"kind": kind, "name": name, "works": "yes" if works else "no", "what": what}


def _meters(plugins: Plugins) -> list[dict[str, Any]]:
    rows = []
    for name, entry in plugins.registry.meters.entries.items():
        reason = plugins.registry.meter_unavailable(name)
        rows.append(_row("meter", name, reason is None, reason or f"reads {', '.join(entry.value.resources)}"))
    return rows


def _checks(plugins: Plugins) -> list[dict[str, Any]]:
    """Return a row for each resource that several meters read: do they agree? And one for each meter's cost."""
    from harness.measuring.checking import check_meters

    comparisons, costs = check_meters(plugins.registry, _CHECK_SECONDS)
    rows = [_row("check", each.resource, each.agree, _compared(each)) for each in comparisons]
    return rows + [_row("cost", name, True, _cost(**cost)) for name, cost in costs.items()]


def _compared(comparison: Comparison) -> str:
    told = ", ".join(f"{r.meter} {r.value:.4g} ± {r.uncertainty:.2g} {r.unit}" for r in comparison.readings)
    verdict = "within" if comparison.agree else "more than"
    return f"{told}: {comparison.apart:.1%} apart, {verdict} their error bars"


def _cost(seconds: float | None, joules: float | None) -> str:
    energy = "" if joules is None else f" and {joules * 1e3:.2g} mJ"
    return f"{(seconds or 0.0) * 1e6:.3g} µs{energy} for a window of {_CHECK_SECONDS:g} s"


def _plugins(plugins: Plugins) -> list[dict[str, Any]]:
    return [
        _row("plugin", plugin.name, plugin.reason is None, plugin.reason or f"{plugin.distribution} {plugin.version}")
        for plugin in plugins.known.values()
        if plugin.reason is not None or plugin.distribution != "pepr-harness"
    ]


def _packages() -> dict[str, Any]:
    from harness.workers.preflight import missing_packages

    missing = missing_packages()
    what = (
        f"missing: {', '.join(missing)}; pip install 'pepr-harness[vision]'"
        if missing
        else "torch and timm are installed"
    )
    return _row("packages", "vision", not missing, what)


def _devices(choice: PluginChoice) -> list[dict[str, Any]]:
    from harness.environment import cpu_name, nvidia_cards

    cpu = _row("device", "cpu", True, f"{cpu_name()}, {os.cpu_count()} threads")
    names, reason = nvidia_cards()
    if reason is not None:
        hint = f"{reason}; install NVIDIA's driver if there is a card, else trials run on the CPU"
        return [cpu, _row("device", "cuda", False, hint)]
    if not _torch_uses_cuda(choice):
        hint = f"the driver sees {', '.join(names)}, but torch cannot use it; install a CUDA build of torch"
        return [cpu, _row("device", "cuda", False, hint)]
    return [cpu, _row("device", "cuda", True, ", ".join(names))]


def _torch_uses_cuda(choice: PluginChoice) -> bool:
    """Ask torch in a process of its own, which takes some seconds."""
    from harness.workers.local import LocalExecutor

    with LocalExecutor(choice, preload=()) as executor:
        return executor.call("harness.workers.preflight:find_device", b"") == b"cuda"


def _start_method() -> dict[str, Any]:
    from harness.workers.launcher import forkserver_unavailable

    reason = forkserver_unavailable()
    slow = f"{reason}; each trial starts a new interpreter, which takes seconds"
    return _row("workers", "forkserver", reason is None, slow if reason else "a trial starts in hundredths of a second")
