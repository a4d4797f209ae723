"""Plugins: the built-in ones, strangers' packages from entry points, and what to leave out.

Each is imported and each of its hooks called under guard: one that fails is named with its distribution and version,
and the rest goes on.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import metadata
from typing import Any, TypeVar

import pluggy
from attrs import define, field, frozen

from harness import hookspecs
from harness.errors import FAULTS, HarnessError
from harness.records import Event
from harness.registry import MeterEntry, Registry
from harness.specs import DatasetSpec, ModelSpec

T = TypeVar("T")

GROUP = "harness"
BUILT_IN = {
    "time": "harness.meters.time",
    "memory": "harness.meters.memory",
    "timm": "harness.plugins.timm_models",
    "digits": "harness.plugins.digits",
    "local": "harness.plugins.local",
    "pepr": "harness.plugins.pepr_score",
}


@frozen
class PluginChoice:
    """Which plugins to load: *wanted* beside the built-in ones and the entry points, *denied* never imported."""

    wanted: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    autoload: bool = True

    @classmethod
    def from_environment(cls, wanted: Iterable[str] = (), denied: Iterable[str] = ()) -> PluginChoice:
        """Return the choice, HARNESS_DISABLE_PLUGIN_AUTOLOAD heeded: then no entry point is loaded unless wanted."""
        return cls(tuple(wanted), tuple(denied), autoload=not os.environ.get("HARNESS_DISABLE_PLUGIN_AUTOLOAD"))


@frozen
class Plugin:
    """A plugin that was found. `reason` says why it is not in use, None if it is."""

    name: str
    distribution: str
    version: str
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.name!r} ({self.distribution} {self.version})"


@define
class Plugins:
    """The loaded plugins, what they registered, and what went wrong on the way."""

    manager: pluggy.PluginManager
    registry: Registry = field(factory=Registry)
    known: dict[str, Plugin] = field(factory=dict)
    faults: list[str] = field(factory=list)

    def call_each(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Call *hook* of one plugin after the other and yield (plugin's name, result) of those that did not raise."""
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            name = implementation.plugin_name
            result = self._guarded(implementation, hook, arguments)
            if not isinstance(result, _Raised):
                yield name, result

    def call_first(self, hook: str, kind: type[T] | None = None, **arguments: Any) -> T | Any | None:
        """Return the first answer to *hook* that is not None, from plugins that do not raise.

        An answer that is not of *kind* counts as the plugin's fault.
        """
        for name, result in self.call_each(hook, **arguments):
            if result is None:
                continue
            if kind is None or isinstance(result, kind):
                return result
            self._note(name, f"gave {result!r} in {hook}, which is no {kind.__name__}")
        return None

    def registered_by(self, name: str) -> list[str]:
        """Return what the plugin *name* registered, as "kind name"."""
        tables = (self.registry.meters, self.registry.models, self.registry.datasets, self.registry.executors)
        return [
            f"{table.kind} {entry.name}"
            for table in (*tables, self.registry.scores)
            for entry in table.entries.values()
            if entry.plugin == name
        ]

    def hooks_of(self, name: str) -> list[str]:
        """Return the hooks that the plugin *name* implements."""
        plugin = self.manager.get_plugin(name)
        callers = self.manager.get_hookcallers(plugin) if plugin is not None else None
        return sorted(caller.name for caller in callers or ())

    def tell(self, event: Event) -> list[str]:
        """Tell every plugin of *event* and return the faults that this brought to light."""
        before = len(self.faults)
        for _ in self.call_each("harness_trial_event", event=event):
            pass
        return self.faults[before:]

    def register_all(self) -> None:
        """Ask every plugin for what it brings, the built-in ones first. Raises HarnessError where two offer one name."""
        for kind in ("meters", "models", "datasets", "executors", "scores"):
            hook = f"harness_register_{kind}"
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                register = _REGISTER[kind](self.registry, implementation.plugin_name)
                self._guarded(implementation, hook, {"register": register})

    def _guarded(self, implementation: pluggy.HookImpl, hook: str, arguments: dict[str, Any]) -> Any:
        wanted = {name: arguments[name] for name in implementation.argnames if name in arguments}
        try:
            return implementation.function(**wanted)
        except HarnessError:
            raise
        except FAULTS as error:
            self._note(implementation.plugin_name, f"raised in {hook}: {type(error).__name__}: {error}")
            return _Raised()

    def _note(self, name: str, what: str) -> None:
        self.faults.append(f"plugin {self.known.get(name, name)} {what}; it is left out there")


class _Raised:
    """Stands for the result of a hook that raised."""


