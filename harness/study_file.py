"""Study files: TOML that holds options of `harness run`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from harness.errors import HarnessError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


# What a TOML value may be, for each kind of option; numbers may be whole where fractions are allowed.
_KINDS: Mapping[str, tuple[type, ...]] = {"text": (str,), "whole": (int,), "number": (int, float), "flag": (bool,)}
# The keys of the table [plugins] -> the options that they stand for.
_OF_PLUGINS = {"load": "plugin", "deny": "no_plugin"}


@frozen
class Option:
    """An option that a study file may hold: its `kind` is one of "text", "whole", "number", "flag"."""

    kind: str
    repeatable: bool = False


def parse_study(text: str, path: str, options: Mapping[str, Option]) -> dict[str, Any]:
    """Return the options in *text* by their Python names: `batch-size = 16` gives `{"batch_size": 16}`.

    A single value may stand for a list of one. The table `[plugins]` has `load` and `deny`, which stand for the options
    `plugin` and `no-plugin`. Raises HarnessError with file, line and the nearest key for anything else than *options*
    of their kinds.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HarnessError(f"{path}: not TOML: {error}") from error

    plugins = document.pop("plugins", {})
    if not isinstance(plugins, dict):
        raise HarnessError(
            f"{path}, line {_line_of('plugins', text)}: 'plugins' is a table: [plugins], then deny = [...]"
        )
    found = [
        *(_option(key, value, f"{path}, line {_line_of(key, text)}", options) for key, value in document.items()),
        *(_of_plugins(key, value, f"{path}, line {_line_of(key, text)}") for key, value in plugins.items()),
    ]
    _refuse_twice([name for name, _ in found], path)
    return dict(found)


def _of_plugins(key: str, value: Any, where: str) -> tuple[str, Any]:
    """Return the option that *key* of the table `[plugins]` stands for."""
    if key not in _OF_PLUGINS:
        raise HarnessError(f"{where}: unknown key {key!r} in [plugins]; it has {' and '.join(_OF_PLUGINS)}")

    _, values = _option(key, value, where, {key: Option("text", repeatable=True)})
    return _OF_PLUGINS[key], values


def _refuse_twice(names: list[str], path: str) -> None:
    for key, name in _OF_PLUGINS.items():
        if names.count(name) > 1:
            raise HarnessError(f"{path}: {name.replace('_', '-')!r} says the same as {key!r} in [plugins]; keep one")


def _option(key: str, value: Any, where: str, options: Mapping[str, Option]) -> tuple[str, Any]:
    name = key.replace("-", "_")
    if name not in options:
        near = difflib.get_close_matches(name, options, n=1)
        guess = f"; did you mean {near[0].replace('_', '-')!r}?" if near else "; `harness run --help` names them all"
        raise HarnessError(f"{where}: unknown key {key!r}{guess}")
    option = options[name]
    if isinstance(value, list) and not option.repeatable:
        raise HarnessError(f"{where}: {key!r} takes one value, not a list")
    values = value if isinstance(value, list) else [value]
    for each in values:
        # bool is an int to Python, not to a reader of TOML.
        if type(each) not in _KINDS[option.kind]:
            raise HarnessError(f"{where}: {key!r} must be {_WORDS[option.kind]}, is {each!r}")
    return name, values if option.repeatable else value


_WORDS = {"text": "text in quotes", "whole": "a whole number", "number": "a number", "flag": "true or false"}


def _line_of(key: str, text: str) -> int:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.split("=")[0].strip(" \t\"'[]") == key:
            return number
    return 1
