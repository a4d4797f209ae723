"""The conformance tests of the harness, over all that this package brings."""

from __future__ import annotations

from harness_example import energy_delay, stripes, switch_meter, tiny_cnn

from harness.testing import DatasetContract, MeterContract, ModelContract, PluginContract, ScoreContract


class TestSwitchMeter(MeterContract):
    factory = switch_meter.SwitchMeter
    resources = ("switches", "page_faults")


class TestTinyCnn(ModelContract):
    spec = tiny_cnn.TINY_CNN


class TestStripes(DatasetContract):
    spec = stripes.STRIPES


class TestEnergyDelay(ScoreContract):
    reducer = energy_delay.EDP


class TestPlugin(PluginContract):
    plugin = "harness_example.switch_meter"
    brings = ("meter switches",)
