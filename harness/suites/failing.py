"""A mistake in a suite as one line of pytest's, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.errors import HarnessError


@contextmanager
def failing(prefix: str = "") -> Iterator[None]:
    """Fail the test that runs where the block raises HarnessError, with its line behind *prefix*."""
    try:
        yield
    except HarnessError as error:
        # Not the cause: pytest would print it too.
        raise pytest.fail.Exception(f"{prefix}{error}", pytrace=False) from None
