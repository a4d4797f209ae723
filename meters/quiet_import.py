"""Importing and starting others' packages without what they print of themselves."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(package: str) -> Iterator[None]:
    """Keep still what *package* and what it imports print, warn and log in the block; its errors are raised as ever."""
    logger = logging.getLogger(package)
    logger.addFilter(_nothing)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False
