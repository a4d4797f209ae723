"""`harness doctor`: which meters and devices work here, and for each that does not, why and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import loaded, output_options, plugin_choice, plugin_options
from harness.tables import write_table

if TYPE_CHECKING:
    from harness.plugins_loader import Plugins

_COLUMNS = ["kind", "name", "works", "what"]


@click.command()
@plugin_options
@output_options
def command(plugin: tuple[str, ...], no_plugin: tuple[str, ...], format: str, output: Path | None) -> None:
    """Show which meters and devices work here; for each that does not, why and what to do."""
    plugins = loaded(plugin_choice(plugin, no_plugin))
    rows = [*_meters(plugins), *_plugins(plugins), _packages(), *_devices(), _start_method()]
    write_table(rows, _COLUMNS, format, output)


def _row(kind: str, name: str, works: bool, what: str | None) -> dict[str, Any]:
    return {"kind": kind, "name": name, "works": "yes" if works else "no", "what": what}


def _meters(plugins: Plugins) -> list[dict[str, Any]]:
    rows = []
    for name, entry in plugins.registry.meters.entries.items():
        reason = plugins.registry.meter_unavailable(name)
        rows.append(_row("meter", name, reason is None, reason or f"reads {', '.join(entry.value.resources)}"))
    return rows


def _plugins(plugins: Plugins) -> list[dict[str, Any]]:
    return [
        _row("plugin", plugin.name, plugin.reason is None, plugin.reason or f"{plugin.distribution} {plugin.version}")
        for plugin in plugins.known.values()
        if plugin.reason is not None or plugin.distribution != "pepr-harness"
    ]


def _packages() -> dict[str, Any]:
    from harness.preflight import missing_packages

    missing = missing_packages()
    what = (
        f"missing: {', '.join(missing)}; pip install 'pepr-harness[vision]'"
        if missing
        else "torch and timm are installed"
    )
    return _row("packages", "vision", not missing, what)


def _devices() -> list[dict[str, Any]]:
    from harness.environment import cpu_name

    cpu = _row("device", "cpu", True, f"{cpu_name()}, {os.cpu_count()} threads")
    names, reason = _nvidia_cards()
    hint = f"{reason}; install NVIDIA's driver if there is a card, else trials run on the CPU"
    return [cpu, _row("device", "cuda", not reason, hint if reason else ", ".join(names))]


def _nvidia_cards() -> tuple[list[str], str | None]:
    """Return the names of the NVIDIA cards that the driver tells of, or why there are none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        names = [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return [], f"no NVIDIA driver answers ({error})"
    return names, None if names else "the NVIDIA driver sees no card"


def _start_method() -> dict[str, Any]:
    from harness.launcher import forkserver_unavailable

    reason = forkserver_unavailable()
    slow = f"{reason}; each trial starts a new interpreter, which takes seconds"
    return _row("workers", "forkserver", reason is None, slow if reason else "a trial starts in hundredths of a second")
