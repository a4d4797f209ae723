"""The kernel's powercap tree: its energy zones, each counted once, and their files.

Processors of Intel and AMD show their RAPL counters here under the same names. A zone's number says nothing, its `name`
does. A package contains core and uncore, which are left out, and psys contains the package.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from attrs import evolve, frozen

ROOT_VARIABLE = "HARNESS_POWERCAP_ROOT"
STANDARD_ROOT = Path("/sys/class/powercap")
RESOURCES = ("energy_cpu", "energy_dram", "energy_psys")
_CONTROL = "intel-rapl"


@frozen
class Zone:
    """A folder of the tree with an energy counter. `id` is the kernel's name for it, `name` says what it counts.

    A reading of it is of `resource` and of `device`.
    """

    id: str
    name: str
    path: Path
    resource: str
    device: str

    @property
    def energy(self) -> Path:
        """The file that holds the counter, in microjoules."""
        return self.path / "energy_uj"

    @property
    def control(self) -> str:
        """The kernel's driver for it, such as intel-rapl."""
        return self.id.partition(":")[0]


def powercap_root() -> Path:
    """Return the folder of the tree: that of HARNESS_POWERCAP_ROOT if it is set, else the kernel's."""
    return Path(os.environ.get(ROOT_VARIABLE) or STANDARD_ROOT)


def find_zones(root: Path) -> list[Zone]:
    """Return the zones of packages, dram and psys under *root*, each once; none where there is no tree.

    intel-rapl-mmio shows the packages of intel-rapl again: of two drivers, a device is taken from intel-rapl.
    """
    taken: dict[tuple[str, str], list[Zone]] = {}
    for zone in sorted(_known(_folders(root)), key=lambda zone: zone.control != _CONTROL):
        same = taken.setdefault((zone.resource, zone.device), [])
        if not same or same[0].control == zone.control:
            same.append(zone)
    zones = [zone for same in taken.values() for zone in _told_apart(same)]
    return sorted(zones, key=lambda zone: (RESOURCES.index(zone.resource), zone.device))


def resources_of(zones: Iterable[Zone]) -> tuple[str, ...]:
    """Return the resources that *zones* count, in a fixed order."""
    counted = {zone.resource for zone in zones}
    return tuple(resource for resource in RESOURCES if resource in counted)


def read_number(path: Path) -> int:
    """Return the whole number in the file *path*; raises OSError or ValueError."""
    with path.open("rb") as file:
        return int(file.read(64))


def limit_watts(zone: Zone) -> float | None:
    """Return the highest power that the processor lets *zone* draw, in watts; None where it names none or keeps none.

    A package has a limit for the long term, one or two higher ones for shorter stretches, and a nominal maximum.
    """
    if _number(zone.path / "enabled") == 0:
        return None

    names = [name for name in _names(zone.path) if name.startswith("constraint_")]
    limits = [_number(zone.path / name) for name in names if name.endswith(("_power_limit_uw", "_max_power_uw"))]
    return max((limit / 1e6 for limit in limits if limit), default=None)


def _folders(root: Path) -> dict[str, Path]:
    """Return id and path of each zone: those that lie beside each other, then those inside others.

    The kernel shows every zone in both ways; what is mounted into a container may show it in one.
    """
    beside = [root / name for name in _children(root)]
    found = {path.name: path for path in beside if ":" in path.name}
    for path in beside:
        _add_inside(path, found)
    return found


def _add_inside(folder: Path, found: dict[str, Path]) -> None:
    for name in _children(folder):
        if ":" in name and name not in found:
            found[name] = folder / name
            _add_inside(folder / name, found)


def _known(folders: Mapping[str, Path]) -> Iterator[Zone]:
    names = {zone: _text(path / "name") for zone, path in folders.items()}
    for zone, path in folders.items():
        name = names[zone]
        if name.startswith("package"):
            yield Zone(zone, name, path, "energy_cpu", name)
        elif name == "dram":
            parent = names.get(zone.rpartition(":")[0])
            yield Zone(zone, name, path, "energy_dram", f"dram of {parent}" if parent else "dram")
        elif name == "psys":
            yield Zone(zone, name, path, "energy_psys", name)


def _told_apart(same: list[Zone]) -> list[Zone]:
    """Return zones of one driver and one name with devices that differ."""
    return same if len(same) == 1 else [evolve(zone, device=f"{zone.device} ({zone.id})") for zone in same]


def _children(folder: Path) -> list[str]:
    """Return what in *folder* is of the driver for RAPL; the links that zones have to what they belong to are not."""
    return sorted(name for name in _names(folder) if name.startswith(_CONTROL))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 (every start of the program waits for this: half the time of Path's)
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(256).decode(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return read_number(path)
    except (OSError, ValueError):
        return None
