"""`harness data`: where datasets' files are expected, whether they are right, and how to make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.cli.options import loaded, output_options, plugin_choice, plugin_options
from harness.errors import HarnessError, told, unknown
from harness.output_file import write_file
from harness.registry import Registry
from harness.specs import DatasetFiles, DatasetSpec, Finding
from harness.tables import render_json, write_table

F = TypeVar("F", bound=Callable[..., Any])
Rows = list[dict[str, Any]]

_LISTED = ["dataset", "file", "present", "bytes"]
_FOUND = ["dataset", "file", "right", "finding"]

_data_dir = click.option(
    "--data-dir",
    envvar="HARNESS_DATA_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where datasets' files are.  [default: the user's data folder]",
)


@click.group(
    epilog="""\b
Examples:
  harness data list
  harness data prepare lidc --from data_lidc.pickle
  harness data verify lidc"""
)
def command() -> None:
    """Tell where datasets' files are expected and whether they are right, and make them from archives."""


def _options(function: F) -> F:
    return _data_dir(plugin_options(output_options(function)))


@command.command("list")
@click.argument("pattern", nargs=-1)
@_options
def list_files(pattern: tuple[str, ...], data_dir: Path | None, **options: Any) -> None:
    """List the files that datasets expect, and which are there; PATTERN is a name or a glob."""
    registry = _registry(options)
    specs = _matching(registry, pattern) if pattern else [entry.value for entry in registry.datasets.entries.values()]
    _write([row for spec in specs for row in _expected(spec, data_dir)], _LISTED, options)


@command.command()
@click.argument("name")
@_options
@click.pass_context
def verify(ctx: click.Context, /, name: str, data_dir: Path | None, **options: Any) -> None:
    """Tell what is right and wrong with the files of the dataset NAME; ends with 1 where something is wrong."""
    files = _files(_registry(options), name)
    rows = _findings(name, lambda: files.verify(data_dir))
    _write(rows, _FOUND, options)
    ctx.exit(0 if all(row["right"] for row in rows) else 1)


@command.command()
@click.argument("name")
@click.option("--from", "source", required=True, type=click.Path(path_type=Path), help="The archive to convert.")
@_options
def prepare(name: str, source: Path, data_dir: Path | None, **options: Any) -> None:
    """Make the files of the dataset NAME from an archive, whole or not at all, and tell what they hold."""
    make = _files(_registry(options), name).prepare
    if make is None:
        raise HarnessError(f"dataset {name!r} is not made from an archive; `harness data list {name}` shows its files")
    click.echo(f"harness: reading {source}", err=True)
    _write(_findings(name, lambda: make(source, data_dir)), _FOUND, options)


def _registry(options: dict[str, Any]) -> Registry:
    return loaded(plugin_choice(options["plugin"], options["no_plugin"])).registry


def _matching(registry: Registry, patterns: tuple[str, ...]) -> Iterator[DatasetSpec]:
    """Yield the datasets that *patterns* mean, a glob or a name; raises HarnessError where one means none."""
    names = list(registry.datasets.entries)
    for pattern in patterns:
        if not any(sign in pattern for sign in "*?["):
            yield registry.dataset(pattern)
            continue
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise unknown("dataset", pattern, names)
        yield from map(registry.dataset, found)


def _expected(spec: DatasetSpec, root: Path | None) -> Iterator[dict[str, Any]]:
    """Yield a row for each file of *spec*; one without a file where it tells of none."""
    files = spec.files.expected(root) if spec.files is not None else ()
    if not files:
        yield {"dataset": spec.name, "file": None, "present": None, "bytes": None}
    for file in files:
        size = file.stat().st_size if file.is_file() else None  # a folder of images has none
        yield {"dataset": spec.name, "file": str(file), "present": file.exists(), "bytes": size}


def _files(registry: Registry, name: str) -> DatasetFiles:
    files = registry.dataset(name).files
    if files is None:
        raise HarnessError(f"dataset {name!r} has no files that it tells of; `harness data list` shows which have")
    return files


def _findings(name: str, find: Callable[[], Iterable[Finding]]) -> Rows:
    """Return a row for each thing that *find* tells; raises HarnessError also where a plugin's own code fails."""
    try:
        return [
            {"dataset": name, "file": str(finding.file), "right": finding.right, "finding": finding.told}
            for finding in find()
        ]
    except HarnessError:
        raise
    except Exception as error:
        raise HarnessError(
            f"the plugin of dataset {name!r} failed: {told(error)}; `harness --debug` says where"
        ) from error


def _write(rows: Rows, columns: list[str], options: dict[str, Any]) -> None:
    format, output = options["format"], options["output"]
    if format != "json":
        return write_table(rows, columns, format, output)
    text = render_json({"schema": "harness.data/1", "rows": rows})
    return click.echo(text) if output is None else write_file(output, text.encode())
