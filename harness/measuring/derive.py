"""Resources that follow from others: energy, memory and carbon.

One pure function that run, measure and score share; meters never see each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve

from harness.meter import ENERGY_PARTS, NET
from harness.records import SOURCES, Missing, Reading

if TYPE_CHECKING:
    from harness.measuring.readings import Readings

# Of one window, or of many that were metered alike.
R = TypeVar("R", Reading, "Readings")

JOULES_PER_KWH = 3.6e6
# How the note of a derived reading begins.
DERIVED = "derived from "
_NO_ENERGY = Missing("carbon", "no meter of energy was asked for; add one, such as nvml, rapl or cpu-estimate")


def derive(
    readings: Iterable[R], missing: Iterable[Missing] = (), *, device_kind: str | None = None, pue: float = 1.0
) -> tuple[list[R], list[Missing]]:
    """Return what follows from the *readings* and *missing* of ONE window: (derived readings, what cannot be derived).

    Only totals (`device` None) count, and of two meters of one resource the first. `energy` is the sum of those of
    `energy_gpu`, `energy_cpu`, `energy_dram` that were asked for; one of them missing, it is missing. So it is with
    `energy_net`, what they took beyond the idle power. `memory` is
    `memory_cuda` where the trial ran on CUDA (*device_kind*; None: where CUDA memory was used), else `memory_host`.
    `carbon` [g] is `energy` [J] / 3.6e6 x *pue* x `carbon_intensity` [g/kWh]. A derived reading carries the worst
    source of its parts. `Readings` of many windows need a *device_kind*.
    """
    totals = _first_totals(readings)
    gaps = _first_gaps(missing, totals)
    found: list[R] = []
    lost: list[Missing] = []
    for result in (_memory(totals, gaps, device_kind), _energy(totals, gaps), _energy(totals, gaps, NET)):
        _keep(result, found, lost)
    totals |= {reading.resource: reading for reading in found}
    gaps |= {gap.resource: gap for gap in lost}
    _keep(_carbon(totals, gaps, pue), found, lost)
    return found, lost


def _first_totals(readings: Iterable[R]) -> dict[str, R]:
    totals: dict[str, R] = {}
    for reading in readings:
        if reading.device is None:
            totals.setdefault(reading.resource, reading)
    return totals


def _first_gaps(missing: Iterable[Missing], totals: Mapping[str, R]) -> dict[str, Missing]:
    gaps: dict[str, Missing] = {}
    for gap in missing:
        if gap.resource not in totals:
            gaps.setdefault(gap.resource, gap)
    return gaps


def _keep(result: R | Missing | None, found: list[R], lost: list[Missing]) -> None:
    if isinstance(result, Missing):
        lost.append(result)
    elif result is not None:
        found.append(result)


def _memory(totals: Mapping[str, R], gaps: Mapping[str, Missing], device_kind: str | None) -> R | Missing | None:
    on_cuda = _used_cuda(totals) if device_kind is None else device_kind == "cuda"
    part = "memory_cuda" if on_cuda else "memory_host"
    if part in totals:
        return _from_parts([totals[part]], "memory", "B", totals[part].value, totals[part].uncertainty)
    return _gap("memory", gaps[part]) if part in gaps else None


def _used_cuda(totals: Mapping[str, R]) -> bool:
    # CUDA that was made ready but not used has a peak of 0, which says nothing of what the work took.
    return "memory_cuda" in totals and bool(totals["memory_cuda"].value > 0)


def _energy(totals: Mapping[str, R], gaps: Mapping[str, Missing], suffix: str = "") -> R | Missing | None:
    names = [name + suffix for name in ENERGY_PARTS]
    parts = [totals[name] for name in names if name in totals]
    absent = [gaps[name] for name in names if name in gaps]
    if absent:
        return _gap("energy" + suffix, absent[0])
    if not parts:
        return None

    total, bar = sum(part.value for part in parts), sum(part.uncertainty for part in parts)
    return _from_parts(parts, "energy" + suffix, "J", total, bar)


def _carbon(totals: Mapping[str, R], gaps: Mapping[str, Missing], pue: float) -> R | Missing | None:
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
    carbon = _from_parts([energy, intensity], "carbon", "g", grams, high - grams)
    return carbon if pue == 1 else evolve(carbon, note=f"{carbon.note}, with a PUE of {pue:g}")


def _gap(resource: str, cause: Missing) -> Missing:
    return evolve(cause, resource=resource, reason=f"{cause.resource} is missing: {cause.reason}")


def _from_parts(parts: Sequence[R], resource: str, unit: str, value: Any, uncertainty: Any) -> R:
    told: dict[str, Any] = {"resource": resource, "value": value, "unit": unit, "uncertainty": uncertainty}
    told["source"] = max((part.source for part in parts), key=SOURCES.index)
    told["note"] = DERIVED + " + ".join(part.resource for part in parts)
    told["meter"] = "+".join(dict.fromkeys(part.meter for part in parts))
    return evolve(parts[0], **told)
