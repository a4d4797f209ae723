"""Plugins: the built-in ones, strangers' packages from entry points, and what to leave out.

Each is imported and each of its hooks called under guard: one that fails is named with its distribution and version,
and the rest goes on.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import metadata
from typing import Any, TypeVar

import pluggy
from attrs import define, field, frozen

from harness import hookspecs
from harness.errors import HarnessError, shown, told, unknown
from harness.interruption import is_ctrl_c
from harness.plugin_checks import own_distribution, refuse_misspelt_hooks, refuse_newer, refuse_wrappers
from harness.records import Event
from harness.registering import register_into
from harness.registry import Registry
from harness.specs import DatasetSpec, ModelSpec

T = TypeVar("T")

GROUP = "harness"
BUILT_IN = {
    "nvml": "harness.meters.nvml",
    "rapl": "harness.meters.rapl",
    "pyrapl": "harness.meters.pyrapl",
    "cpu-estimate": "harness.meters.cpu_estimate",
    "time": "harness.meters.time",
    "memory": "harness.meters.memory",
    "carbon": "harness.meters.carbon",
    "codecarbon": "harness.meters.codecarbon",
    "zeus": "harness.meters.zeus",
    "timm": "harness.plugins.timm_models",
    "digits": "harness.plugins.digits",
    "medmnist": "harness.plugins.images.medmnist",
    "lidc": "harness.plugins.lidc.dataset",
    "npz": "harness.plugins.images.npz_dataset",
    "folder": "harness.plugins.images.folder_dataset",
    "local": "harness.plugins.local",
    "carbon-table": "harness.plugins.carbon_table",
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
        """Return the choice with what the environment says.

        HARNESS_PLUGINS names more plugins to load, with commas between; with HARNESS_DISABLE_PLUGIN_AUTOLOAD no entry
        point is loaded unless wanted.
        """
        more = (name.strip() for name in os.environ.get("HARNESS_PLUGINS", "").split(","))
        names = dict.fromkeys([*wanted, *(name for name in more if name)])
        return cls(tuple(names), tuple(denied), autoload=not os.environ.get("HARNESS_DISABLE_PLUGIN_AUTOLOAD"))


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
    on_fault: Callable[[str], object] = lambda fault: None
    # The stranger's plugin whose trial is being run, so that what it raises can be told with its name.
    acting: Plugin | None = None
    _muted: set[tuple[str, str]] = field(factory=set)

    def call_each(self, hook: str, passing: tuple[type[BaseException], ...] = (), **arguments: Any) -> Iterator[Any]:
        """Call *hook* of one plugin after the other, the last loaded first, and yield (plugin's name, result).

        One that raises is told of and left out of this hook from then on; what is in *passing* goes through.
        """
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            name = implementation.plugin_name
            if (name, hook) in self._muted:
                continue
            result = self._guarded(implementation, hook, arguments, passing)
            if not isinstance(result, _Raised):
                yield name, result

    def call_first(self, hook: str, kind: type[T] | None = None, **arguments: Any) -> T | Any | None:
        """Return the first answer to *hook* that is not None, from plugins that do not raise.

        A HarnessError goes through: it is the plugin's word to the user. An answer that is not of *kind* counts as
        the plugin's fault.
        """
        for name, result in self.call_each(hook, passing=(HarnessError,), **arguments):
            if result is None:
                continue
            if kind is None or isinstance(result, kind):
                return result
            self.note(name, hook, f"gave {shown(result)} in {hook}, which is no {kind.__name__}")
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

    def why_not(self, name: str) -> str | None:
        """Return why the plugin *name* is not in use, or out of which hooks it is left; None if it is in full use."""
        left_out = [hook for hook in self.hooks_of(name) if (name, hook) in self._muted]
        return self.known[name].reason or (f"left out of {', '.join(left_out)}" if left_out else None)

    def tell(self, event: Event) -> None:
        """Tell every plugin of *event*."""
        for _ in self.call_each("harness_trial_event", event=event):
            pass

    def register_all(self) -> None:
        """Ask every plugin for what it brings, the built-in ones first.

        Raises HarnessError where two offer one name.
        """
        for kind in ("meters", "models", "datasets", "executors", "scores"):
            hook = f"harness_register_{kind}"
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                brought: list[tuple[str, Any]] = []
                answer = self._guarded(implementation, hook, {"register": register_into(kind, brought)}, ())
                if answer is not None and not brought and not isinstance(answer, _Raised):
                    what = f"gave {shown(answer)} in {hook}, and did not call register"
                    self.note(implementation.plugin_name, hook, what)
                # Outside the guard: two plugins that offer one name are nobody's fault alone.
                for name, value in brought:
                    getattr(self.registry, kind).add(name, implementation.plugin_name, value, self.describe)

    def note(self, name: str, hook: str, what: str) -> None:
        """Tell that the plugin *name* did *what*, and leave it out of *hook* from now on."""
        self._muted.add((name, hook))
        self.add_fault(f"plugin {self.describe(name)} {what}; it is left out there")

    def describe(self, name: str) -> str:
        """Return the plugin *name* with its distribution and version."""
        return str(self.known.get(name, name))

    def add_fault(self, fault: str) -> None:
        """Keep *fault* and tell it."""
        self.faults.append(fault)
        self.on_fault(fault)

    def _guarded(
        self,
        implementation: pluggy.HookImpl,
        hook: str,
        arguments: dict[str, Any],
        passing: tuple[type[BaseException], ...],
    ) -> Any:
        wanted = {name: arguments[name] for name in implementation.argnames if name in arguments}
        try:
            return implementation.function(**wanted)
        except BaseException as error:
            if is_ctrl_c(error) or isinstance(error, passing):
                raise
            self.note(implementation.plugin_name, hook, f"raised in {hook}: {told(error)}")
            return _Raised()


class _Raised:
    """Stands for the result of a hook that raised."""


def load_plugins(choice: PluginChoice | None = None, on_fault: Callable[[str], object] = lambda fault: None) -> Plugins:
    """Return all plugins of *choice*, with what they registered; *on_fault* is told of each that fails, now or later.

    Raises HarnessError where two plugins offer one name, a hook's name is misspelt, or a plugin that is wanted or
    denied is not there.
    """
    choice = choice or PluginChoice.from_environment()
    manager = pluggy.PluginManager("harness")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(manager, on_fault=on_fault)
    for name, module in BUILT_IN.items():
        _load(plugins, choice, name, own_distribution(), partial(importlib.import_module, module))
    _load_entry_points(plugins, choice)
    for name in choice.wanted:
        _require(plugins, choice, name)
    for name in choice.denied:
        if name not in plugins.known:
            raise unknown("plugin", name, plugins.known, "`harness list plugins` shows them")
    refuse_misspelt_hooks(manager, plugins.describe)
    plugins.registry.resolve_model = lambda name: plugins.call_first("harness_resolve_model", ModelSpec, name=name)
    plugins.registry.resolve_dataset = lambda name: plugins.call_first(
        "harness_resolve_dataset", DatasetSpec, name=name
    )
    plugins.registry.intensity_at = lambda location, when: plugins.call_first(
        "harness_carbon_intensity", Mapping, location=location, when=when
    )
    plugins.registry.describe = lambda name: str(plugins.known.get(name, repr(name)))
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


def _require(plugins: Plugins, choice: PluginChoice, name: str) -> None:
    """Have the plugin or module *name* that was asked for; unlike others, it must be there and work."""
    if name not in plugins.known:
        _load(plugins, choice, name, ("module", "?"), partial(importlib.import_module, name))
    reason = plugins.known[name].reason if name in plugins.known else None
    if reason is not None:
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
        plugin = load()
        if plugins.manager.get_name(plugin) is not None:
            del plugins.known[name]  # the module of a plugin that is there by its entry point
            return
        refuse_newer(plugins.manager, plugin, distribution[0])
        plugins.manager.register(plugin, name=name)
        refuse_wrappers(plugins.manager, name)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        if plugins.manager.has_plugin(name):
            plugins.manager.unregister(name=name)
        reason = _last_line(error)
        plugins.known[name] = Plugin(name, *distribution, reason)
        if name not in choice.wanted:
            plugins.add_fault(f"plugin {plugins.known[name]} cannot be loaded: {reason}; the rest is used without it")


def _last_line(error: BaseException) -> str:
    lines = told(error).strip().splitlines()
    return lines[0] if len(lines) < 2 else f"{type(error).__name__}: {lines[-1]}"
