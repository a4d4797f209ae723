"""The epochs of a store's trials: energy and time of each, and of the whole phase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.auditing.evidence import Laps
from harness.meter import NET

# (phase, resource) -> row -> the reading of the whole phase
Taken = dict[tuple[str | None, str], dict[int, dict[str, Any]]]
# (row, resource) -> epoch -> reading
_Epochs = dict[tuple[int, str], dict[int, Mapping[str, Any]]]
_PHASE, _TIME = "train", "time"


def store_laps(
    readings: Iterable[Mapping[str, Any]], taken: Taken, trials: Sequence[Mapping[str, Any]]
) -> tuple[Laps, ...]:
    """Return the epochs of every row and energy with readings of both it and time."""
    found = _by_epoch(readings, {trial["trial"]: row for row, trial in enumerate(trials)})
    laps = [
        _laps(key, of_energy, found.get((key[0], _TIME), {}), taken, trials[key[0]]["epochs"])
        for key, of_energy in found.items()
        if key[1] != _TIME
    ]
    return tuple(one for one in laps if one is not None)


def _by_epoch(readings: Iterable[Mapping[str, Any]], place: Mapping[str, int]) -> _Epochs:
    found: _Epochs = {}
    for reading in readings:
        if reading["epoch"] is None or reading["device"] is not None or reading["trial"] not in place:
            continue
        energy = reading["unit"] == "J" and not reading["resource"].endswith(NET)
        if reading["phase"] == _PHASE and (energy or reading["resource"] == _TIME):
            by_epoch = found.setdefault((place[reading["trial"]], reading["resource"]), {})
            by_epoch.setdefault(reading["epoch"], reading)
    return found


def _laps(
    key: tuple[int, str],
    energy: Mapping[int, Mapping[str, Any]],
    time: Mapping[int, Mapping[str, Any]],
    taken: Taken,
    epochs: int,
) -> Laps | None:
    row, name = key
    both = sorted(energy.keys() & time.keys())
    whole = [taken.get((_PHASE, resource), {}).get(row) for resource in (name, _TIME)]
    if not both or whole[0] is None or whole[1] is None or not (whole[0]["value"] and whole[1]["value"]):
        return None
    return Laps(
        row=row,
        name=name,
        energy=np.array([energy[epoch]["value"] for epoch in both], dtype=np.float64),
        uncertainty=np.array([energy[epoch]["uncertainty"] for epoch in both], dtype=np.float64),
        time=np.array([time[epoch]["value"] for epoch in both], dtype=np.float64),
        whole_energy=whole[0]["value"],
        whole_uncertainty=whole[0]["uncertainty"],
        whole_time=whole[1]["value"],
        complete=both == list(range(1, epochs + 1)),
    )
