"""The command line: one short module per command, imported when that command is called.

A module `harness.cli.NAME` holds the click command `command`.
"""

from __future__ import annotations

import importlib
import keyword
from importlib import metadata

import click

import harness
from harness.errors import HarnessError

# name -> one line for `harness --help`, so that the list of commands imports none of them.
COMMANDS = {
    "run": "Fine-tune, meter and rank models.",
    "measure": "Meter any command.",
    "score": "PePR of a store or a table of readings.",
    "select": "The best models that fit a budget.",
    "compare": "Groups of models, or two runs, side by side; a gate for CI.",
    "audit": "Readings and metrics that cannot be right.",
    "import": "Put others' results into a store.",
    "data": "Whether datasets' files are there and right, and making them.",
    "list": "What is registered, and by whom.",
    "doctor": "Which meters and devices work here, and why others do not.",
    "plugin": "Begin a plugin of your own.",
    "export": "Write a store's trials, epochs or readings to a file.",
}


class _LazyGroup(click.Group):
    """A group whose commands' modules are imported only when they are called."""

    _asked = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._add_plugins_commands()
        return [*COMMANDS, *sorted(self.commands)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            self._add_plugins_commands()
            return self.commands.get(name)

        # import.py could not be imported.
        module = f"{name}_" if keyword.iskeyword(name) else name
        command: click.Command = importlib.import_module(f"harness.cli.{module}").command
        return command

    def _add_plugins_commands(self) -> None:
        """Ask the plugins for their commands, once; a built-in command is found without."""
        if self._asked:
            return

        self._asked = True
        if not metadata.entry_points(group="harness"):
            return  # the built-in plugins add none

        from harness.cli.options import loaded, plugin_choice

        try:
            plugins = loaded(plugin_choice((), ()))
        except HarnessError as error:
            # The help and the built-in commands are there whatever is wrong with plugins.
            click.echo(f"harness: {error}", err=True)
            return
        taken: dict[str, click.Command] = {}
        for name, _ in plugins.call_each("harness_add_commands", cli=self):
            for command in self.commands.keys() & (COMMANDS.keys() | taken.keys()):
                if self.commands[command] is not taken.get(command):
                    raise HarnessError(
                        f"plugin {plugins.known[name]} adds a command {command!r}, which there is already; "
                        f"leave the plugin out with HARNESS_DISABLE_PLUGIN_AUTOLOAD=1"
                    )
            taken = dict(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [
            (name, COMMANDS.get(name) or self.commands[name].get_short_help_str()) for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "HARNESS"})
@click.version_option(harness.__version__, prog_name="harness")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """What a deep-learning model achieves per joule, byte, second and gram of CO2."""
