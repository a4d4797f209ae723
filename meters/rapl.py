"""The `rapl` meter: joules of processor packages, of the memory beside them and of the platform.

The processor counts by itself, and only two numbers are read at the edges of a window; nothing runs between them but
one reading every few minutes, in time for the counters' wrap-around.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.hookspecs import hookimpl
from harness.measuring.sampler import Sampler
from harness.meter import Readings
from harness.meters.energy_counters import Counter, CounterGroup, Domain, EnergyMark
from harness.meters.powercap import Zone, find_zones, limit_watts, powercap_root, read_number, resources_of

# What a machine without any counter is listed with.
USUAL_RESOURCES = ("energy_cpu", "energy_dram")
UDEV_RULE = (
    'ACTION=="add", SUBSYSTEM=="powercap", KERNEL=="intel-rapl*:*", '
    'RUN+="/bin/chgrp power /sys%p/energy_uj", RUN+="/bin/chmod g+r /sys%p/energy_uj"'
)


class EnergyFile:
    """The counter of a zone, its file kept open: reading is then 20 times as fast as opening it each time."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> int:
        """Return the microjoules counted; raises OSError or ValueError."""
        return int(os.pread(self._descriptor, 32, 0))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


class ZoneMeter:
    """Reads counters of zones, of those that this process may read.

    Takes its collaborators as functions: *find* gives the zones, *refuse* None or why one cannot be read, *connect* its
    counter, or raises OSError or ValueError.
    """

    def __init__(
        self,
        name: str,
        find: Callable[[], list[Zone]],
        refuse: Callable[[Zone], str | None],
        connect: Callable[[Zone], Counter],
        sampler: Sampler | None,
    ) -> None:
        self._name = name
        self._find, self._refuse, self._connect = find, refuse, connect
        self._sampler = sampler
        self._zones: list[Zone] = []
        self._group = CounterGroup(name, (), (), None)

    def unavailable(self) -> str | None:
        zones = self._find()
        if not zones:
            return _no_counters(powercap_root())

        refusals = [self._refuse(zone) for zone in zones]
        return refusals[0] if all(refusals) else None

    def open(self) -> None:
        self._zones = self._find()
        connected = [(zone, self._counter(zone)) for zone in self._zones]
        counters = [counter for _, counter in connected if isinstance(counter, Counter)]
        refused = [(zone.resource, reason) for zone, reason in connected if isinstance(reason, str)]
        self._group = CounterGroup(self._name, counters, refused, self._sampler)

    def mark(self) -> EnergyMark:
        return self._group.mark()

    def between(self, start: EnergyMark, stop: EnergyMark, /) -> Readings:
        return self._group.between(start, stop)

    def facts(self) -> Mapping[str, Any]:
        """Return the zones with their names, ranges [uJ] and limits [W], and why some are not read."""
        zones = [{"zone": zone.id, "name": zone.name, "path": str(zone.path)} for zone in self._zones]
        return {"zones": zones, **self._group.facts()}

    def close(self) -> None:
        self._group.close()

    def _counter(self, zone: Zone) -> Counter | str:
        try:
            return self._refuse(zone) or self._connect(zone)
        except (OSError, ValueError) as error:
            return f"{zone.energy} cannot be read: {error}"


def domain_of(zone: Zone) -> Domain:
    """Return what the counter of *zone* counts; raises OSError or ValueError where its range cannot be read."""
    return Domain(zone.resource, zone.device, _range(zone), limit_watts(zone))


def _no_counters(root: Path) -> str:
    """Say that there is no tree under *root*."""
    return (
        f"no RAPL counters: no {root}/intel-rapl here (usual in virtual machines and, unless it is mounted, in "
        f"containers); where another folder shows the host's, name it in HARNESS_POWERCAP_ROOT"
    )


def refusal(zone: Zone) -> str | None:
    """Return None if this process can read the counter of *zone*, else why not and what would help."""
    try:
        read_number(zone.energy)
        _range(zone)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return _forbidden(zone.energy)
        return f"{error.filename or zone.energy} cannot be read: {error.strerror}"
    except ValueError as error:
        return f"the counter in {zone.path} makes no sense: {error}"
    return None


def _range(zone: Zone) -> int:
    highest = read_number(zone.path / "max_energy_range_uj")
    if highest <= 0:
        raise ValueError(f"its range is {highest}")
    return highest


def _forbidden(file: Path) -> str:
    return (
        f"{file} may not be read: since Linux 5.10 only root may; until the next start of the machine, "
        f"`sudo chmod a+r {file.parent.parent}/intel-rapl*/energy_uj`; for good, and for the members of a group power "
        f"only, one line in /etc/udev/rules.d/70-powercap.rules: {UDEV_RULE}"
    )


def _connect(zone: Zone) -> Counter:
    domain = domain_of(zone)
    file = EnergyFile(zone.energy)
    return Counter(domain, file.read, file.close)


def _find() -> list[Zone]:
    return find_zones(powercap_root())


def create(options: Mapping[str, Any]) -> ZoneMeter:
    """Return the meter `rapl`."""
    return ZoneMeter("rapl", _find, refusal, _connect, options.get("sampler"))


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    # Only what is here: a resource that nothing reads would be missing, and the sum of energies with it.
    register("rapl", create, resources=resources_of(_find()) or USUAL_RESOURCES)
