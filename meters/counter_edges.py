"""Where an edge lies within the step of an energy counter that moves only now and then.

A counter that moves every 20-100 ms says at an edge how much was used up to its last tick, not up to now. Dense samples
of counter and power around the edge tell when the counter ticked, and so how much of that tick's exact energy lies on
which side: `place` gives the energy at the edge with the half-width of an interval that holds the truth.
"""

from __future__ import annotations

from typing import NamedTuple

from attrs import define, frozen

from harness.meters.power_sensor import Kind

# NVIDIA gives power readings as right within 5 per cent (NVML's reference) or within 5 W (the manual of nvidia-smi).
ACCURACY = 0.05
ACCURACY_WATTS = 5.0
# In a longer time between two samples power may have been anything: a thread that held them up was in one call into C.
_BLIND_SECONDS = 0.003
# NVIDIA's counters move every 20 to 100 ms, not quite regularly; so long may a step be that was not seen.
LONGEST_STEP = 0.12
# For moments a card takes more than its limit.
_OVER_LIMIT = 1.5
# More than any card or module takes: for those that do not tell their limit.
_ANY_WATTS = 3000.0
_COUNTER_RESOLUTION = 1e-3


class Sample(NamedTuple):
    """The counter [J] and the power [W] at a time [s], which is known but for `doubt` [s]."""

    time: float
    joules: float
    watts: float
    doubt: float = 0.0


@frozen
class Scale:
    """What a card's samples mean.

    `steps` are the shortest and the longest time between two ticks [s], None if none was seen; `power` is what its
    readings of power are, and `refresh` [s] how old one may be; `limit_watts` the card's limit.
    """

    steps: tuple[float, float] | None = None
    power: Kind = "instantaneous"
    refresh: float = 0.0
    limit_watts: float | None = None
    usual_step: float | None = None

    @property
    def longest_step(self) -> float:
        return self.steps[1] if self.steps else LONGEST_STEP

    @property
    def any_step(self) -> float:
        """The longest that one step may be which was not among those seen [s]: some cards' are not regular."""
        return max(self.longest_step, LONGEST_STEP)

    @property
    def middle_step(self) -> float:
        """The usual step: `steps` leave room above the longest one seen, so their middle lies above it."""
        return self.usual_step or (sum(self.steps) / 2 if self.steps else LONGEST_STEP)

    def most_watts(self) -> float:
        """Return what the card takes at the most [W]."""
        return _OVER_LIMIT * self.limit_watts if self.limit_watts else _ANY_WATTS


@frozen
class Stretch:
    """Power over a run of samples: its `area` [J] by the trapezoid rule, and how far off that may be.

    Between two samples power may be that of either for most of the time: `rough` [J]; `jumps` [W] adds its changes up.
    Where samples were held up it may be anything: `blind` seconds, in which `guessed` [J] of the area lie.
    """

    first: Sample
    last: Sample
    area: float = 0.0
    rough: float = 0.0
    jumps: float = 0.0
    blind: float = 0.0
    guessed: float = 0.0

    def plus(self, sample: Sample) -> Stretch:
        """Return the stretch with one sample more."""
        elapsed, jump = sample.time - self.last.time, abs(sample.watts - self.last.watts)
        area = elapsed * (self.last.watts + sample.watts) / 2
        is_blind = is_held_up(self.last, sample)
        return Stretch(
            self.first,
            sample,
            self.area + area,
            self.rough + elapsed * jump / 2,
            self.jumps + jump,
            self.blind + (elapsed if is_blind else 0.0),
            self.guessed + (area if is_blind else 0.0),
        )

    def doubt(self, scale: Scale) -> float:
        """Return how far the area may be off [J] if each reading is of a moment up to the refresh before."""
        accuracy = max(ACCURACY * self.area, ACCURACY_WATTS * (self.last.time - self.first.time))
        blind = max(self.guessed, scale.most_watts() * self.blind - self.guessed)
        return self.rough + scale.refresh * self.jumps + accuracy + blind


