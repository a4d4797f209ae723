"""One trial in a process of its own: what runs on the worker's side of the pipe."""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

from harness.errors import FAULTS, HarnessError
from harness.executor import Job
from harness.hookspecs import hookimpl
from harness.plugins_loader import PluginChoice, Plugins, load_plugins
from harness.records import Event, Failed, Failure, Finished, Missing, Reading, Trial
from harness.specs import IMAGE_TASKS
from harness.stack import MeterStack, Window
from harness.wire import decode, encode

Send = Callable[[bytes], None]
Metered = Callable[[str], AbstractContextManager[Window]]

# Loaded once in the server that workers are forked from, so that each of them has them at hand.
_plugins: dict[PluginChoice, Plugins] = {}


def prepare(payload: bytes) -> None:
    """Load the plugins that the choice in *payload* names, before any worker is forked."""
    loaded_plugins(decode(payload, PluginChoice))


def run_trial(payload: bytes, send: Send) -> None:
    """Run the job in *payload* and send its epochs and its end."""
    job = decode(payload, Job)
    send(encode(end_of_trial(job, lambda event: send(encode(event)))))


def end_of_trial(job: Job, report: Callable[[Event], None]) -> Finished | Failed:
    """Run *job* and return how it ended; whatever is raised becomes a status and a reason."""
    trial = job.trial

    def hung(what: str, seconds: float) -> None:
        report(Failed(trial.key, "failed", f"{what} has not returned for {seconds:.0f} s"))
        os._exit(1)

    try:
        plugins = loaded_plugins(job.plugins)
        plugins.manager.register(ImageClassification(plugins, job), "image-classification")
        with MeterStack(hung) as stack:
            stack.add(plugins.registry.create_meters(job.meters, job.meter_options))
            return _metered_trial(job, plugins, stack, report)
    except (*FAULTS, KeyboardInterrupt) as error:
        return Failed(trial.key, _status(error), _reason(error), _detail(error))


def _metered_trial(job: Job, plugins: Plugins, stack: MeterStack, report: Callable[[Event], None]) -> Finished:
    taken = Taken(stack, job.trial.key)
    outcome = plugins.manager.hook.harness_run_trial(trial=job.trial, window=taken.window, report=report)
    if outcome is None:
        raise HarnessError(f"no plugin runs trials of the task {job.trial.task!r}; name one that does with --plugin")
    if not isinstance(outcome, Mapping) or "performance" not in outcome:
        raise TypeError(f"harness_run_trial gave {outcome!r}, not a mapping with a performance")

    return Finished(
        trial=job.trial.key,
        performance=float(outcome["performance"]),
        metrics=outcome.get("metrics", {}),
        facts=outcome.get("facts", {}),
        readings=tuple(taken.readings),
        missing=tuple(taken.missing),
    )


@define
class Taken:
    """The readings of all windows of one trial."""

    _stack: MeterStack
    _trial: str
    readings: list[Reading] = field(factory=list)
    missing: list[Missing] = field(factory=list)

    @contextmanager
    def window(self, phase: str) -> Iterator[Window]:
        """Meter the block as *phase*."""
        with self._stack.window(trial=self._trial, phase=phase) as window:
            yield window
        self.readings += window.readings
        self.missing += window.missing


class ImageClassification:
    """The built-in task: fine-tune a classifier and evaluate it on the test split."""

    def __init__(self, plugins: Plugins, job: Job) -> None:
        self._registry = plugins.registry
        self._job = job

    @hookimpl(trylast=True)
    def harness_run_trial(
        self, trial: Trial, window: Metered, report: Callable[[Event], None]
    ) -> dict[str, Any] | None:
        """Load, build, train, evaluate; torch is imported here and not before."""
        if trial.task not in IMAGE_TASKS:
            return None

        from harness.training import Training, run_training

        dataset = self._registry.dataset(trial.dataset)
        root = Path(self._job.data_dir) if self._job.data_dir is not None else None
        splits = dataset.load(trial.setting.image_size, root, self._job.download)
        weights = weights_of(trial.model, trial.setting.weights, self._job.weights_dir)
        training = Training(trial, self._registry.model(trial.model), dataset, splits, weights)
        outcome = run_training(training, trial, window, report)
        outcome["facts"]["weights_digest"] = _file_digest(weights)
        return outcome


def weights_of(model: str, weights: str, weights_dir: str | None) -> str | None:
    """Return the weights to create *model* with: None from scratch, a file of *weights_dir*, or what was asked for."""
    if weights == "scratch":
        return None
    if weights == "pretrained" and weights_dir is not None:
        for ending in (".safetensors", ".pth", ".pt"):
            file = Path(weights_dir) / f"{weights_name(model)}{ending}"
            if file.is_file():
                return str(file)
    return weights


def _file_digest(weights: str | None) -> str | None:
    """Return the SHA-256 of a weights file, None where the weights are of no file that we were given."""
    if weights is None or weights == "pretrained":
        return None

    digest = hashlib.sha256()
    with Path(weights).open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def weights_name(model: str) -> str:
    """Return the name of *model*'s weights file, without its ending."""
    return model.removeprefix("timm:")


def loaded_plugins(choice: PluginChoice) -> Plugins:
    """Return the plugins of *choice*, loaded once in this process or in the one that it was forked from."""
    if choice not in _plugins:
        _plugins[choice] = load_plugins(choice)
    return _plugins[choice]


def _status(error: BaseException) -> Failure:
    if type(error).__name__ == "DivergedError":
        return "diverged"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    # torch's CPU allocator has no exception of its own.
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return "oom"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    if isinstance(error, HarnessError):
        return " ".join(lines)
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _detail(error: BaseException) -> str:
    """Return the traceback without locals, the home folder shortened."""
    text = "".join(traceback.format_exception(error))
    return text.replace(str(Path.home()), "~")
