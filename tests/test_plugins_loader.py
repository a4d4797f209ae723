"""Loading plugins: one by one and guarded, with duplicates and misspelt hooks refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.plugins_loader import PluginChoice, Plugins, load_plugins
from harness.records import Started

Install = Callable[..., None]

METER = """
from harness.hookspecs import hookimpl

class Meter:
    def __init__(self, options): ...
    def unavailable(self): return None
    def open(self): ...
    def mark(self): return 0
    def between(self, start, stop): return []
    def close(self): ...

@hookimpl
def harness_register_meters(register):
    register("{name}", Meter, resources=("{name}s",))
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a module as the entry point of a distribution of its own."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("HARNESS_DISABLE_PLUGIN_AUTOLOAD")
    found: list[Any] = []
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found)

    def add(module: str, code: str, name: str | None = None, version: str = "1.0") -> None:
        (tmp_path / f"{module}.py").write_text(code)
        monkeypatch.delitem(sys.modules, module, raising=False)
        entry = EntryPoint(name or module, module, "harness")
        dist = SimpleNamespace(name=f"dist-{module}", version=version)
        found.append(SimpleNamespace(name=entry.name, load=entry.load, dist=dist))

    return add


def test_installed_plugin_registers_its_meter(install: Install) -> None:
    install("acme", METER.format(name="faults"))

    entry = load_plugins(PluginChoice()).registry.meters.entries["faults"]
    assert ("acme", ("faultss",)) == (entry.plugin, entry.value.resources)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("def f(:", "SyntaxError"),
        (
            "from harness.hookspecs import hookimpl\n@hookimpl\ndef harness_register_meters(wrong): ...",
            "harness_register_meters wants wrong, which pepr-harness",
        ),
    ],
    ids=["import error", "exit", "syntax error", "wrong argument"],
)
def test_broken_plugin_is_reported_with_its_distribution_and_the_rest_loads(
    install: Install, code: str, reason: str
) -> None:
    install("broken", code, version="3.2")
    install("good", METER.format(name="good"))

    plugins = load_plugins(PluginChoice())
    assert len(plugins.faults) == 1
    assert "'broken' (dist-broken 3.2)" in plugins.faults[0]
    assert reason in plugins.faults[0]
    assert "good" in plugins.registry.meters.entries


def test_plugin_that_raises_in_a_hook_keeps_nobody_else_from_registering(install: Install) -> None:
    code = (
        "from harness.hookspecs import hookimpl\n@hookimpl\ndef harness_register_meters(register): raise SystemExit(3)"
    )
    install("rude", code)
    install("good", METER.format(name="good"))

    plugins = load_plugins(PluginChoice())
    assert {"time", "memory", "good"} <= plugins.registry.meters.entries.keys()
    assert "'rude' (dist-rude 1.0) raised in harness_register_meters: SystemExit: 3" in plugins.faults[0]


@pytest.mark.parametrize("wrong", ["register('m', None)", "register(3, print)", "register()"])
def test_plugin_that_registers_nonsense_is_at_fault(install: Install, wrong: str) -> None:
    install("odd", f"from harness.hookspecs import hookimpl\n@hookimpl\ndef harness_register_meters(register): {wrong}")

    plugins = load_plugins(PluginChoice())
    assert "'odd' (dist-odd 1.0) raised in harness_register_meters: TypeError" in plugins.faults[0]


def test_built_in_meters_go_before_those_of_others_in_auto(install: Install) -> None:
    install("acme", METER.format(name="time").replace('"time"', '"other_clock"').replace("times", "time"))

    chosen, left_out = load_plugins(PluginChoice()).registry.automatic_meters()
    assert ["cpu-estimate", "time", "memory"] == chosen
    assert "what it reads is read by time" == left_out["other_clock"]


def test_two_plugins_with_one_meter_are_refused_with_both_names(install: Install) -> None:
    install("first", METER.format(name="same"))
    install("second", METER.format(name="same"))

    with pytest.raises(HarnessError, match=r"'first' \(dist-first 1\.0\) and 'second' \(dist-second 1\.0\)"):
        load_plugins(PluginChoice())


def test_two_distributions_with_one_plugin_name_are_refused_with_both(install: Install) -> None:
    install("first", METER.format(name="a"), name="clash")
    install("second", METER.format(name="b"), name="clash")

    with pytest.raises(HarnessError, match=r"dist-first 1\.0.*dist-second 1\.0"):
        load_plugins(PluginChoice())


def test_misspelt_hook_is_refused_with_the_plugin_and_the_hook(install: Install) -> None:
    install("typo", "from harness.hookspecs import hookimpl\n@hookimpl\ndef harness_register_metres(register): ...")

    with pytest.raises(HarnessError, match=r"'typo' \(dist-typo 1\.0\) has .*harness_register_metres"):
        load_plugins(PluginChoice())


def test_denied_plugin_is_never_imported(install: Install) -> None:
    install("spy", "import sys; sys.spy_was_imported = True")

    plugins = load_plugins(PluginChoice(denied=("spy",)))
    assert not hasattr(sys, "spy_was_imported")
    assert "denied" == plugins.known["spy"].reason


def test_without_autoload_only_wanted_plugins_are_imported(install: Install) -> None:
    install("wanted", METER.format(name="wanted"))
    install("spy", "import sys; sys.spy_was_imported = True")

    plugins = load_plugins(PluginChoice(wanted=("wanted",), autoload=False))
    assert "wanted" in plugins.registry.meters.entries
    assert not hasattr(sys, "spy_was_imported")


def test_environment_switches_autoload_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DISABLE_PLUGIN_AUTOLOAD", "1")

    assert not PluginChoice.from_environment().autoload