@frozen
class Lead:
    """A tick before an edge: the last sample `before` it, and the stretch `since`; `watts` is the power until then."""

    before: Sample
    since: Stretch
    watts: float

    def plus(self, sample: Sample) -> Lead:
        """Return the lead with one sample more, which may show the next tick."""
        if sample.joules == self.since.last.joules:
            return Lead(self.before, self.since.plus(sample), self.watts)
        elapsed = tick_time(self.since.last, sample)[0] - tick_time(self.before, self.since.first)[0]
        watts = (sample.joules - self.since.last.joules) / elapsed if elapsed > 0 else sample.watts
        return Lead(self.since.last, Stretch(sample, sample), watts)


@define
class Trail:
    """What follows an edge: the stretch `until` the counter's next tick, and the first sample `after` it."""

    until: Stretch
    after: Sample | None = None

    def add(self, sample: Sample) -> bool:
        """Take one sample more; True once the tick is seen."""
        if self.after is None:
            if sample.joules == self.until.last.joules:
                self.until = self.until.plus(sample)
            else:
                self.after = sample
        return self.after is not None


@frozen
class Edge:
    """The sample at the edge, with the tick before it and what follows it, as far as they are known."""

    at: Sample
    lead: Lead | None = None
    trail: Trail | None = None


@frozen
class Placed:
    """The energy at an edge [J] on the counter's own scale, and how far off it may be."""

    joules: float
    doubt: float


def is_held_up(old: Sample, new: Sample) -> bool:
    """Say whether so much time may lie between two samples that they tell nothing of the power between."""
    return new.time + new.doubt - (old.time - old.doubt) > _BLIND_SECONDS


def tick_time(old: Sample, new: Sample) -> tuple[float, float]:
    """Return when the counter ticked between two samples [s], and how far off that may be."""
    first, last = old.time - old.doubt, new.time + new.doubt
    return (first + last) / 2, max(0.0, last - first) / 2


def standstill(start: Edge, stop: Edge, scale: Scale) -> str | None:
    """Return the reason if the counter should have moved and did not, within the window or after an edge: it is stuck.

    None otherwise.
    """
    waits = [edge.trail.until for edge in (start, stop) if edge.trail is not None and edge.trail.after is None]
    for first, last in [(start.at, stop.at), *((until.first, until.last) for until in waits)]:
        watts, elapsed = max(first.watts, last.watts), last.time - first.time
        if watts > 0 and first.joules == last.joules and elapsed > 2 * scale.any_step:
            return f"the card's energy counter did not move for {elapsed:.2g} s, although the card takes {watts:.3g} W"
    return None


def step_by_power(lead: Lead, sample: Sample, refresh: float) -> tuple[float, float] | None:
    """Return by how much power of the moment misses a step of the counter [J], and by how much it may.

    *lead* is the tick that the step begins with, *sample* the first after it. None where samples were held up.
    """
    since = lead.since
    if since.blind or is_held_up(lead.before, since.first) or is_held_up(since.last, sample):
        return None

    (first, early), (last, late) = tick_time(lead.before, since.first), tick_time(since.last, sample)
    begun, left = since.first.time - first, last - since.last.time
    scale = Scale(refresh=refresh)
    area = since.area + since.first.watts * begun + since.last.watts * left
    doubt = _around_tick(lead.before, since.first, early, begun, scale) + since.doubt(scale)
    doubt += _around_tick(since.last, sample, late, left, scale) + _COUNTER_RESOLUTION
    return area - (sample.joules - since.last.joules), doubt


def energy_between(start: Edge, stop: Edge, scale: Scale) -> Placed:
    """Return the energy from *start* to *stop* [J] with its error bar."""
    elapsed = stop.at.time - start.at.time
    mean = (stop.at.joules - start.at.joules) / elapsed if elapsed > 0 else 0.0
    first, last = place(start, scale, mean), place(stop, scale, mean)
    doubt = first.doubt + last.doubt + 2 * _COUNTER_RESOLUTION
    return Placed(max(0.0, last.joules - first.joules), doubt)


