"""What the benchmarks share. `make bench` runs them, `--quick` in small sizes: to see that they run, not how fast."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# The tests' fake hardware is the benchmarks' too.
sys.path.append(str(Path(__file__).parent.parent / "tests"))
os.environ.setdefault("HARNESS_DISABLE_PLUGIN_AUTOLOAD", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="Small sizes: whether the benchmarks run, not how fast.")


@pytest.fixture(scope="session")
def quick(pytestconfig: pytest.Config) -> bool:
    """Whether sizes are to be small."""
    return bool(pytestconfig.getoption("quick"))