def load_plugins(choice: PluginChoice | None = None) -> Plugins:
    """Return all plugins of *choice*, with what they registered.

    Raises HarnessError where two plugins offer one name, a hook's name is misspelt, or a wanted plugin is not there.
    """
    choice = choice or PluginChoice.from_environment()
    manager = pluggy.PluginManager("harness")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(manager)
    for name, module in BUILT_IN.items():
        _load(plugins, choice, name, _own_distribution(), partial(importlib.import_module, module))
    _load_entry_points(plugins, choice)
    for name in choice.wanted:
        if name not in plugins.known:
            _load_wanted(plugins, choice, name)
    _refuse_misspelt_hooks(manager)
    plugins.registry.resolve_model = lambda name: plugins.call_first("harness_resolve_model", ModelSpec, name=name)
    plugins.registry.resolve_dataset = lambda name: plugins.call_first(
        "harness_resolve_dataset", DatasetSpec, name=name
    )
    plugins.register_all()
    return plugins


def _load_entry_points(plugins: Plugins, choice: PluginChoice) -> None:
    for entry in metadata.entry_points(group=GROUP):
        where = (entry.dist.name, entry.dist.version) if entry.dist is not None else ("unknown", "?")
        if entry.name in plugins.known and entry.name not in choice.denied:
            other = plugins.known[entry.name]
            raise HarnessError(
                f"two plugins are named {entry.name!r}: one from {other.distribution} {other.version}, "
                f"one from {where[0]} {where[1]}; uninstall one, or leave both out with --no-plugin {entry.name}"
            )
        if not choice.autoload and entry.name not in choice.wanted:
            plugins.known[entry.name] = Plugin(entry.name, *where, "autoload is off")
            continue
        _load(plugins, choice, entry.name, where, entry.load)


def _load_wanted(plugins: Plugins, choice: PluginChoice, name: str) -> None:
    """Load the module *name* that was asked for; unlike others, it must be there and work."""
    _load(plugins, choice, name, ("module", "?"), partial(importlib.import_module, name))
    reason = plugins.known[name].reason
    if reason is not None:
        plugins.faults.clear()
        raise HarnessError(
            f"plugin {name!r} cannot be used: {reason}; give an importable module or an installed plugin"
        )


def _load(
    plugins: Plugins, choice: PluginChoice, name: str, distribution: tuple[str, str], load: Callable[[], Any]
) -> None:
    if name in choice.denied:
        plugins.known[name] = Plugin(name, *distribution, "denied")
        return

    plugins.known[name] = Plugin(name, *distribution)
    try:
        plugins.manager.register(load(), name=name)
    except FAULTS as error:
        if plugins.manager.has_plugin(name):
            plugins.manager.unregister(name=name)
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[-1]}"
        plugins.known[name] = Plugin(name, *distribution, reason)
        plugins.faults.append(f"plugin {plugins.known[name]} cannot be loaded: {reason}; the rest is used without it")


def _refuse_misspelt_hooks(manager: pluggy.PluginManager) -> None:
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = manager.get_name(error.plugin) or "?"
        raise HarnessError(
            f"plugin {name!r} has a hook that the harness does not know: {str(error).splitlines()[0]}; "
            f"correct its name, or leave the plugin out with --no-plugin {name}"
        ) from error


def _own_distribution() -> tuple[str, str]:
    from harness import __version__

    return "pepr-harness", __version__


def _meter_register(registry: Registry, plugin: str) -> Callable[..., None]:
    def register(name: str, factory: Callable[..., Any], resources: Iterable[str] = ()) -> None:
        registry.meters.add(_named(name), plugin, MeterEntry(_callable(factory), tuple(resources)))

    return register


def _spec_register(table: str, kind: type[Any]) -> Callable[[Registry, str], Callable[..., None]]:
    def make(registry: Registry, plugin: str) -> Callable[..., None]:
        def register(spec: Any) -> None:
            if not isinstance(spec, kind):
                raise TypeError(f"register() takes a {kind.__name__}, not {spec!r}")
            getattr(registry, table).add(spec.name, plugin, spec)

        return register

    return make


def _named_register(table: str) -> Callable[[Registry, str], Callable[..., None]]:
    def make(registry: Registry, plugin: str) -> Callable[..., None]:
        def register(name: str, value: Callable[..., Any]) -> None:
            getattr(registry, table).add(_named(name), plugin, _callable(value))

        return register

    return make


_REGISTER: dict[str, Callable[[Registry, str], Callable[..., None]]] = {
    "meters": _meter_register,
    "models": _spec_register("models", ModelSpec),
    "datasets": _spec_register("datasets", DatasetSpec),
    "executors": _named_register("executors"),
    "scores": _named_register("scores"),
}


def _named(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError(f"a name is text, not {name!r}")
    return name


def _callable(value: Callable[..., Any]) -> Callable[..., Any]:
    if not callable(value):
        raise TypeError(f"register() takes something that can be called, not {value!r}")
    return value
