"""How fast our training loop is beside a plain one, and what metering and storing add to it.

    python benchmarks/training.py [--quick] [--model NAME]... [--rounds N] [--threads N] [--clock wall|cpu]
    python benchmarks/training.py --accuracy [--epochs N] [--seed N]... [--model NAME]... [--threads N]

The plain loop is one as the paper's authors wrote theirs: a DataLoader without workers over tensors of floats, Adam as
PyTorch makes it, loss and accuracy asked for with `.item()` at each step, a test pass after each epoch. Both train the
same model from the same weights on the same digits of 64 x 64 pixels in the same order, in turns in one process; a
ratio is the median over the rounds of plain seconds / ours. bf16 is ours too, against the plain loop in fp32.

On a machine that others use as well, `--threads 1 --clock cpu` counts CPU seconds, which waiting adds nothing to. What
metering costs is the sum of what our windows and events say of themselves, not a difference of two clocks. Prints
Markdown.

`--accuracy` times nothing: it prints the test accuracies of the loops after `--epochs` from the same weights, in per
cent, the mean and the standard deviation over the seeds, and how far ours is from the plain loop's with the same seed,
the mean with its 95 % interval.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import accuracies
import plain_training
import torch

from harness.measuring.stack import MeterStack
from harness.measuring.window import Window
from harness.plugins_loader import load_plugins
from harness.records import EpochDone, Finished, Setting, Started, StudyRecord, Trial
from harness.specs import Split, Splits
from harness.store.store import Store
from harness.training.allocator import keep_freed_memory
from harness.training.course import run_training
from harness.training.loop import Training
from harness.wire import encode

MODELS = ("resnet18d", "mobilenetv2_050", "ese_vovnet19b_dw", "convnext_atto")
_SIZE = 64
_BATCH = 32
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


class Epochs(NamedTuple):
    """Seconds of each epoch with its test pass, and the test accuracy after the last."""

    seconds: list[float]
    accuracies: list[float]


def digits(steps: int, test: int) -> Splits:
    """Return the digits, as many as *steps* batches take, over and over where there are too few."""
    loaded = load_plugins().registry.dataset("digits").load(_SIZE, None, False)
    wanted = torch.arange(steps * _BATCH).numpy() % len(loaded.train.labels)
    train = Split(loaded.train.images[wanted], loaded.train.labels[wanted])
    held_out = Split(loaded.test.images[:test], loaded.test.labels[:test])
    return Splits(train, held_out, held_out)


def ours(name: str, splits: Splits, precision: str, seed: int = 1) -> Training:
    """Return our loop, loaded."""
    training = made(name, splits, precision, seed=seed)[0]
    training.load()
    return training


def made(name: str, splits: Splits, precision: str, epochs: int = 1, seed: int = 1) -> tuple[Training, Trial]:
    registry = load_plugins().registry
    setting = Setting(weights="scratch", image_size=_SIZE, batch_size=_BATCH, precision=precision, epochs=epochs)
    trial = Trial(name, "digits", setting, seed)
    return Training(trial, registry.model(name), registry.dataset("digits"), splits, None), trial


def epoch_of(training: Training) -> float:
    """Train one epoch and return the test accuracy after it."""
    keep_freed_memory()
    training.epoch()
    return training.accuracy(training.outputs(training.test_split), training.test_split)


def take_turns(loops: dict[str, Callable[[], float]], rounds: int, clock: Callable[[], float]) -> dict[str, Epochs]:
    """Run an epoch of each loop in turns, *rounds* times after a first one that is not timed."""
    taken = {name: Epochs([], []) for name in loops}
    for number in range(rounds + 1):
        for name, epoch in loops.items():
            begun = clock()
            accuracy = epoch()
            if number > 0:
                taken[name].seconds.append(clock() - begun)
                taken[name].accuracies.append(accuracy)
    return taken


def loops_of(name: str, splits: Splits, seed: int = 1) -> dict[str, Callable[[], float]]:
    """Return an epoch of the plain loop and of ours in fp32 and, where the CPU computes in it, bf16."""
    plain = plain_training.Plain(name, splits, _BATCH, seed)
    loops = {"plain": plain.epoch}
    for precision in ("fp32", "bf16") if has_bf16() else ("fp32",):
        training = ours(name, splits, precision, seed)
        loops[precision] = lambda training=training: epoch_of(training)  # type: ignore[misc]
    return loops


def has_bf16() -> bool:
    """Say whether the CPU multiplies in bfloat16, by what Linux says of it."""
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(word in flags.read_text().split() for word in ("avx512_bf16", "amx_bf16"))


def ratio(taken: dict[str, Epochs], precision: str) -> float:
    """Return how many times as fast as the plain loop ours is: the median over the rounds."""
    pairs = zip(taken["plain"].seconds, taken[precision].seconds, strict=True)
    return statistics.median(plain / own for plain, own in pairs)


def table(names: Sequence[str], splits: Splits, rounds: int, clock: Callable[[], float]) -> Iterator[str]:
    """Compare the loops for each model and yield the lines of a Markdown table, the geometric means last."""
    precisions = ["fp32", "bf16"] if has_bf16() else ["fp32"]
    yield f"| model | plain, s | {' | '.join(f'{one}, s | times as fast' for one in precisions)} | test accuracy |"
    yield "|---|" + "---|" * (2 + 2 * len(precisions))
    ratios: dict[str, list[float]] = {one: [] for one in precisions}
    for name in names:
        taken = take_turns(loops_of(name, splits), rounds, clock)
        for one in precisions:
            ratios[one].append(ratio(taken, one))
        yield _line(name, taken, ratios)
    means = " | ".join(f"| {statistics.geometric_mean(ratios[one]):.2f}" for one in precisions)
    yield f"| geometric mean | {means} | |"


def _line(name: str, taken: dict[str, Epochs], ratios: dict[str, list[float]]) -> str:
    cells = [f"{statistics.median(taken['plain'].seconds):.3f}"]
    for precision, found in ratios.items():
        cells += [f"{statistics.median(taken[precision].seconds):.3f}", f"{found[-1]:.2f}"]
    cells.append(" / ".join(f"{epochs.accuracies[-1]:.3f}" for epochs in taken.values()))
    return f"| {name} | {' | '.join(cells)} |"


class Overhead(NamedTuple):
    """Seconds of an epoch of training with its test pass, and how many of them metering and events took."""

    epoch: float
    metering: float
    events: float

    @property
    def share(self) -> float:
        return (self.metering + self.events) / self.epoch


def overhead(name: str, splits: Splits, epochs: int) -> Overhead:
    """Train *epochs* as a trial does, with every meter that works here, each event sent and stored."""
    training, trial = made(name, splits, "fp32", epochs)
    registry = load_plugins().registry
    windows: list[Window] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(Path(folder) / "store.sqlite") as store,
        MeterStack() as stack,
    ):
        stack.add(registry.create_meters(registry.automatic_meters({})[0], {"sampler": stack.sampler}))
        events = Events(store, trial)

        @contextmanager
        def metered(phase: str) -> Iterator[Window]:
            with stack.window(phase=phase, trial=trial.key) as window:
                windows.append(window)
                yield window

        events.end(run_training(training, trial, metered, events.report)["performance"])
    start, stop = windows[0].edges_ns
    return Overhead((stop - start) / 1e9 / epochs, sum(windows[0].costs.values()) / epochs, events.seconds / epochs)


class Events:
    """Sends and stores the events of one trial and counts the seconds."""

    def __init__(self, store: Store, trial: Trial) -> None:
        self.seconds = 0.0
        self._store = store
        self._trial = trial.key
        self._study = store.begin_study(StudyRecord("2026-01-01T00:00:00Z"))
        store.add_trials(self._study, [trial])
        self.report(Started(trial.key, 1, "none"))

    def end(self, performance: float) -> None:
        self.report(Finished(self._trial, performance))

    def report(self, event: EpochDone | Started | Finished) -> None:
        begun = time.perf_counter()
        encode(event)
        self._store.record(self._study, event)
        self.seconds += time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of two steps: does it run?")
    parser.add_argument("--model", action="append", help="default: " + ", ".join(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="training batches of an epoch")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--accuracy", action="store_true", help="compare test accuracies, not seconds")
    parser.add_argument("--epochs", type=int, default=4, help="with --accuracy")
    parser.add_argument("--seed", action="append", type=int, help="with --accuracy, two or more; default: 1 to 5")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not has_bf16():
        print("bf16 is left out: this CPU has neither avx512_bf16 nor amx_bf16\n")
    (print_accuracies if options.accuracy else print_seconds)(options)


def print_accuracies(options: argparse.Namespace) -> None:
    steps, epochs, seeds = (
        (2, 1, (1, 2)) if options.quick else (options.steps, options.epochs, options.seed or range(1, 6))
    )
    splits = digits(steps, 10 * steps)
    seeds_told = f"seeds {', '.join(map(str, seeds))}"
    print(f"torch {torch.__version__}, {options.threads} threads, {epochs} epochs of {steps} steps, {seeds_told}\n")
    for line in accuracies.table(
        options.model or MODELS, lambda name, seed: loops_of(name, splits, seed), epochs, seeds
    ):
        print(line, flush=True)


def print_seconds(options: argparse.Namespace) -> None:
    rounds, steps, long = (1, 2, 2) if options.quick else (options.rounds, options.steps, 100)
    print(
        f"torch {torch.__version__}, {options.threads} threads, {options.clock} seconds of an epoch of {steps} steps\n"
    )
    for line in table(options.model or MODELS, digits(steps, 10 * steps), rounds, CLOCKS[options.clock]):
        print(line, flush=True)
    cost = overhead("mobilenetv2_050", digits(long, _BATCH), epochs=1 if options.quick else 3)
    print(
        f"\nOverhead of an epoch of {long} steps of {cost.epoch:.2f} s: metering {cost.metering * 1e3:.2f} ms, ", end=""
    )
    print(f"events {cost.events * 1e3:.2f} ms, together {100 * cost.share:.3f} %")


if __name__ == "__main__":
    main()
