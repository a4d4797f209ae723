"""What plugin authors test with: contracts, each a class of tests, and fakes that need no hardware.

    class TestMyMeter(harness.testing.MeterContract):
        factory = staticmethod(my_meter)
        resources = ("energy_cpu",)

pytest collects such a class in the author's own suite. The contracts need pytest, the fakes do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# name -> module that holds it, imported at first use: a fake must not cost pytest, nor a contract torch.
_PUBLIC = {
    "DatasetContract": "harness.testing.dataset_contract",
    "ExecutorContract": "harness.testing.executor_contract",
    "FakeClock": "harness.testing.replay_meter",
    "MeterContract": "harness.testing.meter_contract",
    "ModelContract": "harness.testing.model_contract",
    "PluginContract": "harness.testing.plugin_contract",
    "PowerTrace": "harness.testing.power_trace",
    "ReplayMeter": "harness.testing.replay_meter",
    "ScoreContract": "harness.testing.score_contract",
    "fake_dataset": "harness.testing.fakes",
    "fake_model": "harness.testing.fakes",
    "record_trace": "harness.testing.trace_recorder",
}

if TYPE_CHECKING:
    from harness.testing.dataset_contract import DatasetContract
    from harness.testing.executor_contract import ExecutorContract
    from harness.testing.fakes import fake_dataset, fake_model
    from harness.testing.meter_contract import MeterContract
    from harness.testing.model_contract import ModelContract
    from harness.testing.plugin_contract import PluginContract
    from harness.testing.power_trace import PowerTrace
    from harness.testing.replay_meter import FakeClock, ReplayMeter
    from harness.testing.score_contract import ScoreContract
    from harness.testing.trace_recorder import record_trace

__all__ = [
    "DatasetContract",
    "ExecutorContract",
    "FakeClock",
    "MeterContract",
    "ModelContract",
    "PluginContract",
    "PowerTrace",
    "ReplayMeter",
    "ScoreContract",
    "fake_dataset",
    "fake_model",
    "record_trace",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'harness.testing' has no attribute {name!r}")

    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
