"""The `pyrapl` meter: joules of packages and dram as the pyRAPL library reads them, to be held against `rapl`.

The library gives what the counter shows, so that its difference is wrong, or negative, once the counter has wrapped
around; the totals are therefore kept here, as for `rapl`.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.hookspecs import hookimpl
from harness.meters.energy_counters import Counter
from harness.meters.powercap import STANDARD_ROOT, Zone, find_zones, powercap_root, resources_of
from harness.meters.rapl import USUAL_RESOURCES, ZoneMeter, domain_of, refusal

_CLASSES = {"energy_cpu": "PkgAPI", "energy_dram": "DramAPI"}


def create(options: Mapping[str, Any]) -> ZoneMeter:
    """Return the meter `pyrapl`."""
    return ZoneMeter("pyrapl", _find, _refusal, _connect, options.get("sampler"))


def _find() -> list[Zone]:
    return [zone for zone in find_zones(powercap_root()) if zone.resource in _CLASSES]


def _refusal(zone: Zone) -> str | None:
    """Return None if the library can read *zone*, else why not. Does not import it: that takes half a second."""
    if importlib.util.find_spec("pyRAPL") is None:
        return "the package pyRAPL is not installed: pip install pyRAPL"
    if _socket(zone) is None:
        return f"pyRAPL knows one package for each socket, and not {zone.device!r}; the meter rapl reads it"
    if not _folder(zone).exists():
        return f"pyRAPL looks for {zone.device} in {_folder(zone)}, which is not there; the meter rapl reads it"
    return refusal(zone)


def _socket(zone: Zone) -> int | None:
    """Return the number of the socket that *zone* belongs to, None where it is a die or says no number."""
    match = re.fullmatch(r"(?:dram of )?package-(\d+)", zone.device)
    return int(match[1]) if match else None


def _folder(zone: Zone) -> Path:
    """Return the folder of *zone* where the library looks for it: inside that of its package."""
    package = powercap_root() / "intel-rapl" / ":".join(zone.id.split(":")[:2])
    return package if zone.resource == "energy_cpu" else package / zone.id


def _connect(zone: Zone) -> Counter:
    """Return the counter of *zone*, read by an object of the library for its socket alone: one that fails, fails alone.

    Raises OSError where the library refuses.
    """
    socket = _socket(zone)
    with _without_noise():
        import pyRAPL

        try:
            api = _api(pyRAPL, zone)([socket])
        except pyRAPL.PyRAPLException as error:
            raise OSError(f"pyRAPL raised {type(error).__name__}") from error
    # What it calls joules are microjoules, at the place of the socket's number.
    return Counter(domain_of(zone), lambda: int(api.energy()[socket]), lambda: _close(api))


def _api(library: Any, zone: Zone) -> Any:
    """Return the class of the *library* for *zone*, which reads where HARNESS_POWERCAP_ROOT says if that is set."""
    api = getattr(library, _CLASSES[zone.resource])
    if powercap_root() == STANDARD_ROOT:
        return api

    number = int(zone.id.split(":")[1])
    directory = str(powercap_root() / "intel-rapl" / f"intel-rapl:{number}")

    def begin(self: Any, socket_ids: list[int]) -> None:
        self._socket_ids = socket_ids
        self._sys_files = self._open_rapl_files()

    # The library as it is, but for the folder, which it has fixed, and for this machine's sockets, which it would ask.
    return type(
        api.__name__, (api,), {"__init__": begin, "_get_socket_directory_names": lambda self: [(directory, number)]}
    )


def _close(api: Any) -> None:
    for file in api._sys_files:
        file.close()


@contextmanager
def _without_noise() -> Iterator[None]:
    """Keep still what the library says of itself: its advice to install pymongo, and files that it leaves open.

    It warns through the root logger, which would give that a handler for good if it has none.
    """
    root = logging.getLogger()
    stand_in = logging.NullHandler()
    root.addHandler(stand_in)
    root.addFilter(_is_no_advice)
    try:
        with warnings.catch_warnings():
            for kind in (ResourceWarning, SyntaxWarning, DeprecationWarning):
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        root.removeFilter(_is_no_advice)
        root.removeHandler(stand_in)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "in order to use MongoOutput" not in record.getMessage()


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    register("pyrapl", create, resources=resources_of(_find()) or USUAL_RESOURCES)
