"""What a suite was asked for on the command line or in its ini file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

DEFAULT_STORE = "harness.sqlite"


@frozen
class SuiteSettings:
    """The options of one pytest run. `store` is None where nothing is to be kept.

    `compare_fail` are thresholds such as "energy:5%", not yet parsed.
    """

    meters: tuple[str, ...] = ()
    meter_options: Mapping[str, str | float] = {}
    store: Path | None = None
    compare: bool = False
    compare_fail: tuple[str, ...] = ()


def read_settings(config: pytest.Config) -> SuiteSettings:
    """Return the settings of *config*; an option goes before the ini line of the same name.

    Raises pytest.UsageError where a comparison is asked for and no meter that it could compare.
    """
    meters = tuple(_asked(config, "harness_meter") or ())
    compare_fail = tuple(_asked(config, "harness_compare_fail") or ())
    compare = bool(_asked(config, "harness_compare") or compare_fail)
    if compare and not meters:
        raise pytest.UsageError("--harness-compare sets readings side by side; add --harness-meter NAME to take some")
    options = dict(_option(text) for text in _asked(config, "harness_option") or ())
    return SuiteSettings(meters, options, _store(config, compare), compare, compare_fail)


def _store(config: pytest.Config, compare: bool) -> Path | None:
    """Return the path of the store; only an option's begins in the folder that pytest was started in.

    Started in a sub-folder, a suite finds the store of its ini line, or the one that nobody named, again.
    """
    option: str | None = config.getoption("harness_store")
    line: str = config.getini("harness_store")
    if option:
        return config.invocation_params.dir / option
    if option is None and line:
        return (config.inipath.parent if config.inipath else config.rootpath) / line
    return config.rootpath / DEFAULT_STORE if compare else None


def _option(text: str) -> tuple[str, str | float]:
    """Return what "location=DK" or "cpu_watts=15" says."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise pytest.UsageError(f"--harness-option {text!r} is no NAME=VALUE, such as location=DK or cpu_watts=15")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _asked(config: pytest.Config, name: str) -> Any:
    option = config.getoption(name)
    return config.getini(name) if option is None else option
