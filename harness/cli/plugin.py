"""`harness plugin`: the beginning of a plugin of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import loaded, plugin_choice
from harness.cli.plugin_package import KINDS, check_name, package_files, write_package
from harness.errors import HarnessError


@click.group()
def command() -> None:
    """Begin a plugin of your own."""


@command.command(
    epilog="""\b
Examples:
  harness plugin new switches --kind meter
  harness plugin new my-net --kind model -o ~/src/harness-my-net"""
)
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), required=True, help="What the plugin brings.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Where to.  [default: harness-NAME]"
)
def new(name: str, kind: str, output: Path | None) -> None:
    """Write a small package that brings the meter, model, dataset, score or executor NAME.

    It holds code to change, tests that keep it to its contract, a README and a workflow for GitHub Actions; it installs
    and passes its tests as it is. Nothing that is there already is overwritten.
    """
    check_name(name, kind)
    _refuse_taken(name, kind)
    folder = output or Path(f"harness-{name}")
    write_package(folder, package_files(name, kind))
    click.echo(str(folder))
    click.echo(f"next: cd {folder} && pip install '.[test]' && pytest && harness list {kind}s {name}", err=True)


def _refuse_taken(name: str, kind: str) -> None:
    """Raise HarnessError where a plugin or a thing of that kind bears *name*: two of one name cannot be installed."""
    plugins = loaded(plugin_choice((), ()))
    if name in plugins.known:
        raise HarnessError(f"there is a plugin {plugins.known[name]} already; choose another name")
    entries = getattr(plugins.registry, f"{kind}s").entries
    if name in entries:
        owner = plugins.known.get(entries[name].plugin, entries[name].plugin)
        raise HarnessError(f"the {kind} {name!r} is there already, from plugin {owner}; choose another name")
