"""The hooks: what a plugin can bring or be told of. Arguments come by keyword; name only those you want."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from harness.measuring.window import Window
    from harness.records import Event, Trial
    from harness.specs import DatasetSpec, ModelSpec

hookspec = pluggy.HookspecMarker("harness")
hookimpl = pluggy.HookimplMarker("harness")


@hookspec
def harness_register_meters(register: Callable[..., None]) -> None:
    """Call `register(name, factory, resources=(...))` once for each meter; `factory(options)` gives the meter.

    `options=(...)` may name those options that change how it reads; `estimated=True` says that it models what others
    count, so that "auto" takes it only where no counter works, and says so; `automatic=False` that it must be named."""


@hookspec
def harness_register_models(register: Callable[[ModelSpec], None]) -> None:
    """Call `register(ModelSpec(...))` once for each model that can be listed. Do not import torch for it."""


@hookspec(firstresult=True)
def harness_resolve_model(name: str) -> ModelSpec | None:
    """Return the model for a *name* that no list holds, such as `timm:NAME`, or None."""


@hookspec
def harness_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Call `register(DatasetSpec(...))` once for each dataset."""


@hookspec(firstresult=True)
def harness_resolve_dataset(name: str) -> DatasetSpec | None:
    """Return the dataset for a *name* that no list holds, such as `folder:PATH`, or None."""


@hookspec
def harness_register_executors(register: Callable[..., None]) -> None:
    """Call `register(name, factory)` once for each executor; `factory(options)` gives the executor."""


@hookspec
def harness_register_scores(register: Callable[..., None]) -> None:
    """Call `register(name, reducer)` once for each score."""


@hookspec(firstresult=True)
def harness_run_trial(
    trial: Trial,
    window: Callable[[str], AbstractContextManager[Window]],
    report: Callable[[Event], None],
) -> Mapping[str, Any] | None:
    """Run one trial in the worker's process and return its outcome, or None to leave it to another plugin.

    The outcome holds `performance` in [0, 1] and, if you like, `metrics` and `facts`, all plain data.
    `with window(phase) as w:` meters a stretch, `w.lap()` ends an epoch of it; `report(event)` sends an `EpochDone`.
    """


@hookspec
def harness_trial_event(event: Event) -> None:
    """Told of every started, epoch, finished and failed, in the runner, after the store has it."""


@hookspec(firstresult=True)
def harness_carbon_intensity(location: str | None, when: datetime.datetime | None) -> Mapping[str, Any] | None:
    """Return `{"grams_per_kwh": ..., "source": ...}` of the electricity at *location* and *when*, or None.

    With "uncertainty" [g/kWh], without which nothing is known of it, and "sampled": True if it is of that very hour
    rather than of a year. *when* is in UTC; None asks whether the location is known at all, often and in a hurry:
    answer with any mapping, without the network. A HarnessError is told to the user, with no other plugin asked.
    """


@hookspec
def harness_add_commands(cli: click.Group) -> None:
    """Add click commands to the command line."""
