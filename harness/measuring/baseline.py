"""Energy beyond the idle power: what a window took, less what the machine takes when it does nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve

from harness.meter import ENERGY_PARTS, NET
from harness.records import Missing, Reading

# The phase of the window before a trial in which nothing is done.
BASELINE = "baseline"
_NS = 1e9


def net_energies(readings: Iterable[Reading], missing: Iterable[Missing]) -> tuple[list[Reading], list[Missing]]:
    """Return `energy_gpu_net` and the like of each window of ONE trial, and why there is none where there is none.

    The net energy is the gross one less the mean power of the window `BASELINE` times the window's length. The error
    bars of both go into its own. Without a baseline there is nothing to return.
    """
    gross = [reading for reading in readings if reading.resource in ENERGY_PARTS]
    idle = {(reading.meter, reading.device, reading.resource): reading for reading in gross if _is_baseline(reading)}
    gaps = {(gap.meter, gap.resource): gap for gap in missing if _is_baseline(gap) and gap.resource in ENERGY_PARTS}
    found: list[Reading] = []
    lost: list[Missing] = []
    if not idle and not gaps:
        return found, lost

    for reading in [reading for reading in gross if not _is_baseline(reading)]:
        net = _net(reading, idle, gaps)
        if isinstance(net, Reading):
            found.append(net)
        elif reading.device is None:
            lost.append(net)
    lost += [
        evolve(gap, resource=gap.resource + NET)
        for gap in missing
        if gap.resource in ENERGY_PARTS and not _is_baseline(gap)
    ]
    return found, lost


def _is_baseline(record: Reading | Missing) -> bool:
    return record.phase == BASELINE


def _net(
    gross: Reading,
    idle: Mapping[tuple[str, str | None, str], Reading],
    gaps: Mapping[tuple[str, str], Missing],
) -> Reading | Missing:
    base = idle.get((gross.meter, gross.device, gross.resource))
    if base is None:
        gap = gaps.get((gross.meter, gross.resource))
        return _gap(gross, f"the idle power was not measured{': ' + gap.reason if gap else ''}")

    share = _seconds(gross) / _seconds(base)
    value = gross.value - base.value * share
    uncertainty = gross.uncertainty + base.uncertainty * share
    if value + uncertainty < 0:
        return _gap(gross, f"the window took {-value:.4g} J less than the idle power before it")
    watts = base.value / _seconds(base)
    # Of an interval that reaches below zero, the part that can be true is kept.
    low, high = max(0.0, value - uncertainty), value + uncertainty
    kept = (value, uncertainty) if value >= 0 else ((low + high) / 2, (high - low) / 2)
    return evolve(
        gross, resource=gross.resource + NET, value=kept[0], uncertainty=kept[1], note=f"less {watts:.4g} W when idle"
    )


def _gap(gross: Reading, reason: str) -> Missing:
    return Missing(gross.resource + NET, reason, gross.meter, gross.trial, gross.phase, gross.epoch)


def _seconds(reading: Reading) -> float:
    assert reading.start_ns is not None
    assert reading.stop_ns is not None
    return (reading.stop_ns - reading.start_ns) / _NS
