"""The score `edp`: the energy-delay product.

M. Horowitz, T. Indermaur and R. Gonzalez, Low-power digital design, IEEE Symposium on Low Power Electronics (1994).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness import FormulaScore, hookimpl


def energy_delay(energy: Any, time: Any) -> Any:
    """Return the product of *energy* [J] and *time* [s], arrays with a value for each row."""
    return energy * time


EDP = FormulaScore("edp", energy_delay, unit="J s", smaller_is_better=True)


@hookimpl
def harness_register_scores(register: Callable[..., None]) -> None:
    register(EDP.name, EDP)
