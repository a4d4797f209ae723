"""Small stores for tests: trials that ended as they are told to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.records import EpochDone, Failed, Finished, Missing, Reading, Setting, Started, StudyRecord, Trial
from harness.store.store import Store

UNITS = {"time": "s", "carbon_intensity": "g/kWh"}


def reading(resource: str, value: float, source: Any = "counter", **more: Any) -> Reading:
    """A total of the phase `train`, in the resource's unit."""
    unit = UNITS.get(resource) or ("J" if resource.startswith("energy") else "B")
    return Reading(resource, value, unit, 0.0, source, **{"meter": "fake", "phase": "train", **more})


def missing(resource: str, reason: str) -> Missing:
    return Missing(resource, reason, meter="fake", phase="train")


def trial(model: str, dataset: str = "digits", seed: int = 1, **setting: Any) -> Trial:
    return Trial(model, dataset, Setting(**setting), seed)


def finished(one: Trial, performance: float, *taken: Reading | Missing, **more: Any) -> tuple[Trial, Finished]:
    """A trial that ended well, with its readings and gaps."""
    readings = tuple(item for item in taken if isinstance(item, Reading))
    gaps = tuple(item for item in taken if isinstance(item, Missing))
    return one, Finished(one.key, performance, readings=readings, missing=gaps, **more)


def failed(one: Trial, status: Any, reason: str) -> tuple[Trial, Failed]:
    return one, Failed(one.key, status, reason)


def make_store(
    path: Path,
    ended: Iterable[tuple[Trial, Finished | Failed]],
    *,
    start_method: str = "forkserver",
    epochs: Iterable[EpochDone] = (),
) -> Path:
    """Write a store at *path*, or add to it, and return the path."""
    with Store.open(path) as store:
        study = store.begin_study(StudyRecord("2026-01-01T00:00:00Z"))
        for one, end in ended:
            store.add_trials(study, [one])
            store.record(study, Started(one.key, 1, start_method))
            for epoch in epochs:
                if epoch.trial == one.key:
                    store.record(study, epoch)
            store.record(study, end)
    return path
