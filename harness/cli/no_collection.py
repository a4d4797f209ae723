"""Reads tables without looking for garbage now and then: of many rows just made none is, and looking takes long."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Have Python look for no unreachable cycles meanwhile. Also a decorator.

    With 2 x 10,000 trials, that would take a sixth of the time of `harness compare`.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
