"""NVIDIA's cards through its management library: which of them this process sees, and what each one reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

# NVML gives millijoules and milliwatts.
_MILLI = 1e-3
# NVML's number of the field of instantaneous power, and its scopes.
_POWER_INSTANT = 186
_SCOPE_CARD, _SCOPE_MODULE = 0, 1
# Whose counters cover the whole module.
_MODULES = ("GH200", "GB200", "GB300")


@frozen
class CardName:
    """What tells a card: its UUID, its model, and the UUIDs of the MIG slices it is cut into.

    `fault` says why a card does not even answer to that; its UUID is then its number.
    """

    uuid: str
    model: str
    slices: tuple[str, ...] = ()
    fault: str | None = None


@frozen
class Visible:
    """The indices (in NVML's order) of the cards that a process sees.

    `note` says what is not certain about them; then all `candidates` have to be read, until torch tells its own.
    """

    indices: tuple[int, ...]
    note: str | None = None
    candidates: tuple[int, ...] = ()


def visible_cards(cards: Sequence[CardName], environ: Mapping[str, str]) -> Visible:
    """Return which of *cards* CUDA shows a process with the environment *environ*.

    CUDA_VISIBLE_DEVICES holds numbers, UUIDs, prefixes of UUIDs or MIG slices; what follows the first entry that
    names nothing is not shown (CUDA programming guide). NVIDIA_VISIBLE_DEVICES speaks to the container's runtime, which
    has already left out of NVML what it hides.
    """
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return _certain(range(len(cards)))

    found: set[int] = set()
    numbered = False
    for entry in listed.split(","):
        index = _find(cards, entry.strip())
        if index is None:
            break
        found.add(index)
        numbered |= entry.strip().isdigit()
    note = _doubt(cards, environ) if numbered else None
    return _certain(found) if note is None else Visible(tuple(sorted(found)), note, tuple(range(len(cards))))


def _certain(indices: Iterable[int]) -> Visible:
    ordered = tuple(sorted(indices))
    return Visible(ordered, candidates=ordered)


def _find(cards: Sequence[CardName], entry: str) -> int | None:
    """Return the index of the card that *entry* names, itself or a slice of it."""
    if entry.isdigit():
        return int(entry) if int(entry) < len(cards) else None
    if entry.startswith("MIG-"):
        # MIG-GPU-<uuid>/<instance>/<instance> was the form before driver 470.
        old = entry.removeprefix("MIG-").partition("/")[0]
        named = [i for i, card in enumerate(cards) if card.uuid == old or any(s.startswith(entry) for s in card.slices)]
        return named[0] if len(named) == 1 else None
    named = [i for i, card in enumerate(cards) if entry.startswith("GPU-") and card.uuid.startswith(entry)]
    return named[0] if len(named) == 1 else None


def _doubt(cards: Sequence[CardName], environ: Mapping[str, str]) -> str | None:
    """Return why CUDA's numbers may not be NVML's: it puts the fastest card first unless told otherwise."""
    if len({card.model for card in cards}) < 2 or environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return None
    return "unlike cards, numbered as CUDA_DEVICE_ORDER=PCI_BUS_ID would; set that, or name cards by UUID"


def cards_of_torch() -> frozenset[str] | None:
    """Return the UUIDs of the cards that torch uses in this process; None where it uses none, or does not tell."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return None
    uuids = [getattr(cuda.get_device_properties(index), "uuid", None) for index in range(cuda.device_count())]
    return frozenset(f"GPU-{uuid}" for uuid in uuids) if all(uuids) else None


class Library:
    """NVML while it is initialised: made by `connect`, which may be done several times over in a process."""

    def __init__(self) -> None:
        # 20-40 ms, and only this meter needs it.
        import pynvml

        self.api = pynvml

    def connect(self) -> str | None:
        """Initialise NVML; return why it does not answer, or None. Works without the program nvidia-smi."""
        try:
            self.api.nvmlInit()
        except self.api.NVMLError as error:
            return (
                f"no NVIDIA driver answers ({error}); install it if there is a card, and have a container's runtime "
                f"bring its libraries in (NVIDIA_DRIVER_CAPABILITIES=compute,utility)"
            )
        return None

    def disconnect(self) -> None:
        """Let NVML go."""
        self.api.nvmlShutdown()

    def names(self) -> list[CardName]:
        """Return the names of all cards, in NVML's order."""
        return [self._name(index) for index in range(self.ask(self.api.nvmlDeviceGetCount) or 0)]

    def handle(self, index: int) -> Any:
        """Return NVML's handle of the card number *index*. Raises NVMLError."""
        return self.api.nvmlDeviceGetHandleByIndex(index)

    def ask(self, question: Callable[..., Any], *arguments: Any) -> Any | None:
        """Return NVML's answer, None where it has none."""
        try:
            return question(*arguments)
        except self.api.NVMLError:
            return None

    def _name(self, index: int) -> CardName:
        try:
            handle = self.handle(index)
            uuid, model = self.api.nvmlDeviceGetUUID(handle), self.api.nvmlDeviceGetName(handle)
            return CardName(str(uuid), str(model), tuple(self._slices(handle)))
        except self.api.NVMLError as error:
            return CardName(f"card {index}", "unknown", fault=f"card {index} does not answer: {error}")

    def _slices(self, handle: Any) -> Iterable[str]:
        for index in range(self.ask(self.api.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            slice_ = self.ask(self.api.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
            if slice_ is not None:
                yield str(self.api.nvmlDeviceGetUUID(slice_))


class Card:
    """One card: `joules()` since the driver was loaded, where it counts them, and `watts()`.

    `averaged` says that the watts are a mean over the last second rather than of this moment.
    """

    def __init__(self, library: Library, index: int, *, is_sliced: bool = False) -> None:
        self._library = library
        self._api = library.api
        self._handle = library.handle(index)
        self.uuid = str(self._api.nvmlDeviceGetUUID(self._handle))
        self.model = str(self._api.nvmlDeviceGetName(self._handle))
        is_module = any(name in self.model for name in _MODULES)
        self.note = _scope(is_module, is_sliced)
        # Of the same thing as the counter.
        self._field = (_POWER_INSTANT, _SCOPE_MODULE if is_module else _SCOPE_CARD)
        self.counts = self._ask("nvmlDeviceGetTotalEnergyConsumption") is not None
        self._instant = self._instant_field() is not None
        self.averaged = not self._instant and (is_module or self._is_averaged())
        self.limit_watts = _times_milli(self._ask("nvmlDeviceGetEnforcedPowerLimit"))
        self._celsius_at_first = self._celsius()

    def joules(self) -> float:
        """Return the energy counter [J]. Raises NVMLError."""
        millijoules: int = self._api.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        return millijoules * _MILLI

    def watts(self) -> float:
        """Return the power [W]. Raises NVMLError."""
        if self._instant:
            milliwatts = self._instant_field()
            if milliwatts is not None:
                return milliwatts * _MILLI
        return float(self._api.nvmlDeviceGetPowerUsage(self._handle)) * _MILLI

    def facts(self) -> dict[str, Any]:
        """Return what is known of the card: plain data."""
        return {
            "uuid": self.uuid,
            "name": self.model,
            "power_limit_watts": self.limit_watts,
            "energy_counter": self.counts,
            "power": "mean of the last second" if self.averaged else "instantaneous",
            "celsius_at_first": self._celsius_at_first,
            "celsius_at_last": self._celsius(),
            "other_processes": self._others(),
            "note": self.note,
        }

    def _ask(self, question: str, *arguments: Any) -> Any | None:
        return self._library.ask(getattr(self._api, question), self._handle, *arguments)

    def _instant_field(self) -> int | None:
        values = self._ask("nvmlDeviceGetFieldValues", [self._field])
        return values[0].value.uiVal if values is not None and values[0].nvmlReturn == 0 else None

    def _is_averaged(self) -> bool:
        """Say whether nvmlDeviceGetPowerUsage averages over a second: from Ampere on, but for GA100 (NVML reference).

        A driver too old to tell the architecture is too old for those cards.
        """
        architecture = self._ask("nvmlDeviceGetArchitecture")
        if architecture is None or architecture < self._api.NVML_DEVICE_ARCH_AMPERE:
            return False
        is_ga100 = self._ask("nvmlDeviceGetCudaComputeCapability") == (8, 0)
        return not (architecture == self._api.NVML_DEVICE_ARCH_AMPERE and is_ga100)

    def _celsius(self) -> int | None:
        return self._ask("nvmlDeviceGetTemperature", self._api.NVML_TEMPERATURE_GPU)

    def _others(self) -> int | None:
        """Return how many other processes compute on the card; None where NVML does not tell."""
        running = self._ask("nvmlDeviceGetComputeRunningProcesses")
        # Process ids are those of the host; in a container our own may be among the others.
        return None if running is None else sum(process.pid != os.getpid() for process in running)


def _scope(is_module: bool, is_sliced: bool) -> str | None:
    """Return what more than the card that the process uses the readings cover."""
    if is_sliced:
        return "the whole card: NVML counts no energy of MIG slices"
    return "the whole module, CPU and memory included" if is_module else None


def _times_milli(number: int | None) -> float | None:
    return None if number is None else number * _MILLI
