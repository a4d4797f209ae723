"""Meters the rounds of pytest-benchmark's fixture `benchmark`, with no change to the test.

There is no hook for it, so inner methods of the one fixture are replaced. What a round runs and how it is timed stays
as it was: edges lie between rounds.
"""

from __future__ import annotations

import abc
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from attrs import frozen

from harness.records import Metered
from harness.suites.metering import CallWindow, SuiteMeters
from harness.suites.per_call import PerCall, per_call, together

# The inner methods that are replaced; pytest-benchmark 4.0 to 5.3 have them.
INNER = ("_raw", "_raw_pedantic", "_make_runner", "_make_stats")
# How wide an error bar may be, as a part of its value, before further rounds are run for the meters' sake.
WIDEST = 0.05
# A first block of further rounds lasts so long [s], the next twice as long, and all together this many times what
# pytest-benchmark takes for one benchmark.
SHORTEST_BLOCK = 0.1
LONGEST = 5.0
# With a setup or a teardown each round has edges of its own; rounds after so many are not metered.
MOST_WINDOWS = 50

Done = Callable[[PerCall], None]


def attach(fixture: Any, meters: SuiteMeters, done: Done) -> None:
    """Have the rounds of *fixture* metered; *done* is told what one call takes, once they are over."""
    raw, pedantic = fixture._raw, fixture._raw_pedantic

    def metered_raw(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        rounds = OrdinaryRounds(fixture, meters, done)
        with rounds:
            return raw(_Last(function, rounds.over), *args, **kwargs)

    def metered_pedantic(target: Callable[..., Any], **how: Any) -> Any:
        with PedanticRounds(fixture, meters, done, how):
            return pedantic(target, **how)

    fixture._raw, fixture._raw_pedantic = metered_raw, metered_pedantic


@frozen
class _Last:
    """A benchmarked function whose call, after the rounds and for its result, tells that they are *over*.

    The rounds themselves call the function: nothing is added to what they time.
    """

    function: Callable[..., Any]
    over: Callable[[], None]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.over()
        return self.function(*args, **kwargs)


class _Rounds(abc.ABC):
    """The rounds of one benchmark. As a context it replaces two of the fixture's methods."""

    def __init__(self, fixture: Any, meters: SuiteMeters, done: Done) -> None:
        self._fixture = fixture
        self._meters = meters
        self._done = done
        self._make_original_runner = fixture._make_runner
        self._make_original_stats = fixture._make_stats
        self._window: CallWindow | None = None

    def __enter__(self) -> None:
        self._fixture._make_runner, self._fixture._make_stats = self._make_runner, self._make_stats

    def __exit__(self, *raised: object) -> None:
        # A round that raised has left it open.
        if self._window is not None:
            self._window.end(0, 0.0)
            self._window = None

    @abc.abstractmethod
    def _make_runner(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Stand in for the fixture's method of this name."""

    @abc.abstractmethod
    def _make_stats(self, iterations: int) -> Any:
        """Stand in for the fixture's method of this name."""

    def _begin(self) -> None:
        self._window = self._meters.begin()

    def _end(self, calls: int, seconds: float) -> Metered:
        assert self._window is not None
        window, self._window = self._window, None
        return window.end(calls, seconds)


class OrdinaryRounds(_Rounds):
    """Those of `benchmark(function)`: one window around them, and further blocks while an error bar is too wide."""

    _stats: Any = None
    _runner: Any = None
    _first = 0

    def over(self) -> None:
        """Take it that all rounds are done; called once more by a profiler, there is nothing left to do."""
        if self._window is None:
            return
        data = self._stats.stats.data[self._first :]
        calls = len(data) * self._stats.iterations
        metered = self._end(calls, math.fsum(data) * self._stats.iterations)
        self._done(self._narrowed(per_call(metered) if calls else None))

    def _make_runner(self, function: Any, args: Any, kwargs: Any) -> Any:
        self._runner = self._make_original_runner(function.function, args, kwargs)
        return self._runner

    def _make_stats(self, iterations: int) -> Any:
        self._stats = self._make_original_stats(iterations)
        if self._fixture._warmup:
            self._begin_after_first_round()
        else:
            self._begin()
        return self._stats

    def _begin_after_first_round(self) -> None:
        """Leave warm-up rounds out: how many there are is not told, but only what is timed goes into the statistics."""
        update = self._stats.update

        def first(duration: float) -> None:
            update(duration)
            self._stats.update = update
            self._first = 1
            self._begin()

        self._stats.update = first

    def _narrowed(self, best: PerCall | None) -> PerCall:
        """Run blocks of more and more calls until one has an error bar narrow enough, and return the best."""
        limit = LONGEST * max(self._fixture._max_time, 1.0)
        length, spent, each = SHORTEST_BLOCK, 0.0, self._stats.stats.mean
        while best is None or (best.widest() > WIDEST and spent + max(length, each) <= limit):
            block = self._block(max(1, math.ceil(length / each)))
            spent += block.metered.seconds
            length *= 2
            best = block if best is None else min(best, block, key=PerCall.widest)
        return best

    def _block(self, calls: int) -> PerCall:
        with _untraced(self._fixture):
            self._begin()
            seconds = self._runner(range(calls))
            return per_call(self._end(calls, seconds))


class PedanticRounds(_Rounds):
    """Those of `benchmark.pedantic(...)`, no more than the test asked for.

    One window around all of them or, where a setup or a teardown comes between, one around each.
    """

    def __init__(self, fixture: Any, meters: SuiteMeters, done: Done, how: Mapping[str, Any]) -> None:
        super().__init__(fixture, meters, done)
        self._rounds, self._warm_up = how.get("rounds", 1), how.get("warmup_rounds", 0)
        self._apart = bool(how.get("setup") or how.get("teardown"))
        self._windows: list[Metered] = []
        self._made = self._timed = self._held = 0
        self._seconds = 0.0
        self._stats: Any = None
        self._keep: Any = None

    def _make_stats(self, iterations: int) -> Any:
        self._stats = self._make_original_stats(iterations)
        self._keep, self._stats.update = self._stats.update, self._update
        return self._stats

    def _make_runner(self, function: Any, args: Any, kwargs: Any) -> Any:
        self._made += 1
        runner = self._make_original_runner(function, args, kwargs)
        if self._made > self._warm_up and self._window is None and len(self._windows) < MOST_WINDOWS:
            self._begin()
        return runner

    def _update(self, duration: float) -> None:
        self._timed += 1
        self._held += 1
        self._seconds += duration
        if self._window is not None and (self._apart or self._timed == self._rounds):
            self._windows.append(self._end(self._held * self._stats.iterations, self._seconds))
            self._held, self._seconds = 0, 0.0
        self._keep(duration)
        if self._timed == self._rounds:
            self._done(per_call(together(self._windows)))


def _untraced(fixture: Any) -> AbstractContextManager[Any]:
    """Return the context in which the *fixture* runs its rounds: without tracer and profiler."""
    pause = getattr(sys.modules[type(fixture).__module__], "PauseInstrumentation", nullcontext)
    context: AbstractContextManager[Any] = pause()
    return context
