"""What plugins have registered, by name, and who registered it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

from attrs import Factory, define, field, frozen

from harness.errors import HarnessError, told, unknown
from harness.interruption import is_ctrl_c
from harness.meter import Meter, MeterFactory, StackedMeter, UnmadeMeter
from harness.specs import DatasetSpec, ModelSpec

T = TypeVar("T")
IntensityAt = Callable[[str | None, datetime.datetime | None], Mapping[str, Any] | None]


@frozen
class Entry(Generic[T]):
    """One registered thing and the plugin that registered it."""

    name: str
    plugin: str
    value: T


@frozen
class MeterEntry:
    """How to make a meter, the resources it reads, and the names of the options that change how it reads them.

    One that is `estimated` models what others count, and is said aloud where it stands in for them. One that is not
    `automatic` is used only where it is named.
    """

    factory: MeterFactory
    resources: tuple[str, ...]
    options: tuple[str, ...] = ()
    estimated: bool = False
    automatic: bool = True


@define
class Table(Generic[T]):
    """The registered things of one kind. Two plugins that offer one name are an error that names both."""

    kind: str
    entries: dict[str, Entry[T]] = field(factory=dict)

    def add(self, name: str, plugin: str, value: T, describe: Callable[[str], str] = repr) -> None:
        """Register *value*; raises HarnessError where the name is taken, with plugins as *describe* names them."""
        if name in self.entries:
            other = self.entries[name].plugin
            if other == plugin:
                raise HarnessError(
                    f"plugin {describe(plugin)} registers {self.kind} {name!r} twice; "
                    f"leave it out with --no-plugin {plugin}"
                )
            raise HarnessError(
                f"{self.kind} {name!r} is offered by two plugins, {describe(other)} and {describe(plugin)}; "
                f"leave one out with --no-plugin {other} or --no-plugin {plugin}"
            )
        self.entries[name] = Entry(name, plugin, value)

    def get(self, name: str, hint: str = "") -> T:
        """Return what is registered as *name*; raises HarnessError with the nearest names."""
        if name not in self.entries:
            raise unknown(self.kind, name, self.entries, hint)

        return self.entries[name].value


@define
class Registry:
    """All that plugins have registered.

    `resolve_model` and `resolve_dataset` ask the plugins for names that no list holds, `intensity_at` for the carbon
    intensity at a location and time; `describe` gives a plugin's name with its distribution and version.
    """

    meters: Table[MeterEntry] = Factory(lambda: Table("meter"))
    models: Table[ModelSpec] = Factory(lambda: Table("model"))
    datasets: Table[DatasetSpec] = Factory(lambda: Table("dataset"))
    executors: Table[Callable[..., Any]] = Factory(lambda: Table("executor"))
    scores: Table[Callable[..., Any]] = Factory(lambda: Table("score"))
    resolve_model: Callable[[str], ModelSpec | None] = lambda name: None
    resolve_dataset: Callable[[str], DatasetSpec | None] = lambda name: None
    intensity_at: IntensityAt = lambda location, when: None
    describe: Callable[[str], str] = repr
    _resolved: dict[str, DatasetSpec] = field(factory=dict, init=False)

    def model(self, name: str) -> ModelSpec:
        """Return the model *name*, listed or resolved; raises HarnessError with the nearest names."""
        if name in self.models.entries:
            return self.models.entries[name].value
        resolved = self.resolve_model(name)
        return resolved if resolved is not None else self.models.get(name, "any timm model: timm:NAME")

    def dataset(self, name: str) -> DatasetSpec:
        """Return the dataset *name*, listed or resolved; raises HarnessError with the nearest names."""
        if name in self.datasets.entries:
            return self.datasets.entries[name].value
        if name not in self._resolved:  # once, since a plan asks for each trial, and a folder is read for it
            resolved = self.resolve_dataset(name)
            if resolved is None:
                return self.datasets.get(name, "images of your own: folder:PATH or npz:PATH")
            self._resolved[name] = resolved
        return self._resolved[name]

    def owner(self, kind: str, name: str) -> str | None:
        """Return the name of the plugin that registered the *kind* *name*; None for one that was resolved."""
        tables: tuple[Table[Any], ...] = (self.models, self.datasets, self.executors)
        entries = (table.entries.get(name) for table in tables if table.kind == kind)
        return next((entry.plugin for entry in entries if entry is not None), None)

    @contextmanager
    def guarded(self, kind: str, name: str) -> Iterator[None]:
        """Turn what the plugin of the *kind* *name* raises in the block into one line; a HarnessError goes through."""
        try:
            yield
        except HarnessError:
            raise
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            plugin = self.owner(kind, name)
            owner = f" of plugin {self.describe(plugin)}" if plugin is not None else ""
            raise HarnessError(f"{kind} {name!r}{owner} failed: {told(error)}; `--no-plugin` leaves it out") from error

    def match_models(self, pattern: str) -> list[str]:
        """Return the names of the models that *pattern* means: a name, a glob or `tag:NAME`.

        Raises HarnessError where it means none.
        """
        names = list(self.models.entries)
        if pattern.startswith("tag:"):
            return self._tagged(pattern.removeprefix("tag:"))
        if not any(sign in pattern for sign in "*?["):
            return [self.model(pattern).name]

        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise HarnessError(f"no model matches {pattern!r}; `harness list models` shows {len(names)} names")
        return found

    def create_meters(self, names: Iterable[str], options: Mapping[str, Any] | None = None) -> list[StackedMeter]:
        """Return the meters *names*, made but not opened; one that does not work here is left to the stack to tell.

        Raises HarnessError for one that is unknown.
        """
        entries = {name: self.meters.get(name) for name in names}
        return [StackedMeter(name, self._made(entry, options), entry.resources) for name, entry in entries.items()]

    def _made(self, entry: MeterEntry, options: Mapping[str, Any] | None) -> Meter:
        """Return the meter of *entry*; for one whose factory raises, one that is unavailable for that reason."""
        try:
            return entry.factory(self._with_hook(options))
        except HarnessError:
            raise
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            return UnmadeMeter(f"it cannot be made: {told(error)}")

    def check_meters(self, names: Iterable[str], options: Mapping[str, Any] | None = None) -> None:
        """Raise HarnessError for a meter that is unknown or does not work here: what, why, and what would."""
        for name in names:
            self.meters.get(name)
            reason = self.meter_unavailable(name, options)
            if reason is not None:
                works = ", ".join(self.automatic_meters(options)[0])
                raise HarnessError(f"meter {name!r} does not work here: {reason}; these do: {works}")

    def automatic_meters(self, options: Mapping[str, Any] | None = None) -> tuple[list[str], dict[str, str]]:
        """Return the names of the meters that work here, and for each that is left out the reason.

        A meter whose resources are all read by one before it is left out too; of those that have to be named nothing is
        said.
        """
        chosen: list[str] = []
        left_out: dict[str, str] = {}
        covered: dict[str, str] = {}
        for name, entry in self.meters.entries.items():
            if not entry.value.automatic:
                continue
            reason = self.meter_unavailable(name, options) or _covered(entry.value.resources, covered)
            if reason is not None:
                left_out[name] = reason
                continue
            chosen.append(name)
            covered |= {resource: name for resource in entry.value.resources if resource not in covered}
        return chosen, left_out

    def in_vain(self, left_out: Mapping[str, str], options: Mapping[str, Any]) -> list[str]:
        """Return a line for each meter that `automatic_meters` left out although an option was given for it."""
        given = {option for option, value in options.items() if value is not None}
        wanted = [name for name in left_out if given & set(self.meters.entries[name].value.options)]
        return [f"meter {name!r} is left out: {left_out[name]}" for name in wanted]

    def estimates(self, chosen: Iterable[str]) -> list[str]:
        """Return a line for each resource that a meter of *chosen*, from `automatic_meters`, only estimates."""
        entries = [self.meters.entries[name] for name in chosen]
        return [
            f"{resource} is estimated by {entry.name!r}, since no counter can be read (`harness doctor` says why)"
            for entry in entries
            if entry.value.estimated
            for resource in entry.value.resources
        ]

    def meter_unavailable(self, name: str, options: Mapping[str, Any] | None = None) -> str | None:
        """Return why the meter *name* does not work here, or None. A meter that raises does not work."""
        try:
            meter: Meter = self.meters.get(name).factory(self._with_hook(options))
            return meter.unavailable()
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            return told(error)

    def _with_hook(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        return {"intensity_at": self.intensity_at, **(options or {})}

    def _tagged(self, tag: str) -> list[str]:
        found = [entry.name for entry in self.models.entries.values() if tag in entry.value.tags]
        if not found:
            tags = {tag for entry in self.models.entries.values() for tag in entry.value.tags}
            raise unknown("tag", tag, tags)
        return found


def _covered(resources: Sequence[str], covered: Mapping[str, str]) -> str | None:
    if not resources or any(resource not in covered for resource in resources):
        return None
    others = ", ".join(dict.fromkeys(covered[resource] for resource in resources))
    return f"what it reads is read by {others}"
