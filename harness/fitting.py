"""Trials at image sizes that their models take: from what is known of a model, else found out in a worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import cattrs
from attrs import evolve

from harness.errors import HarnessError
from harness.image_sizes import ImageSizes, refusal
from harness.records import Trial
from harness.registry import Registry
from harness.specs import IMAGE_TASKS
from harness.study import Study
from harness.workers.executor import Executor


def fit_trials(trials: Sequence[Trial], study: Study, registry: Registry, executor: Executor) -> list[Trial]:
    """Return *trials* at sizes that their models take: the size asked for or, with `resize_to_model`, the nearest.

    Raises HarnessError where a model is known not to take the size asked for: one line for each size, with all models.
    """
    known = {trial.model: registry.model(trial.model).image_sizes for trial in trials if trial.task in IMAGE_TASKS}
    if not study.resize_to_model:
        _refuse_unfit(trials, {model: sizes for model, sizes in known.items() if sizes is not None})
        return list(trials)

    tried = _tried([trial for trial in trials if trial.model in known and known[trial.model] is None], study, executor)
    return [_at(trial, known.get(trial.model) or tried.get(_what(trial)), registry) for trial in trials]


def told_changes(asked: Iterable[Trial], fitted: Iterable[Trial]) -> list[str]:
    """Return a line for each change of size, with the models that it is for."""
    changes: dict[tuple[int, int], list[str]] = {}
    for before, after in zip(asked, fitted, strict=True):
        sizes = before.setting.image_size, after.setting.image_size
        if sizes[0] != sizes[1]:
            changes.setdefault(sizes, []).append(after.model)
    return [
        f"images of {got} x {got} pixels instead of {wanted} x {wanted} for {', '.join(dict.fromkeys(models))}"
        for (wanted, got), models in changes.items()
    ]


def _refuse_unfit(trials: Iterable[Trial], known: dict[str, ImageSizes]) -> None:
    unfit: dict[int, dict[str, str]] = {}
    for trial in trials:
        size, sizes = trial.setting.image_size, known.get(trial.model)
        if sizes is not None and not sizes.with_weights(trial.setting.weights).take(size):
            unfit.setdefault(size, {})[trial.model] = str(sizes)
    if unfit:
        raise HarnessError("\n".join(refusal(size, models) for size, models in unfit.items()))


def _tried(trials: Iterable[Trial], study: Study, executor: Executor) -> dict[tuple[str, str, int], ImageSizes]:
    """Return for each model, dataset and size of *trials* the nearest size that works, found out in a worker."""
    wanted = list(dict.fromkeys(_what(trial) for trial in trials))
    if not wanted:
        return {}
    payload = json.dumps({"plugins": cattrs.unstructure(study.plugins), "wanted": wanted}).encode()
    nearest = json.loads(executor.call("harness.workers.image_check:send_nearest", payload))
    return {what: ImageSizes(only=(size,)) for what, size in zip(wanted, nearest, strict=True)}


def _what(trial: Trial) -> tuple[str, str, int]:
    return trial.model, trial.dataset, trial.setting.image_size


def _at(trial: Trial, sizes: ImageSizes | None, registry: Registry) -> Trial:
    """Return *trial* at the nearest of *sizes*, with where its images then come from."""
    setting = trial.setting
    fitting = sizes.with_weights(setting.weights) if sizes is not None else None
    if fitting is None or fitting.take(setting.image_size):
        return trial
    size = fitting.nearest(setting.image_size)
    resizing = registry.dataset(trial.dataset).resizing(size)
    return evolve(trial, setting=evolve(setting, image_size=size, resize=resizing))
