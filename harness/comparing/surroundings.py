"""In what the surroundings of two runs differ: machines, versions, devices, how processes were started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.comparing.twins import Twins
from harness.sources.table import Table, carried
from harness.tables import plain

_MACHINE = ("host", "system", "processor", "python")
_FACTS = ("device_name", "threads")
_SHOWN = 3


def differences(twins: Twins) -> list[str]:
    """Return a line for each thing that was not the same around the trials that two stores share."""
    if not twins.stores:
        return []
    a, b = _surroundings(twins.a), _surroundings(twins.b)
    told = []
    for name in dict.fromkeys((*a, *b)):
        one, other = a.get(name, set()), b.get(name, set())
        if one != other and one and other:
            told.append(f"{name} differs: {_listed(one)} and {_listed(other)}{_MEANS.get(name, '')}")
        elif one != other:
            told.append(f"{name} is known of one run only: {_listed(one or other)}")
    return told


_MEANS = {"start method": "; memory_host does not compare", "host": "; readings of different machines do not compare"}


def _surroundings(table: Table) -> dict[str, set[str]]:
    """The values of each thing that may differ, over all trials of *table*."""
    found: dict[str, set[str]] = {}
    for number in set(table.frame[carried("study")].tolist()):
        study = table.studies[number]
        _add(found, {name: (study["machine"] or {}).get(name) for name in _MACHINE})
        _add(found, {f"version of {name}": version for name, version in (study["packages"] or {}).items()})
        _add(found, {f"version of plugin {name}": version for name, version in (study["plugins"] or {}).items()})
    # Trials with the same facts share them.
    for facts in {id(facts): facts for facts in table.frame[carried("facts")]}.values():
        _add(found, {name.replace("_", " "): (facts or {}).get(name) for name in _FACTS})
    for method in set(table.frame[carried("start_method")]):
        _add(found, {"start method": method})
    return found


def _add(found: dict[str, set[str]], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if value is not None:
            found.setdefault(name, set()).add(plain(value))


def _listed(values: set[str]) -> str:
    return ", ".join(sorted(values)[:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