def test_module_can_be_loaded_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_meters.py").write_text(METER.format(name="mine"))

    assert "mine" in load_plugins(PluginChoice(wanted=("my_meters",))).registry.meters.entries


def test_module_of_an_installed_plugin_may_be_wanted_too(install: Install) -> None:
    install("acme_module", METER.format(name="acme"), name="acme")
    plugins = load_plugins(PluginChoice(wanted=("acme_module",)))

    assert "acme" in plugins.registry.meters.entries
    assert "acme" in plugins.known
    assert "acme_module" not in plugins.known


def test_wanted_plugin_that_is_not_there_is_refused() -> None:
    with pytest.raises(HarnessError, match="'no_such_plugin' cannot be used: ModuleNotFoundError"):
        load_plugins(PluginChoice(wanted=("no_such_plugin",)))


def test_built_in_plugin_can_be_denied() -> None:
    assert "digits" not in load_plugins(PluginChoice(denied=("digits",))).registry.datasets.entries


def with_plugin(plugin: object) -> Plugins:
    plugins = load_plugins()
    plugins.manager.register(plugin, "mine")
    return plugins


def test_first_answer_wins_and_a_plugin_goes_before_the_built_in() -> None:
    from harness.hookspecs import hookimpl
    from harness.specs import ModelSpec

    class Mine:
        @hookimpl
        def harness_resolve_model(self, name: str) -> ModelSpec | None:
            return ModelSpec(name, create=lambda *args: None, note="mine") if name == "timm:x" else None

    registry = with_plugin(Mine()).registry
    assert "mine" == registry.model("timm:x").note
    assert registry.model("timm:y").note is None


def test_answer_of_the_wrong_type_is_the_plugins_fault_and_the_next_one_is_asked() -> None:
    from harness.hookspecs import hookimpl

    class Mine:
        @hookimpl
        def harness_resolve_model(self, name: str) -> Any:
            return "a model"

    plugins = with_plugin(Mine())
    assert "timm:x" == plugins.registry.model("timm:x").name
    assert "gave 'a model' in harness_resolve_model" in plugins.faults[0]


def test_importing_the_loader_and_listing_imports_no_heavy_package() -> None:
    import subprocess

    program = (
        "import sys; from harness.plugins_loader import load_plugins; load_plugins();"
        "heavy = {'torch', 'timm', 'numpy', 'pandas', 'scipy', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_meter_whose_resources_are_no_tuple_is_the_plugins_fault(install: Install) -> None:
    install("comma", METER.format(name="x").replace('("xs",)', '("xs")'))

    plugins = load_plugins(PluginChoice())
    assert "x" not in plugins.registry.meters.entries
    assert "write ('xs',)" in plugins.faults[0]


@pytest.mark.parametrize(
    "wrong",
    [
        "harness_register_models(register): register(ModelSpec('m', print, parameters='many'))",
        "harness_register_models(register): register(ModelSpec('m', print, tags=(1,)))",
        "harness_register_datasets(register): register(DatasetSpec('d', print, 'two', 1))",
        "harness_register_datasets(register): register(DatasetSpec('d', print, 2, 1, splits=5))",
        "harness_register_meters(register): register('m', print, resources=([],))",
        "harness_register_meters(register): register('auto', print, resources=('x',))",
    ],
)
def test_field_that_cannot_be_is_the_plugins_fault(install: Install, wrong: str) -> None:
    install("odd", f"from harness import DatasetSpec, ModelSpec, hookimpl\n@hookimpl\ndef {wrong}\n")

    (fault,) = load_plugins(PluginChoice()).faults
    assert "'odd' (dist-odd 1.0) raised in harness_register_" in fault


def test_hook_wrapper_is_refused_and_named(install: Install) -> None:
    code = "@hookimpl(wrapper=True)\ndef harness_trial_event(event): return (yield)"
    install("wrapper", f"from harness.hookspecs import hookimpl\n{code}")

    assert "harness_trial_event is a hook wrapper" in load_plugins(PluginChoice()).faults[0]


def test_unknown_denied_plugin_is_one_line_with_the_nearest() -> None:
    with pytest.raises(HarnessError, match="unknown plugin 'digit'; did you mean 'digits'"):
        load_plugins(PluginChoice(denied=("digit",)))


@pytest.mark.parametrize("error", ["HarnessError('x')", "GeneratorExit('x')", "SystemExit('x')", "ValueError('x')"])
def test_listener_that_raises_is_told_once_and_left_out_from_then_on(install: Install, error: str) -> None:
    code = "from harness.errors import HarnessError\nfrom harness.hookspecs import hookimpl\n"
    install("loud", f"{code}@hookimpl\ndef harness_trial_event(event): raise {error}")
    told: list[str] = []
    plugins = load_plugins(PluginChoice(), on_fault=told.append)
    for _ in range(3):
        plugins.tell(Started("key", 1, "spawn"))

    assert 1 == len(told)
    assert "'loud' (dist-loud 1.0) raised in harness_trial_event" in told[0]


def test_word_of_a_plugin_to_the_user_goes_through_where_a_name_is_resolved() -> None:
    with pytest.raises(HarnessError, match="names no model"):
        load_plugins().registry.model("timm:")


def test_one_plugin_that_registers_a_name_twice_is_named_once(install: Install) -> None:
    install("twice", METER.format(name="x") + '    register("x", Meter, resources=("xs",))\n')

    with pytest.raises(HarnessError, match=r"plugin 'twice' \(dist-twice 1\.0\) registers meter 'x' twice"):
        load_plugins(PluginChoice())
