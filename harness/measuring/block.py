"""`harness.measure(...)`: meter a block or a function of one's own program."""

from __future__ import annotations

import atexit
import functools
import inspect
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from harness.errors import HarnessError, unknown
from harness.measuring.stack import MeterStack
from harness.measuring.window import Window
from harness.plugins_loader import Plugins, load_plugins
from harness.registry import Registry

_log = logging.getLogger(__name__)
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
        self._options: dict[str, Mapping[str, Any]] = {}
        self._pid = 0

    def stack(self, names: Sequence[str], options: Mapping[str, Any]) -> MeterStack:
        """Return the stack with the meters *names* open, made with *options* if this is their first use.

        Raises HarnessError for a meter that is unknown, does not work here or is open with other options.
        """
        with self._lock:
            if self._stack is None or self._pid != os.getpid():
                self._stack, self._pid, self._options = MeterStack().__enter__(), os.getpid(), {}
                atexit.register(_close_own, self._stack, self._pid)
            fresh = [name for name in names if name not in self._stack]
            self._registry().check_meters(fresh, options)
            self._refuse_others(set(names).difference(fresh), options)
            made = self._registry().create_meters(fresh, {**options, "sampler": self._stack.sampler})
            self._stack.add(made)
            self._options |= {name: dict(options) for name in fresh}
            return self._stack

    def renew_lock(self) -> None:
        """Have a lock that nobody holds, in a child after a fork."""
        self._lock = threading.Lock()

    def _refuse_others(self, names: set[str], options: Mapping[str, Any]) -> None:
        for name in sorted(names):
            for option in self._registry().meters.get(name).options:
                before = self._options[name].get(option)
                if options.get(option, before) != before:
                    raise HarnessError(
                        f"meter {name!r} is open in this process with {option} {before!r}, not {options[option]!r}; "
                        f"give it at the first use of the meter"
                    )


def _close_own(stack: MeterStack, pid: int) -> None:
    """Close *stack* at the end of the process *pid*, not of its children: threads that hold its locks are not there."""
    if os.getpid() == pid:
        stack.close()


@functools.cache
def default_plugins() -> Plugins:
    """Return the plugins of this process; one that fails is warned of, once."""
    return load_plugins(on_fault=lambda fault: warnings.warn(fault, RuntimeWarning, stacklevel=2))


def default_registry() -> Registry:
    """Return what the plugins of this process registered."""
    return default_plugins().registry


_meters = SharedMeters(default_registry)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_meters.renew_lock)


def _automatic(registry: Registry, options: Mapping[str, Any]) -> list[str]:
    """Return the names of the meters that work here; an estimate that stands in for a counter is said aloud, once."""
    chosen, left_out = registry.automatic_meters(options)
    for line in [*registry.in_vain(left_out, options), *registry.estimates(chosen)]:
        _warn_once(line)
    return chosen


@functools.cache
def _warn_once(line: str) -> None:
    _log.warning(line)


@contextmanager
def measure(*meters: str, sharp: bool = True, pue: float = 1.0, **options: Any) -> Iterator[Window]:
    """Meter the block with *meters* (default: every one that works here) and yield its window.

    After the block, `window["time"].value` is a reading, `window.readings` holds them all and `window.missing` what
    could not be read; `window.lap()` in it ends a lap, whose readings have an `epoch`. Also when the block raises.

    Args:
        meters: their names.
        sharp: place the edges within the steps of counters, for which the block begins, and this returns, up to a
            tenth of a second later; False reads and returns at once, with wider error bars.
        pue: power usage effectiveness, for carbon.
        options: those of meters: `sample_period` [s], `cpu_watts` [W of one busy core], `location` such as "DK",
            `carbon_intensity` [g/kWh]. They hold from the first use of a meter in a process.

    Raises HarnessError for a meter that is unknown or does not work here.
    """
    stack, names = open_meters(meters, options)
    with stack.window(names, sharp=sharp, pue=pue) as window:
        yield window


def open_meters(meters: Sequence[str], options: Mapping[str, Any]) -> tuple[MeterStack, list[str]]:
    """Return the open meters of this process and the names of those asked for: "auto" and none mean all that work here.

    Raises HarnessError as `measure` does.
    """
    registry = default_registry()
    known = {option for entry in registry.meters.entries.values() for option in entry.value.options}
    for option in options.keys() - known:
        raise unknown("option of measure()", option, {"sharp", "pue", *known})
    names = [name for name in meters if name != "auto"]
    if len(names) < len(meters) or not meters:
        names += [name for name in _automatic(registry, options) if name not in names]
    names = list(dict.fromkeys(names))
    return _meters.stack(names, options), names


# Whether a function is of a kind whose call does nothing yet.
_RETURN_AT_ONCE = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def measured(
    *meters: str, report: Callable[[Window], Any], **options: Any
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that meters every call of a function and gives each call's window to *report*.

    Also that of a call that raises. *options* are those of `measure`. Raises TypeError for a coroutine or a generator,
    whose call returns before the work is done.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        if any(is_kind(function) for is_kind in _RETURN_AT_ONCE):
            raise TypeError(f"a call of {function.__name__} only begins its work; use `with harness.measure()` in it")

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            window: Window | None = None
            try:
                with measure(*meters, **options) as window:
                    return function(*args, **kwargs)
            finally:
                if window is not None:
                    report(window)

        return wrapper

    return decorate
