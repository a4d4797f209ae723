"""Study files: TOML that holds options of `harness run`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection, Mapping
from typing import Any

from harness.errors import HarnessError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def parse_study(text: str, path: str, options: Collection[str], repeatable: Collection[str]) -> dict[str, Any]:
    """Return the options in *text* by their Python names: `batch-size = 16` gives `{"batch_size": 16}`.

    *options* are the names that there are, *repeatable* those that take lists; a single value may stand for a list of
    one. Raises HarnessError with file, line and the nearest key for anything else.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HarnessError(f"{path}: not TOML: {error}") from error

    return {
        _option(key, value, text, path, options, repeatable)[0]: _listed(key, value, repeatable)
        for key, value in document.items()
    }


def _option(
    key: str, value: Any, text: str, path: str, options: Collection[str], repeatable: Collection[str]
) -> tuple[str, Any]:
    name = key.replace("-", "_")
    where = f"{path}, line {_line_of(key, text)}"
    if name not in options:
        near = difflib.get_close_matches(name, options, n=1)
        guess = f"; did you mean {near[0].replace('_', '-')!r}?" if near else "; `harness run --help` names them all"
        raise HarnessError(f"{where}: unknown key {key!r}{guess}")
    if isinstance(value, Mapping):
        raise HarnessError(f"{where}: {key!r} is a table; give a value")
    if isinstance(value, list) and name not in repeatable:
        raise HarnessError(f"{where}: {key!r} takes one value, not a list")
    return name, value


def _listed(key: str, value: Any, repeatable: Collection[str]) -> Any:
    if key.replace("-", "_") in repeatable and not isinstance(value, list):
        return [value]
    return value


def _line_of(key: str, text: str) -> int:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.split("=")[0].strip(" \t\"'[]") == key:
            return number
    return 1
