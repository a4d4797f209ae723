"""Fixtures of meters that read a fake powercap tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from powercap import FakeTree
from zone_meters import Open, Plant

from harness.meters.rapl import ZoneMeter, create


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Return what makes a fake tree, and points the meter to it."""

    def make(**about: Any) -> FakeTree:
        tree = FakeTree(tmp_path / "sys", **about)
        monkeypatch.setenv("HARNESS_POWERCAP_ROOT", str(tree.root))
        return tree

    return make


@pytest.fixture
def opened() -> Iterator[Open]:
    """Return what opens a meter, to be closed at the end."""
    meters: list[ZoneMeter] = []

    def open_one(**options: Any) -> ZoneMeter:
        meters.append(create(options))
        meters[-1].open()
        return meters[-1]

    yield open_one
    for meter in meters:
        meter.close()
