"""One trial in a process of its own: what runs on the worker's side of the pipe."""

from __future__ import annotations

import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pluggy
from attrs import evolve

from harness.errors import DivergedError, HarnessError, shown, told
from harness.hookspecs import hookimpl
from harness.interruption import is_ctrl_c
from harness.measuring.baseline import BASELINE, net_energies
from harness.measuring.stack import MeterStack
from harness.measuring.window import Window, overhead
from harness.plugins_loader import Plugin, PluginChoice, Plugins, load_plugins
from harness.records import EpochDone, Event, Failed, Failure, Finished, Missing, Reading, Trial
from harness.specs import IMAGE_TASKS
from harness.weights.choosing import file_of_weights, weights_facts, weights_of
from harness.wire import decode, encode
from harness.workers.dataset_check import refuse_changed
from harness.workers.executor import Job
from harness.workers.naming import named, naming

Send = Callable[[bytes], None]
Metered = Callable[[str], AbstractContextManager[Window]]

# Of torch's CPU allocator, CUDA and cuDNN, which have no exception of their own for it.
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
# Loaded once in the server that workers are forked from, so that each of them has them at hand.
_plugins: dict[PluginChoice, Plugins] = {}


def prepare(payload: bytes) -> None:
    """Load the plugins that the choice in *payload* names, before any worker is forked."""
    loaded_plugins(decode(payload, PluginChoice))


def run_trial(payload: bytes, send: Send) -> None:
    """Run the job in *payload* and send its epochs and its end."""
    run_job(decode(payload, Job), lambda event: send(encode(event)))


def run_job(job: Job, report: Callable[[Event], None]) -> None:
    """Run *job* and report its epochs and, once, its end; whatever is raised becomes a status and a reason."""
    ended = False

    def hung(what: str, seconds: float) -> None:
        if not ended:
            report(Failed(job.trial.key, "failed", f"{what} has not returned for {seconds:.0f} s"))
        os._exit(0 if ended else 1)

    plugins: Plugins | None = None
    try:
        plugins = loaded_plugins(job.plugins)
        # By a name that no entry point bears.
        plugins.manager.register(ImageClassification(plugins, job), "(image classification)")
        with MeterStack(hung) as stack:
            options = {**job.meter_options, "sampler": stack.sampler}
            stack.add(plugins.registry.create_meters(job.meters, options))
            report(_metered_trial(job, plugins, stack, report))
            ended = True
    except BaseException as error:
        if not ended:
            where = f", in plugin {plugins.acting}" if plugins is not None and plugins.acting is not None else ""
            report(Failed(job.trial.key, _status(error), _reason(error) + where, _detail(error)))


def _metered_trial(job: Job, plugins: Plugins, stack: MeterStack, report: Callable[[Event], None]) -> Finished:
    taken = Taken(stack, job)
    taken.meter_idleness()
    outcome = _outcome(job, plugins, taken, report)
    performance = outcome["performance"]
    if not math.isfinite(performance):
        raise DivergedError(f"the performance is {performance}")

    taken.finish()
    end = Finished(
        trial=job.trial.key,
        performance=float(performance),
        metrics=outcome.get("metrics", {}),
        facts={**outcome.get("facts", {}), **taken.facts()},
        readings=tuple(taken.readings),
        missing=tuple(taken.missing),
    )
    encode(end)  # what cannot be sent is raised here, where it becomes a reason
    return end


def _outcome(job: Job, plugins: Plugins, taken: Taken, report: Callable[[Event], None]) -> Mapping[str, Any]:
    """Ask one plugin after the other to run the trial, and name the one whose fault it is if none does.

    One that fails before it has metered or reported anything leaves the trial to the next: it may be none of its own.
    """
    reported: list[EpochDone] = []

    def epoch(event: object) -> None:
        reported.append(_checked(event, job.trial.key))
        report(reported[-1])

    given = {"trial": job.trial, "window": taken.window, "report": epoch}
    faults: list[tuple[Plugin | None, BaseException]] = []
    for implementation in reversed(plugins.manager.hook.harness_run_trial.get_hookimpls()):
        plugins.acting = plugins.known.get(implementation.plugin_name)
        try:
            outcome = _answer(implementation, given)
        except BaseException as error:
            if reported or taken.has_begun or is_ctrl_c(error):
                raise
            faults.append((plugins.acting, error))
            continue
        if outcome is not None:
            return _with_faults(outcome, faults)
    plugins.acting = None
    if faults:
        plugins.acting, fault = faults[-1]
        raise fault
    raise HarnessError(f"no plugin runs trials of the task {job.trial.task!r}; name one that does with --plugin")


