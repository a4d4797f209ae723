"""Which meters read the resources that a budget limits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from harness.errors import HarnessError, unknown
from harness.measuring.block import default_registry
from harness.meter import ENERGY_PARTS, RESOURCE_UNITS
from harness.registry import Registry

# A derived resource -> for each thing that it needs the resources of which one has to be read.
_NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "energy": (ENERGY_PARTS,),
    "memory": (("memory_host", "memory_cuda"),),
    "carbon": (ENERGY_PARTS, ("carbon_intensity",)),
}


def check_known(resources: Iterable[str]) -> None:
    """Raise HarnessError for a resource that neither the harness nor a meter of a plugin knows."""
    unlisted = [resource for resource in resources if resource not in RESOURCE_UNITS]
    if not unlisted:
        return
    entries = default_registry().meters.entries.values()
    read = {resource for entry in entries for resource in entry.value.resources}
    for resource in unlisted:
        if resource not in read:
            raise unknown("resource", resource, read | RESOURCE_UNITS.keys())


def meters_for(resources: Iterable[str], options: Mapping[str, str | float]) -> tuple[list[str], list[str]]:
    """Return the names of the meters that work here and read *resources*, and a line for each that estimates one.

    Raises HarnessError for a resource that none reads here, with what would change that.
    """
    registry = default_registry()
    automatic, _ = registry.automatic_meters(options)
    needed = [(resource, parts) for resource in resources for parts in _NEEDED.get(resource, ((resource,),))]
    found = [name for resource, parts in needed for name in _readers(resource, parts, automatic, registry, options)]
    names = list(dict.fromkeys(found))
    return names, registry.estimates(names)


def _readers(
    resource: str,
    parts: Collection[str],
    automatic: Iterable[str],
    registry: Registry,
    options: Mapping[str, str | float],
) -> list[str]:
    """Return those of the *automatic* meters that read one of *parts*, else the first other that does."""
    reading = [name for name, entry in registry.meters.entries.items() if set(parts) & set(entry.value.resources)]
    chosen = [name for name in automatic if name in reading]
    if chosen:
        return chosen
    reasons = {name: registry.meter_unavailable(name, options) for name in reading}
    works = [name for name, reason in reasons.items() if reason is None]
    if not works:
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise HarnessError(f"no meter here reads {resource}{f' ({why})' if why else ''}")
    return works[:1]
