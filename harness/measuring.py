"""`harness.measure(...)`: meter a block or a function of one's own program."""

from __future__ import annotations

import atexit
import functools
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from harness.plugins_loader import load_plugins
from harness.registry import Registry
from harness.stack import MeterStack, Window

P = ParamSpec("P")
T = TypeVar("T")


class SharedMeters:
    """The open meters of this process: each is opened once, at its first use, and closed at the end.

    However many windows use it: two memory meters in one process would reset each other's peaks. A child process after
    a fork opens its own.
    """

    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._stack: MeterStack | None = None
        self._pid = 0

    def stack(self, names: Sequence[str]) -> MeterStack:
        """Return the stack with the meters *names* open.

        Raises HarnessError for a meter that is unknown or does not work here.
        """
        with self._lock:
            if self._stack is None or self._pid != os.getpid():
                self._stack, self._pid = MeterStack().__enter__(), os.getpid()
                atexit.register(self._stack.close)
            fresh = [name for name in names if name not in self._stack]
            self._registry().check_meters(fresh)
            self._stack.add(self._registry().create_meters(fresh))
            return self._stack


@functools.cache
def _default_registry() -> Registry:
    return load_plugins(on_fault=lambda fault: warnings.warn(fault, RuntimeWarning, stacklevel=2)).registry


_meters = SharedMeters(_default_registry)


@contextmanager
def measure(*meters: str) -> Iterator[Window]:
    """Meter the block with *meters* (default: every one that works here) and yield its window.

    After the block, `window["time"].value` is a reading, `window.readings` holds them all and `window.missing` what
    could not be read. Raises HarnessError for a meter that is unknown or does not work here.
    """
    names = list(meters) or _default_registry().automatic_meters()[0]
    with _meters.stack(names).window(names) as window:
        yield window


def measured(*meters: str, report: Callable[[Window], Any]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that meters every call of a function and gives each call's window to *report*."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            with measure(*meters) as window:
                result = function(*args, **kwargs)
            report(window)
            return result

        return wrapper

    return decorate
