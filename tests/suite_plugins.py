"""Stand a plugin beside a suite of pytester's, for its process and its workers to load."""

from __future__ import annotations

import os

import pytest

# Reads exactly what the suite adds to `total` [J], give or take `bar`; and `work`, in a unit of its own.
GAUGE = """
from harness import Reading, hookimpl

total, bar = 0.0, 1.0


class Gauge:
    def __init__(self, options): ...
    def unavailable(self): return None
    def open(self): ...
    def mark(self): return total
    def between(self, start, stop):
        return [Reading("energy_gpu", stop - start, "J", bar, "counter"),
                Reading("work", stop - start, "turns", 0, "counter")]
    def close(self): ...


@hookimpl
def harness_register_meters(register):
    register("gauge", Gauge, resources=("energy_gpu", "work"))
"""


def bring_plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> None:
    """Have every process of the suite load the plugin *name* made of *code*."""
    pytester.makepyfile(**{name: code})
    folders = (str(pytester.path), os.environ.get("PYTHONPATH"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folder for folder in folders if folder))
    monkeypatch.setenv("HARNESS_PLUGINS", name)
