"""`harness list`: what is registered, and by whom."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import loaded, output_options, plugin_choice, plugin_options
from harness.errors import HarnessError, unknown
from harness.output_file import write_file
from harness.tables import render_json, write_table

if TYPE_CHECKING:
    from harness.plugins_loader import Plugins

_COLUMNS = {
    "models": ["name", "parameters", "tags", "weights", "image_sizes", "plugin", "note"],
    "datasets": ["name", "task", "num_classes", "in_chans", "splits", "default_image_size", "plugin", "note"],
    "meters": ["name", "resources", "available", "reason", "plugin"],
    "executors": ["name", "plugin"],
    "scores": ["name", "plugin"],
    "plugins": ["name", "distribution", "version", "enabled", "reason", "registers", "hooks"],
}


@click.command(
    epilog="""\b
Examples:
  harness list models --tag efficient
  harness list models 'resnet*' --format json
  harness list meters"""
)
@click.argument("kind", type=click.Choice(list(_COLUMNS)))
@click.argument("pattern", nargs=-1)
@click.option("--tag", multiple=True, help="Models that bear this tag; repeatable: all of them.")
@plugin_options
@output_options
def command(
    kind: str,
    pattern: tuple[str, ...],
    tag: tuple[str, ...],
    plugin: tuple[str, ...],
    no_plugin: tuple[str, ...],
    format: str,
    output: Path | None,
) -> None:
    """List what is registered, and by whom; PATTERN is a name or a glob."""
    if tag and kind != "models":
        raise HarnessError(f"--tag chooses models; {kind} have no tags")

    rows = _ROWS[kind](loaded(plugin_choice(plugin, no_plugin)))
    chosen = [row for row in rows if _wanted(row, pattern, tag)]
    if not chosen and (pattern or tag):
        _refuse(kind, rows, pattern, tag)
    if format == "table":
        chosen = [_shortened(row) for row in chosen]
    if format != "json":
        return write_table(chosen, _shown(kind, chosen, format), format, output)
    text = render_json({"schema": "harness.list/1", "rows": chosen})
    return click.echo(text) if output is None else write_file(output, text.encode())


def _refuse(kind: str, rows: list[dict[str, Any]], patterns: tuple[str, ...], tags: tuple[str, ...]) -> None:
    """Raise HarnessError for names or tags that nothing bears."""
    known = {tag for row in rows for tag in row.get("tags", ())}
    for tag in tags:
        if tag not in known:
            raise unknown("tag", tag, known)
    if patterns:
        raise unknown(kind.removesuffix("s"), patterns[0], [row["name"] for row in rows])
    raise HarnessError(f"no model bears all of the tags {', '.join(tags)}; `harness list models` shows each model's")


def _wanted(row: dict[str, Any], patterns: tuple[str, ...], tags: tuple[str, ...]) -> bool:
    named = not patterns or any(fnmatchcase(row["name"], pattern) for pattern in patterns)
    return named and set(tags) <= set(row.get("tags", ()))


def _shown(kind: str, rows: list[dict[str, Any]], format: str) -> list[str]:
    """Return the columns; a table for people leaves out those that hold nothing."""
    return [
        column
        for column in _COLUMNS[kind]
        if format != "table" or any(row.get(column) not in (None, ()) for row in rows)
    ]


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    """Return *row* for people: of many things of one kind that a plugin registers, their number."""
    names: dict[str, list[str]] = {}
    for registered in row.get("registers", ()):
        names.setdefault(registered.partition(" ")[0], []).append(registered)
    told = [part for kind, each in names.items() for part in (each if len(each) <= 3 else [f"{len(each)} {kind}s"])]
    return row | {"registers": told} if names else row


def _models(plugins: Plugins) -> list[dict[str, Any]]:
    return [
        {
            "name": entry.name,
            "parameters": entry.value.parameters,
            "tags": entry.value.tags,
            "weights": getattr(entry.value.create, "weights_tag", None),
            "image_sizes": str(entry.value.image_sizes) if entry.value.image_sizes is not None else None,
            "plugin": entry.plugin,
            "note": entry.value.note,
        }
        for entry in plugins.registry.models.entries.values()
    ]


def _datasets(plugins: Plugins) -> list[dict[str, Any]]:
    fields = ("task", "num_classes", "in_chans", "splits", "image_sizes", "default_image_size", "note")
    return [
        {"name": entry.name, "plugin": entry.plugin} | {field: getattr(entry.value, field) for field in fields}
        for entry in plugins.registry.datasets.entries.values()
    ]


def _meters(plugins: Plugins) -> list[dict[str, Any]]:
    rows = []
    for entry in plugins.registry.meters.entries.values():
        reason = plugins.registry.meter_unavailable(entry.name)
        about = {"resources": entry.value.resources, "available": reason is None, "reason": reason}
        rows.append({"name": entry.name, "plugin": entry.plugin} | about)
    return rows


def _executors(plugins: Plugins) -> list[dict[str, Any]]:
    return [{"name": entry.name, "plugin": entry.plugin} for entry in plugins.registry.executors.entries.values()]


def _scores(plugins: Plugins) -> list[dict[str, Any]]:
    return [{"name": entry.name, "plugin": entry.plugin} for entry in plugins.registry.scores.entries.values()]


def _plugins(plugins: Plugins) -> list[dict[str, Any]]:
    return [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "enabled": plugin.reason is None,
            "reason": plugins.why_not(plugin.name),
            "registers": plugins.registered_by(plugin.name),
            "hooks": plugins.hooks_of(plugin.name),
        }
        for plugin in plugins.known.values()
    ]


_ROWS: dict[str, Callable[[Plugins], list[dict[str, Any]]]] = {
    "models": _models,
    "datasets": _datasets,
    "meters": _meters,
    "executors": _executors,
    "scores": _scores,
    "plugins": _plugins,
}
