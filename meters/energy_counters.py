"""Energy counters that wrap around: totals that do not, and the readings between two marks of them.

Whatever reads the counters, a library or files, their totals are kept here. A counter that has a range wraps around
when it is full, some every few minutes; it is read at least twice in the shortest time in which it can fill.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from attrs import asdict, field, frozen, validators

from harness.measuring.sampler import Sampler
from harness.meter import Readings
from harness.records import Missing, Reading

# RAPL counters move about once in a millisecond (Intel's manual, volume 3B, on RAPL): how old a reading can be.
STEP_SECONDS = 1e-3
# Above what one package, the memory beside it, or a whole machine draws. They set how often a counter is read, and the
# error bar where the processor names no limit.
PLAUSIBLE_WATTS = {"energy_cpu": 1000.0, "energy_dram": 200.0, "energy_psys": 4000.0}
# The range is that of 32 bits, so it tells the energy of one count: 15 or 61 microjoules, one joule for some psys.
_COUNTS = 2**32 - 1
# The kernel cuts the energy of one count off to whole nanojoules: 15258 for 15258.789 is the worst of the usual ones.
_CUT_OFF = 6e-5
# A busy machine may hold up a process for less than this; only one that was stopped is held up for longer.
_STOPPED_SECONDS = 60.0
_SHORTEST_DELAY = 1e-3
# Only Linux tells how long the machine slept, in which some processors clear their counters.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)
_SLEPT_NS = 50_000_000


@frozen
class Domain:
    """What a counter counts: `resource` of `device`, up to `range_uj` microjoules and then from 0.

    `limit_watts` is the power that the processor keeps to, None if it does not say.
    """

    resource: str
    device: str
    range_uj: int = field(validator=validators.gt(0))
    limit_watts: float | None = None

    @property
    def plausible_watts(self) -> float:
        """A power that is never drawn for long, in watts: limits may be lifted while we meter."""
        return max(PLAUSIBLE_WATTS.get(self.resource, 0.0), self.limit_watts or 0.0)

    @property
    def fills_in(self) -> float:
        """The shortest time in which the counter can go round once, in seconds."""
        return self.range_uj / 1e6 / self.plausible_watts

    def uncertainty(self, microjoules: int, wraps: int) -> float:
        """Return how far *microjoules* between two readings may be off, in joules.

        Each reading lags behind by up to one step at a power up to the limit. The two lags take from each other, so
        that together they are at most one. Each reading is cut off to a count, and each of the *wraps* counts one count
        less than it is, since the range is the highest value and not the number of values.
        """
        lag = STEP_SECONDS * (self.limit_watts or self.plausible_watts)
        count = self.range_uj / _COUNTS + 1
        return lag + (count * (1 + wraps) + _CUT_OFF * microjoules) / 1e6


@frozen
class Total:
    """What a counter has counted without wrapping around. Totals of two `strand`s cannot be compared."""

    microjoules: int
    strand: int


@frozen
class EnergyMark:
    """An edge: the total of each counter, or why it was lost, and how long the machine had slept since it started."""

    slept_ns: int
    totals: tuple[Total | str, ...]


class Counter:
    """One counter that wraps around. *read* gives its microjoules, or raises OSError or ValueError."""

    def __init__(self, domain: Domain, read: Callable[[], int], close: Callable[[], None] = lambda: None) -> None:
        self.domain = domain
        self._read = read
        self._close = close
        self._lock = threading.Lock()
        self._stopped_after = max(domain.fills_in, _STOPPED_SECONDS)
        self._last: int | None = None
        self._last_at = 0.0
        self._total = 0
        self._strand = 0

    def total(self) -> Total | str:
        """Return the total now, or the reason why it cannot be had."""
        with self._lock:
            try:
                return self._add(self._read())
            except (OSError, ValueError) as error:
                return f"the counter of {self.domain.device} could not be read: {type(error).__name__}: {error}"

    def keep_up(self) -> None:
        """Read in time for the next wrap. Where that fails, a wrap may be missed: a new strand begins."""
        lost = isinstance(self.total(), str)
        with self._lock:
            self._strand += lost

    def close(self) -> None:
        with self._lock:
            self._close()

    def _add(self, raw: int) -> Total:
        now = time.monotonic()
        if self._last is None:
            self._total = raw
        else:
            self._total += (raw - self._last) % self.domain.range_uj
            # Stopped with its whole group, as by Ctrl-Z, the process cannot know how often the counter went round.
            self._strand += now - self._last_at > self._stopped_after
        self._last, self._last_at = raw, now
        return Total(self._total, self._strand)


class CounterGroup:
    """Counters that are marked together. One that cannot be read costs the readings of its own domain only.

    *refused* are (resource, reason) of the devices that cannot be read at all. *sampler* is where the counters are read
    between marks on behalf of the meter *name*; None for one of its own.
    """

    def __init__(
        self, name: str, counters: Sequence[Counter], refused: Iterable[tuple[str, str]], sampler: Sampler | None
    ) -> None:
        self._counters = tuple(counters)
        self._refused = tuple(refused)
        self._own = Sampler() if sampler is None else None
        self._closed = False
        self.mark()  # a wrap right after this is seen
        for shared in (sampler, self._own):
            if shared is not None and counters:
                shared.add(name, self._guard, self._delay)

    def mark(self) -> EnergyMark:
        """Return the totals now; one `pread` or the like for each counter."""
        return EnergyMark(_slept_ns(), tuple(counter.total() for counter in self._counters))

    def between(self, start: EnergyMark, stop: EnergyMark) -> Readings:
        """Yield the joules of each device and of each resource, or reasons."""
        records = [
            _difference(counter.domain, first, last, stop.slept_ns - start.slept_ns)
            for counter, first, last in zip(self._counters, start.totals, stop.totals, strict=True)
        ]
        lost = [Missing(resource, reason) for resource, reason in self._refused]
        for resource in dict.fromkeys(record.resource for record in [*records, *lost]):
            yield from _with_total(resource, [r for r in [*records, *lost] if r.resource == resource])

    def facts(self) -> dict[str, Any]:
        """Return the domains, and why others are not read."""
        return {
            "domains": [asdict(counter.domain) for counter in self._counters],
            "refused": [{"resource": resource, "reason": reason} for resource, reason in self._refused],
        }

    def close(self) -> None:
        self._closed = True
        if self._own is not None:
            self._own.close()
        for counter in self._counters:
            counter.close()

    @property
    def _delay(self) -> float:
        """Half the time in which the first of the counters can fill, in seconds."""
        return max(min(counter.domain.fills_in for counter in self._counters) / 2, _SHORTEST_DELAY)

    def _guard(self) -> float | None:
        if self._closed:
            return None

        for counter in self._counters:
            counter.keep_up()
        return self._delay


def _slept_ns() -> int:
    return time.clock_gettime_ns(_BOOTTIME) - time.monotonic_ns() if _BOOTTIME is not None else 0


def _difference(domain: Domain, start: Total | str, stop: Total | str, slept_ns: int) -> Reading | Missing:
    """Return what *domain* used between two totals, or the reason why that is not known."""
    if isinstance(start, str):
        return Missing(domain.resource, start)
    if isinstance(stop, str):
        return Missing(domain.resource, stop)
    if slept_ns > _SLEPT_NS:
        return Missing(domain.resource, "the machine was suspended, and the counter may have begun anew")
    if start.strand != stop.strand:
        return Missing(domain.resource, f"the counter of {domain.device} was unread so long that it may have wrapped")

    used = stop.microjoules - start.microjoules
    wraps = stop.microjoules // domain.range_uj - start.microjoules // domain.range_uj
    bar = domain.uncertainty(used, wraps)
    return Reading(domain.resource, used / 1e6, "J", bar, source="counter", device=domain.device)


def _with_total(resource: str, records: Sequence[Reading | Missing]) -> Iterator[Reading | Missing]:
    """Yield the readings of devices and their sum; no sum where one of them is missing, but why."""
    devices = [record for record in records if isinstance(record, Reading)]
    reasons = [record.reason for record in records if isinstance(record, Missing)]
    yield from devices
    if reasons:
        yield Missing(resource, "; ".join(dict.fromkeys(reasons)))
        return

    value, bar = sum(reading.value for reading in devices), sum(reading.uncertainty for reading in devices)
    note = f"sum of {len(devices)} devices" if len(devices) > 1 else None
    yield Reading(resource, value, "J", bar, source="counter", note=note)
