"""How far off the energy of a GPU is, by our meter and by others, and what metering costs.

    python benchmarks/meters.py [--quick] [--windows N] [--tool NAME]...
    python benchmarks/meters.py --real [--tool NAME]...

Runs on a fake NVML library whose power trace is known in closed form, so needs no GPU, only a C compiler. Every tool
takes windows of three lengths, at random phases, in a process of its own without network; others than ours where they
are installed (`pip install -e '.[peers]'`). N windows are of the shortest length (default 48), half as many of the
next, a quarter of the longest: some 20 minutes, nearly all of it asleep. Prints Markdown.

--real needs an NVIDIA GPU and torch, and a machine that nobody else uses: see `benchmarks/real.py`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import processes
import tools

LENGTHS = (0.213, 1.037, 5.053)
STEPS = (20, 100)
_AVERAGED = {"instant": 0, "average": 1}
_SEED = 20
# Half of the longest step [s]: windows that are longer or shorter by up to so much end anywhere in a step.
_ANY_PHASE = 0.05


class Case(NamedTuple):
    """A row: a tool on cards of a kind, beside a workload that holds the interpreter's lock or nothing.

    Windows are up to *jitter* seconds longer or shorter than their nominal length.
    """

    label: str
    tool: str
    about: Mapping[str, int] = {}
    beside: str = "nothing"
    jitter: float = 0.0


class Row(NamedTuple):
    """What came out of a case: records by (step, seconds), and faults."""

    case: Case
    records: dict[tuple[int, float], list[dict[str, Any]]]
    faults: list[str]


def cases(chosen: Sequence[str]) -> list[Case]:
    """Return the rows for the tools *chosen*: each as it is, and our sharp meter where things are hard."""
    plain = [Case(name, name) for name in chosen if name != "harness.measure"]
    hard = [
        Case("harness, power is a 1 s average", "harness", _AVERAGED),
        Case("harness, lengths ± 50 ms", "harness", jitter=_ANY_PHASE),
        Case("harness, lengths ± 50 ms, 1 s average", "harness", _AVERAGED, jitter=_ANY_PHASE),
        Case(
            "harness, lengths ± 50 ms, sensor read every 90 ms",
            "harness",
            {"sensor_ms": 90, "mean_ms": 25},
            jitter=_ANY_PHASE,
        ),
        Case("harness, block holds the lock", "harness", beside="block"),
        Case("harness, a thread holds the lock", "harness", beside="thread"),
    ]
    return plain + (hard if "harness" in chosen else [])


def measure(case: Case, counts: Mapping[float, int]) -> list[processes.Job]:
    """Return the processes of a row: one for each of the counter's steps."""
    lengths = [f"{seconds}:{count}" for seconds, count in counts.items()]
    seconds = sum((seconds + 0.4) * count for seconds, count in counts.items())
    return [
        processes.Job(
            ("windows.py", case.tool, case.beside, str(_SEED + step), str(case.jitter), *lengths),
            {"step_ms": step, **case.about},
            seconds,
            alone=case.beside != "nothing",
        )
        for step in STEPS
    ]


def accuracy(chosen: Sequence[str], counts: Mapping[float, int]) -> list[Row]:
    """Take all windows of the tools *chosen*, *counts* of each length."""
    rows = cases(chosen)
    done = iter(processes.run_all([job for case in rows for job in measure(case, counts)]))
    return [_row(case, {step: next(done) for step in STEPS}) for case in rows]


def _row(case: Case, by_step: Mapping[int, processes.Done]) -> Row:
    records: dict[tuple[int, float], list[dict[str, Any]]] = {}
    for step, done in by_step.items():
        for record in done.records:
            records.setdefault((step, record["seconds"]), []).append(record)
    return Row(case, records, [done.fault for done in by_step.values() if done.fault])


