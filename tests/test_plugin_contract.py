"""Built-in plugins keep the contract, and the contract catches plugins that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plugins_loader import BUILT_IN
from harness.testing import PluginContract


class TestTime(PluginContract):
    plugin = "time"
    brings = ("meter time",)


class TestDigits(PluginContract):
    plugin = "digits"
    brings = ("dataset digits",)


class TestLocal(PluginContract):
    plugin = "local"
    brings = ("executor local",)


class TestPepr(PluginContract):
    plugin = "pepr"
    brings = ("score pepr",)


class TestFakes(PluginContract):
    plugin = "harness.testing.fakes"
    brings = ("model fake", "dataset fake")


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_plugin_is_light_and_has_a_hook(name: str) -> None:
    class Under(PluginContract):
        plugin = name

    under = Under()
    under.test_loads_without_a_fault()
    under.test_has_a_hook()
    under.test_imports_nothing_heavy_to_be_listed()
    under.test_starts_no_thread_when_it_is_loaded()
    under.test_prints_nothing_when_it_is_loaded()


RIGHT = """
from harness.hookspecs import hookimpl

@hookimpl
def harness_register_scores(register):
    register("mine", max)
"""


@pytest.mark.parametrize(
    ("source", "test"),
    [
        ("import no_such_module", "test_loads_without_a_fault"),
        (RIGHT.replace("max", "no_such_name"), "test_loads_without_a_fault"),
        (RIGHT.replace("_scores", "_score"), "test_loads_without_a_fault"),
        (RIGHT.replace('"mine"', '"other"'), "test_registers_what_it_says"),
        (RIGHT.replace("@hookimpl", ""), "test_has_a_hook"),
        (f"import numpy\n{RIGHT}", "test_imports_nothing_heavy_to_be_listed"),
        (
            f"import threading, time\nthreading.Thread(target=time.sleep, args=[1]).start()\n{RIGHT}",
            "test_starts_no_thread_when_it_is_loaded",
        ),
        (f"print('hello')\n{RIGHT}", "test_prints_nothing_when_it_is_loaded"),
        ("import os\nos._exit(1)", "test_loads_without_a_fault"),
    ],
)
def test_contract_catches_a_wrong_plugin(
    source: str, test: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    getattr(contract("right_one", RIGHT, tmp_path), test)()

    name = f"wrong_{abs(hash((source, test)))}"
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(contract(name, source, tmp_path), test)()


def contract(name: str, source: str, folder: Path) -> PluginContract:
    (folder / f"{name}.py").write_text(source)

    class Under(PluginContract):
        plugin = name
        brings = ("score mine",)

    return Under()
