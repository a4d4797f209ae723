"""Resources that follow from others: energy, memory and carbon.

One pure function that run, measure and score share; meters never see each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from harness.meter import ENERGY_PARTS, NET
from harness.records import SOURCES, Missing, Reading

JOULES_PER_KWH = 3.6e6
# How the note of a derived reading begins.
DERIVED = "derived from "
_NO_ENERGY = Missing("carbon", "no meter of energy was asked for; add one, such as nvml, rapl or cpu-estimate")


def derive(
    readings: Iterable[Reading], missing: Iterable[Missing] = (), *, device_kind: str | None = None, pue: float = 1.0
) -> tuple[list[Reading], list[Missing]]:
    """Return what follows from the *readings* and *missing* of ONE window: (derived readings, what cannot be derived).

    Only totals (`device` None) count, and of two meters of one resource the first. `energy` is the sum of those of
    `energy_gpu`, `energy_cpu`, `energy_dram` that were asked for; one of them missing, it is missing. So it is with
    `energy_net`, what they took beyond the idle power. `memory` is
    `memory_cuda` where the trial ran on CUDA (*device_kind*; None: where CUDA memory was used), else `memory_host`.
    `carbon` [g] is `energy` [J] / 3.6e6 x *pue* x `carbon_intensity` [g/kWh]. A derived reading carries the worst
    source of its parts.
    """
    totals = _first_totals(readings)
    gaps = _first_gaps(missing, totals)
    found: list[Reading] = []
    lost: list[Missing] = []
    for result in (_memory(totals, gaps, device_kind), _energy(totals, gaps), _energy(totals, gaps, NET)):
        _keep(result, found, lost)
    totals |= {reading.resource: reading for reading in found}
    gaps |= {gap.resource: gap for gap in lost}
    _keep(_carbon(totals, gaps, pue), found, lost)
    return found, lost


def _first_totals(readings: Iterable[Reading]) -> dict[str, Reading]:
    totals: dict[str, Reading] = {}
    for reading in readings:
        if reading.device is None:
            totals.setdefault(reading.resource, reading)
    return totals


def _first_gaps(missing: Iterable[Missing], totals: dict[str, Reading]) -> dict[str, Missing]:
    gaps: dict[str, Missing] = {}
    for gap in missing:
        if gap.resource not in totals:
            gaps.setdefault(gap.resource, gap)
    return gaps


def _keep(result: Reading | Missing | None, found: list[Reading], lost: list[Missing]) -> None:
    if isinstance(result, Reading):
        found.append(result)
    elif result is not None:
        lost.append(result)


def _memory(totals: dict[str, Reading], gaps: dict[str, Missing], device_kind: str | None) -> Reading | Missing | None:
    # CUDA that was made ready but not used has a peak of 0, which says nothing of what the work took.
    used_cuda = "memory_cuda" in totals and totals["memory_cuda"].value > 0
    on_cuda = used_cuda if device_kind is None else device_kind == "cuda"
    part = "memory_cuda" if on_cuda else "memory_host"
    if part in totals:
        return _from_parts("memory", "B", totals[part].value, totals[part].uncertainty, [totals[part]])
    return _gap("memory", gaps[part]) if part in gaps else None


def _energy(totals: dict[str, Reading], gaps: dict[str, Missing], suffix: str = "") -> Reading | Missing | None:
    names = [name + suffix for name in ENERGY_PARTS]
    parts = [totals[name] for name in names if name in totals]
    absent = [gaps[name] for name in names if name in gaps]
    if absent:
        return _gap("energy" + suffix, absent[0])
    if not parts:
        return None

    total = sum(part.value for part in parts)
    return _from_parts("energy" + suffix, "J", total, sum(part.uncertainty for part in parts), parts)


def _carbon(totals: dict[str, Reading], gaps: dict[str, Missing], pue: float) -> Reading | Missing | None:
    if "carbon_intensity" not in totals and "carbon_intensity" not in gaps:
        return None  # nobody asked for it
    for name in ("carbon_intensity", "energy"):
        if name in gaps:
            return _gap("carbon", gaps[name])
    intensity = totals["carbon_intensity"]
    if "energy" not in totals:
        return evolve(_NO_ENERGY, **{name: getattr(intensity, name) for name in ("meter", "trial", "phase", "epoch")})

    energy = totals["energy"]
    scale = pue / JOULES_PER_KWH
    grams = energy.value * intensity.value * scale
    high = (energy.value + energy.uncertainty) * (intensity.value + intensity.uncertainty) * scale
    carbon = _from_parts("carbon", "g", grams, high - grams, [energy, intensity])
    return carbon if pue == 1 else evolve(carbon, note=f"{carbon.note}, with a PUE of {pue:g}")


def _gap(resource: str, cause: Missing) -> Missing:
    return evolve(cause, resource=resource, reason=f"{cause.resource} is missing: {cause.reason}")


def _from_parts(resource: str, unit: str, value: float, uncertainty: float, parts: Sequence[Reading]) -> Reading:
    source = max((part.source for part in parts), key=SOURCES.index)
    meters = "+".join(dict.fromkeys(part.meter for part in parts))
    note = DERIVED + " + ".join(part.resource for part in parts)
    first = parts[0]
    # Not by evolve(), which takes twice as long: a score of 10,000 trials derives 20,000 readings.
    return Reading(
        resource,
        value,
        unit,
        uncertainty,
        source,
        note=note,
        meter=meters,
        trial=first.trial,
        phase=first.phase,
        epoch=first.epoch,
        start_ns=first.start_ns,
        stop_ns=first.stop_ns,
    )