def accuracy_table(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of the table of errors."""
    columns = [(step, seconds) for step in STEPS for seconds in LENGTHS]
    yield from _heading(["error of the GPU energy, median / worst, %", *[f"{s} s, {step} ms" for step, s in columns]])
    for row in rows:
        if row.records:
            yield _line([row.case.label, *[_errors(row.records.get(column, [])) for column in columns]])


def bars_table(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of the table of error bars: how often they hold the truth, and how wide they are."""
    longest = LENGTHS[-1]
    yield from _heading(["error bar", "truth inside", *[f"width at {longest} s, {step} ms, %" for step in STEPS]])
    for row in rows:
        told = [record for records in row.records.values() for record in records if record["inside"] is not None]
        if told:
            inside = sum(record["inside"] for record in told)
            widths = [[r["bar"] for r in row.records.get((step, longest), [])] for step in STEPS]
            yield _line([row.case.label, f"{inside} of {len(told)}", *[_pair(width) for width in widths]])


def overhead_table(chosen: Sequence[str], *, is_quick: bool) -> Iterator[str]:
    """Measure what the tools *chosen* cost and yield the lines of the table."""
    yield from _heading(
        ["cost", "import + first start, ms", "start / stop, µs", "CPU between, ms per minute", "threads / processes"]
    )
    for name in chosen:
        runs = [processes.Job(("overheads.py", "first", name), alone=True)] * (1 if is_quick else 7)
        firsts = [record["first_ms"] for done in processes.run_all(runs) for record in done.records]
        done = processes.run(processes.Job(("overheads.py", "edges", name, "3" if is_quick else "30")))
        if firsts and done.records:
            yield _line([name, f"{statistics.median(firsts):.0f}", *_edges(done.records[0])])


def marks_line(*, is_quick: bool) -> str:
    """Measure both marks of several meters together and return what came out."""
    done = processes.run(processes.Job(("overheads.py", "marks", "100" if is_quick else "2000")))
    if done.fault:
        return f"Both marks together: {done.fault}"
    answer = done.records[0]
    return (
        f"Both marks of {answer['meters']} together, not sharp, hot: median {answer['median_us']:.0f} µs, "
        f"nine of ten under {answer['ninetieth_us']:.0f} µs."
    )


def _edges(record: Mapping[str, float]) -> list[str]:
    return [
        f"{record['start_us']:.0f} / {record['stop_us']:.0f}",
        f"{record['cpu_ms_per_minute']:.0f}",
        f"{record['threads']:.0f} / {record['processes']:.0f}",
    ]


def _errors(records: Iterable[Mapping[str, float]]) -> str:
    return _pair([record["error"] for record in records])


def _pair(values: Sequence[float]) -> str:
    return f"{_percent(statistics.median(values))} / {_percent(max(values))}" if values else "-"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f}" if percent >= 9.95 else f"{percent:.1f}" if percent >= 0.95 else f"{percent:.2f}"


def _heading(cells: Sequence[str]) -> list[str]:
    return [_line(cells), "|" + "---|" * len(cells)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="few and short windows: whether it works, not how well")
    parser.add_argument("--windows", type=int, default=48, metavar="N", help="windows of the shortest length")
    parser.add_argument("--tool", action="append", choices=list(tools.TOOLS), metavar="NAME", help="only this one")
    parser.add_argument("--real", action="store_true", help="a load on a real GPU instead of the fake library")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    asked = arguments.tool or list(tools.TOOLS)
    left_out = {name: reason for name in asked if (reason := processes.missing_package(name))}
    chosen = [name for name in asked if name not in left_out]
    if arguments.real:
        import real

        try:
            print(*real.table(chosen), sep="\n")
        except (ImportError, RuntimeError) as error:
            sys.exit(f"meters.py: {error}")
        return

    n = arguments.windows
    counts = {LENGTHS[0]: 4} if arguments.quick else dict(zip(LENGTHS, (n, n // 2, n // 4), strict=True))
    rows = accuracy(chosen, counts)
    print(*accuracy_table(rows), "", *bars_table(rows), "", sep="\n", flush=True)
    print(*overhead_table(chosen, is_quick=arguments.quick), "", marks_line(is_quick=arguments.quick), sep="\n")
    faults = left_out | {row.case.label: "; ".join(dict.fromkeys(row.faults)) for row in rows if row.faults}
    for name, reason in faults.items():
        print(f"\n{name}: {reason}")


if __name__ == "__main__":
    main()