def _answer(implementation: pluggy.HookImpl, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the outcome of the trial, None from a plugin that leaves it; raises TypeError for any other answer."""
    outcome = implementation.function(**{name: given[name] for name in implementation.argnames})
    if outcome is None:
        return None
    if not isinstance(outcome, Mapping) or not isinstance(outcome.get("performance"), (int, float)):
        raise TypeError(f"{implementation.plugin_name!r} gave {shown(outcome)}, not a mapping with a performance")
    return outcome


def _with_faults(
    outcome: Mapping[str, Any], faults: Sequence[tuple[Plugin | None, BaseException]]
) -> Mapping[str, Any]:
    """Return *outcome* with the *faults* of the plugins that were asked before, which are told on stderr too."""
    if not faults:
        return outcome
    lines = [f"plugin {plugin} raised in harness_run_trial: {told(error)}" for plugin, error in faults]
    for line in lines:
        print(f"harness: {line}; the trial is left to others", file=sys.stderr)
    return {**outcome, "facts": {**outcome.get("facts", {}), "plugin_faults": lines}}


def _checked(event: object, trial: str) -> EpochDone:
    """Return *event* as an epoch of *trial* that can be stored; raises TypeError or ValueError for anything else."""
    if not isinstance(event, EpochDone):
        raise TypeError(f"report() takes an EpochDone, not {event!r}")
    if event.trial != trial or not isinstance(event.epoch, int) or event.epoch < 1:
        raise ValueError(f"report() takes epochs of this trial, counted from 1, not {event!r}")
    return EpochDone(
        trial, event.epoch, _finite(event.loss), _finite(event.performance), _finite(event.train_performance)
    )


def _finite(number: float | None) -> float | None:
    return float(number) if number is not None and math.isfinite(number) else None


class Taken:
    """The readings of all windows of one trial, and what is known of how they were taken."""

    def __init__(self, stack: MeterStack, job: Job) -> None:
        self._stack = stack
        self._job = job
        self._overhead: dict[str, Any] = {}
        self.readings: list[Reading] = []
        self.missing: list[Missing] = []

    @contextmanager
    def window(self, phase: str) -> Iterator[Window]:
        """Meter the block as *phase*; raises ValueError for one that was metered already."""
        if not isinstance(phase, str) or phase in self._overhead:
            raise ValueError(f"window() takes a phase that was not metered yet, not {phase!r}")

        self._overhead[phase] = {}
        with self._stack.window(trial=self._job.trial.key, phase=phase, sharp=self._job.sharp) as window:
            yield window
        self.readings += window.readings
        self.missing += window.missing
        self._overhead[phase] = overhead(window)

    @property
    def has_begun(self) -> bool:
        """Whether a window other than that of the baseline was opened."""
        return bool(self._overhead.keys() - {BASELINE})

    def meter_idleness(self) -> None:
        """Meter what the machine takes while nothing is done, if that was asked for."""
        if self._job.baseline is not None:
            with self.window(BASELINE):
                time.sleep(self._job.baseline)

    def finish(self) -> None:
        """Add what follows from the windows together: the energies beyond the idle power."""
        found, lost = net_energies(self.readings, self.missing)
        self.readings += found
        self.missing += lost

    def facts(self) -> dict[str, Any]:
        """Return the PUE, what the meters tell of their devices, and by phase and meter what metering cost."""
        return {"pue": self._job.pue, "meters": self._stack.facts(), "overhead": self._overhead}


class ImageClassification:
    """The built-in task: fine-tune a classifier and evaluate it on the test split."""

    def __init__(self, plugins: Plugins, job: Job) -> None:
        self._plugins = plugins
        self._job = job

    @hookimpl(trylast=True)
    def harness_run_trial(
        self, trial: Trial, window: Metered, report: Callable[[Event], None]
    ) -> dict[str, Any] | None:
        """Load, build, train, evaluate; torch is imported here and not before."""
        if trial.task not in IMAGE_TASKS:
            return None

        from harness.training.course import run_training
        from harness.training.loop import Training

        registry = self._plugins.registry
        dataset, model = registry.dataset(trial.dataset), registry.model(trial.model)
        of_dataset, of_model = (self._plugins, "dataset", trial.dataset), (self._plugins, "model", trial.model)
        root = Path(self._job.data_dir) if self._job.data_dir is not None else None
        with naming(*of_dataset):
            refuse_changed(dataset, trial, root)
        weights = weights_of(model, trial.setting.weights, self._job.weights_dir)
        with naming(*of_model):
            file = file_of_weights(model, weights)
        facts = weights_facts(file, trial.weights_tag)
        # The images are handed over, not kept here: they would count twice in the peak of host memory.
        training = Training(
            trial,
            evolve(model, create=named(*of_model, model.create)),
            dataset,
            named(*of_dataset, dataset.load)(trial.setting.image_size, root, self._job.download),
            file or weights,
        )
        if file is None:  # where the model brought its weights itself, they may lie in the cache now
            facts = weights_facts(file_of_weights(model, weights), trial.weights_tag)
        outcome = run_training(training, trial, window, report)
        outcome["facts"] |= facts
        return outcome


def loaded_plugins(choice: PluginChoice) -> Plugins:
    """Return the plugins of *choice*, loaded once in this process or in the one that it was forked from."""
    if choice not in _plugins:
        _plugins[choice] = load_plugins(choice)
    return _plugins[choice]


def _status(error: BaseException) -> Failure:
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    if isinstance(error, RuntimeError) and any(words in told(error) for words in _OUT_OF_MEMORY):
        return "oom"
    return "interrupted" if is_ctrl_c(error) else "failed"


def _reason(error: BaseException) -> str:
    if isinstance(error, HarnessError):
        return " ".join(str(error).split())
    return told(error).strip().splitlines()[0]


def _detail(error: BaseException) -> str:
    """Return the traceback without locals, the home folder shortened."""
    text = "".join(traceback.format_exception(error))
    return text.replace(str(Path.home()), "~")
