"""The `pepr` score: performance per resource unit, P / (1 + R)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.hookspecs import hookimpl


def _score(*arguments: Any, **options: Any) -> Any:
    """Score a table with `harness.scoring.score_table.score_table`, imported at first use since it needs pandas."""
    from harness.scoring.score_table import score_table

    return score_table(*arguments, **options)


@hookimpl
def harness_register_scores(register: Callable[..., None]) -> None:
    register("pepr", _score)
