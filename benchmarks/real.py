"""The comparison of meters on a real GPU, under a load of known repeats. Needs an NVIDIA GPU and torch.

Nobody knows the truth here. What can be compared: the energy of one matrix multiplication, by each tool in windows of
three lengths, against the counter's over a window so long (30 s) that its step does not matter. The card is warmed up
for as long before, tools take turns, and the clock of each window stands beside it, as a card that throttles needs
longer and other energy for the same work. Other processes on the card falsify everything.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import tools

_LENGTHS = (0.213, 1.037, 5.053)
_REFERENCE_SECONDS = 30.0
_ROUNDS = 8
_SIZE = 4096

Load = Callable[[int], None]


class Taken(NamedTuple):
    """What a tool said of a window: joules and seconds for each repeat, and the error bar as a share."""

    joules: float
    seconds: float
    bar: float | None


def matrix_load() -> Load:
    """Return a function that multiplies two matrices so many times and waits for the device. Raises RuntimeError."""
    if "FAKE_NVML" in os.environ:
        raise RuntimeError("FAKE_NVML is set: --real would compare a real load with a fake card")
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("torch finds no CUDA device; --real needs an NVIDIA GPU")
    a, b = (torch.randn(_SIZE, _SIZE, device="cuda", dtype=torch.float16) for _ in range(2))
    out = torch.empty_like(a)

    def multiply(repeats: int) -> None:
        for number in range(repeats):
            torch.matmul(a, b, out=out)
            if number % 64 == 63:
                torch.cuda.synchronize()  # or the queue would hold far more than a window's work
        torch.cuda.synchronize()

    return multiply


def take(tool: tools.Tool, load: Load, repeats: int) -> Taken:
    """Take one window of *repeats*."""
    tool.begin()
    begun = time.monotonic()
    load(repeats)
    seconds = time.monotonic() - begun
    outcome = tool.end()
    bar = None if outcome.uncertainty is None else outcome.uncertainty / outcome.joules
    return Taken(outcome.joules / repeats, seconds / repeats, bar)


def repeats_in(load: Load, seconds: float, probe: int = 200) -> int:
    """Return how many repeats take about *seconds*, once *load* is warm."""
    load(probe)
    begun = time.monotonic()
    load(probe)
    return max(1, round(probe * seconds / (time.monotonic() - begun)))


def compare(
    made: dict[str, tools.Tool], load: Load, lengths: Sequence[float], rounds: int
) -> dict[tuple[str, float], list[Taken]]:
    """Let the tools take turns, *rounds* times at each length."""
    taken: dict[tuple[str, float], list[Taken]] = {}
    for seconds in lengths:
        repeats = repeats_in(load, seconds)
        for _ in range(rounds):
            for name, tool in made.items():
                taken.setdefault((name, seconds), []).append(take(tool, load, repeats))
    return taken


def table(chosen: Sequence[str], load: Load | None = None) -> Iterator[str]:
    """Measure with the tools *chosen* and yield the lines of a Markdown table."""
    load = load or matrix_load()
    made = {name: tools.TOOLS[name]() for name in chosen}
    load(repeats_in(load, _REFERENCE_SECONDS))
    reference = take(tools.Counter(), load, repeats_in(load, _REFERENCE_SECONDS))
    taken = compare(made, load, _LENGTHS, _ROUNDS)
    yield f"Counter over {_REFERENCE_SECONDS:.0f} s: {reference.joules:.4f} J, {reference.seconds * 1e3:.3f} ms each."
    yield ""
    yield (
        "| off that, median / worst, % | "
        + " | ".join(f"{seconds} s" for seconds in _LENGTHS)
        + " | bar, % | ms each |"
    )
    yield "|" + "---|" * (len(_LENGTHS) + 3)
    for name, tool in made.items():
        yield _line(name, [taken[name, seconds] for seconds in _LENGTHS], reference)
        tool.close()


def _line(name: str, columns: Sequence[Sequence[Taken]], reference: Taken) -> str:
    cells = []
    for column in columns:
        off = [100 * abs(one.joules / reference.joules - 1) for one in column]
        cells.append(f"{statistics.median(off):.2f} / {max(off):.2f}")
    bars = [one.bar for one in columns[-1] if one.bar is not None]
    cells.append(f"{100 * statistics.median(bars):.2f}" if bars else "-")
    cells.append(f"{1e3 * statistics.median(one.seconds for one in columns[-1]):.3f}")
    return f"| {name} | " + " | ".join(cells) + " |"