def place(edge: Edge, scale: Scale, mean_watts: float) -> Placed:
    """Return the energy at *edge*, by what tells most; *mean_watts* is the window's, for want of others."""
    placed = []
    if edge.lead is not None:
        placed.append(_after_tick(edge.lead, edge.at, scale))
    if edge.trail is not None and edge.trail.after is not None:
        placed.append(_before_tick(edge.trail, edge.trail.after, edge.at, scale))
    if placed:
        return min(placed, key=lambda one: one.doubt)
    return _within_step(edge.at, scale, mean_watts) if edge.trail is None else _before_no_tick(edge.trail, scale)


def _within_step(at: Sample, scale: Scale, mean_watts: float) -> Placed:
    """Place an edge anywhere in a step: half of it if that is known, at any power up to the card's limit."""
    middle = scale.middle_step / 2 if scale.steps else 0.0
    most = max(at.watts, mean_watts, scale.limit_watts or 0.0)
    return Placed(at.joules + at.watts * middle, scale.any_step * most)


def _before_no_tick(trail: Trail, scale: Scale) -> Placed:
    """Place an edge after which no tick was seen, although it was waited for: the step may be as long as that."""
    step = max(scale.any_step, trail.until.last.time - trail.until.first.time)
    return Placed(trail.until.first.joules, scale.most_watts() * step)


def _after_tick(lead: Lead, at: Sample, scale: Scale) -> Placed:
    """Place an edge by the tick before it."""
    when, doubt = tick_time(lead.before, lead.since.first)
    age = max(0.0, at.time - when)
    if scale.power == "instantaneous":
        first, since = lead.since.first, lead.since.first.time - when
        known = _around_tick(lead.before, first, doubt, since, scale)
        return Placed(at.joules + lead.since.area + since * first.watts, known + lead.since.doubt(scale))

    used = (lead.watts if scale.power == "averaged" else lead.since.last.watts) * age
    most = scale.most_watts() * (age + doubt)
    return Placed(at.joules + used, max(used, most - used))


def _before_tick(trail: Trail, after: Sample, at: Sample, scale: Scale) -> Placed:
    """Place an edge by the tick after it, whose energy is exact."""
    when, doubt = tick_time(trail.until.last, after)
    left, tick = max(0.0, when - at.time), after.joules - at.joules
    lowest, highest = _bounds(left, doubt, tick, after.time - trail.until.last.time, scale)
    if scale.power == "averaged":
        rest = tick * left / max(scale.middle_step, left)
    else:
        rest = trail.until.area + trail.until.last.watts * (when - trail.until.last.time)
    rest = min(max(rest, lowest), highest)
    rough = max(highest - rest, rest - lowest)
    if scale.power == "instantaneous":
        last = trail.until.last
        known = _around_tick(last, after, doubt, when - last.time, scale) + trail.until.doubt(scale)
        rough = min(rough, known)
    return Placed(after.joules - rest, rough)


def _around_tick(before: Sample, after: Sample, doubt: float, span: float, scale: Scale) -> float:
    """Return how far off [J] the energy of a *span* [s] between a sample and a tick is, which came between two."""
    if is_held_up(before, after):
        return (doubt + span) * scale.most_watts()
    return doubt * max(before.watts, after.watts) + span * abs(after.watts - before.watts)


def _bounds(left: float, doubt: float, tick: float, gap: float, scale: Scale) -> tuple[float, float]:
    """Return the least and the most of the energy *tick* [J] of one step that its last *left* seconds can hold.

    All of it may have been used on either side of the edge, as far as the card can take it. Where the tick was seen in
    a *gap* longer than a step, there may have been several.
    """
    longest = scale.any_step
    most = max(scale.most_watts(), tick / longest)
    highest = min(tick, most * (left + doubt))
    several = gap > (scale.steps[0] if scale.steps else 0.0)
    before = longest if several or left > longest else longest - left + doubt
    return min(highest, max(0.0, tick - most * before)), highest
