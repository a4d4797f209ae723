"""`harness` and `python -m harness`: the command line, and how its errors and interruptions end."""

from __future__ import annotations

import os
import sys

import click

from harness.cli import cli
from harness.cli.standard_error import forgive_stderr
from harness.errors import HarnessError
from harness.interruption import ctrl_c_remembered


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    forgive_stderr()
    arguments, debug = _without_debug(sys.argv[1:] if arguments is None else arguments)
    try:
        with ctrl_c_remembered():
            code = cli.main(arguments, prog_name="harness", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except HarnessError as error:
        return _complain(error, debug)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _complain_of_usage(error)
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): point stdout elsewhere, so that Python's flush at exit is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Take --debug out, wherever it stands before a `--`, so that it can be added at the end of a command."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    asked = "--debug" in own or os.environ.get("HARNESS_DEBUG", "0") not in ("", "0")
    return [word for word in own if word != "--debug"] + arguments[len(own) :], asked


def _complain_of_usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "harness"
    message = " ".join(error.format_message().split())
    print(f"{command}: {message} (`{command} --help` shows what there is)", file=sys.stderr)
    return error.exit_code


def _complain(error: HarnessError, debug: bool) -> int:
    if debug:
        raise error

    print(f"harness: {error}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
