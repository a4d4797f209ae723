"""The pytest plugin: the fixture `harness_meter`. Nothing of the harness is imported until a test uses it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.measuring.window import Window


@pytest.fixture
def harness_meter() -> Callable[..., AbstractContextManager[Window]]:
    """Meter a block: `with harness_meter("time", "memory") as m: ...`, then `m["memory"].value`."""
    from harness.measuring.block import measure

    return measure
