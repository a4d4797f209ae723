"""What a deep-learning model achieves per joule, byte, second and gram of CO2."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# name -> module that holds it: imported at first use, so that `import harness` costs nothing. No module may bear one of
# these names: importing it would put the module in the name's place.
_PUBLIC = {
    "DatasetSpec": "harness.specs",
    "FormulaScore": "harness.scoring.formula_score",
    "HarnessError": "harness.errors",
    "Meter": "harness.meter",
    "Missing": "harness.records",
    "ModelSpec": "harness.specs",
    "Reading": "harness.records",
    "Setting": "harness.records",
    "Split": "harness.specs",
    "Splits": "harness.specs",
    "Trial": "harness.records",
    "hookimpl": "harness.hookspecs",
    "measure": "harness.measuring.block",
    "measured": "harness.measuring.block",
    "models": "harness.api",
    "run": "harness.api",
}

if TYPE_CHECKING:
    from harness.api import models, run
    from harness.errors import HarnessError
    from harness.hookspecs import hookimpl
    from harness.measuring.block import measure, measured
    from harness.meter import Meter
    from harness.records import Missing, Reading, Setting, Trial
    from harness.scoring.formula_score import FormulaScore
    from harness.specs import DatasetSpec, ModelSpec, Split, Splits

__all__ = [
    "DatasetSpec",
    "FormulaScore",
    "HarnessError",
    "Meter",
    "Missing",
    "ModelSpec",
    "Reading",
    "Setting",
    "Split",
    "Splits",
    "Trial",
    "__version__",
    "hookimpl",
    "measure",
    "measured",
    "models",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")

    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
