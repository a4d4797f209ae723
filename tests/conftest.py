"""Fixtures for all tests: no test touches the user's files, the network or an installed third-party plugin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fresh_environment import FreshEnvironment
from hypothesis import settings

pytest_plugins = ["pytester"]

# Two tests at once, each with a thread for each core, take longer than with one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# First examples import numpy and pandas, and machines are busy: how long one takes says nothing.
settings.register_profile("harness", deadline=None)
settings.load_profile("harness")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in a folder of its own, so that the default store lands there."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take HARNESS_* away, load no plugin that happens to be installed, and keep the hub's client off the network.

    And have no suite within a test take itself for a part of the run of this one.
    """
    import sys

    for name in [name for name in os.environ if name.startswith(("HARNESS_", "PYTEST_XDIST_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HARNESS_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if "huggingface_hub.constants" in sys.modules:  # it was imported when the tests were collected
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Have the suites within tests run without hypothesis: its plugin alone takes a second to import."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    return pytester


@pytest.fixture(scope="session")
def fresh_environment(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """An environment of its own with this project installed from its wheel; tests take out what they put in."""
    return FreshEnvironment.create(tmp_path_factory.mktemp("environment"))
