"""Trials and events that the tests of the store, and the programs they start, write."""

from __future__ import annotations

from pathlib import Path

from harness.records import EpochDone, Finished, Missing, Reading, Setting, Started, StudyRecord, Trial
from harness.store.store import Store

STUDY = StudyRecord(created="2026-01-02T03:04:05+00:00", settings={"epochs": 1}, packages={"torch": "2.9"}, commit="c0")
READINGS = 3


def trial(seed: int = 1) -> Trial:
    return Trial("resnet18", "digits", Setting(weights="scratch"), seed)


def reading(resource: str = "time", value: float = 1.5, unit: str = "s") -> Reading:
    window = {"phase": "train", "start_ns": 10, "stop_ns": 20}
    return Reading(resource, value, unit, 0.25, "counter", meter=resource, trial="ignored", **window)


def finished(key: str, performance: float = 0.5) -> Finished:
    readings = (reading(), reading("memory_host", 4096, "B"), reading("energy_gpu", 7, "J"))
    return Finished(
        key, performance, {"auc": 0.75}, {"data": 100}, readings, (Missing("energy_cpu", "no RAPL", "rapl"),)
    )


def run_trial(store: Store, study: int, seed: int, performance: float = 0.5) -> str:
    """Store a whole trial, event by event, and return its key."""
    key = trial(seed).key
    store.add_trials(study, [trial(seed)])
    store.record(study, Started(key, 4711, "forkserver"))
    store.record(study, EpochDone(key, 1, 0.5, performance))
    store.record(study, finished(key, performance))
    return key


def filled_store(path: Path, trials: int = 1) -> Path:
    """Make a store of finished trials with seeds from 1, and return its path."""
    with Store.open(path) as store:
        study = store.begin_study(STUDY)
        for seed in range(1, trials + 1):
            run_trial(store, study, seed)
    return path
