"""Whose fault it is: what a dataset or a model raises within a trial is told with the name of its plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from harness.errors import HarnessError
from harness.interruption import is_ctrl_c
from harness.plugins_loader import Plugins


@contextmanager
def naming(plugins: Plugins, kind: str, name: str) -> Iterator[None]:
    """Note the plugin of the *kind* *name* as the acting one where the block raises.

    A HarnessError speaks for itself, and the user's Ctrl-C is nobody's fault. The error goes through as it is, since
    its type says whether the trial failed, diverged or ran out of memory.
    """
    try:
        yield
    except HarnessError:
        raise
    except BaseException as error:
        owner = plugins.registry.owner(kind, name) if not is_ctrl_c(error) else None
        plugins.acting = plugins.known.get(owner) if owner is not None else None
        raise


def named(plugins: Plugins, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function* of the *kind* *name*, with each call in `naming`."""
    return partial(_call, plugins, kind, name, function)


def _call(plugins: Plugins, kind: str, name: str, function: Callable[..., Any], /, *given: Any, **more: Any) -> Any:
    with naming(plugins, kind, name):
        return function(*given, **more)
