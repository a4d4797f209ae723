"""The `local` executor, registered; `harness.workers.local` holds it and is imported at first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from harness.hookspecs import hookimpl

if TYPE_CHECKING:
    from harness.workers.local import LocalExecutor


def _create(options: Mapping[str, Any]) -> LocalExecutor:
    from harness.workers.local import LocalExecutor

    return LocalExecutor(options["plugins"])


@hookimpl
def harness_register_executors(register: Callable[..., None]) -> None:
    register("local", _create)
