"""A fake NVML for tests: its library built from C, its cards, and the truth about their energy in closed form."""

from __future__ import annotations

import ctypes
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent / "fake_nvml" / "nvml.c"
LIBRARY = "libnvidia-ml.so.1"
FIRST = "GPU-11111111-2222-3333-4444-555555555555"
SECOND = "GPU-99999999-8888-7777-6666-555555555555"


@cache
def library_folder() -> Path:
    """Build the library with the system's compiler, once, and return the folder to put on the loader's path."""
    folder = Path(tempfile.mkdtemp(prefix="fake-nvml-"))
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or "cc"
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}", "-o", folder / LIBRARY, SOURCE, "-lm"],
        check=True,
    )
    return folder


def card(uuid: str = FIRST, **about: object) -> str:
    """Return the line of one card; what may be said of it stands in the fake's source."""
    return " ".join([f"uuid={uuid}", *[f"{name}={value}" for name, value in about.items()]])


def environment(folder: Path, *cards: str, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment in which a new process finds the fake library with *cards*, told of in *folder*."""
    (folder / "cards").write_text("\n".join(cards) + "\n")
    base = dict(os.environ if inherited is None else inherited)
    path = os.pathsep.join(part for part in (str(library_folder()), base.get("LD_LIBRARY_PATH")) if part)
    return base | {"LD_LIBRARY_PATH": path, "FAKE_NVML": str(folder / "cards")}


@contextmanager
def loaded(folder: Path, *cards: str) -> Iterator[None]:
    """Have this process find the fake library: once loaded, it answers to the name that the loader is asked for."""
    import pynvml

    # Already loaded under its soname, it is what the loader gives to whoever asks for that.
    ctypes.CDLL(str(library_folder() / LIBRARY))
    before = os.environ.get("FAKE_NVML")
    os.environ["FAKE_NVML"] = environment(folder, *cards)["FAKE_NVML"]
    pynvml.nvmlLib = None
    pynvml._nvmlGetFunctionPointer_cache.clear()
    try:
        yield
    finally:
        pynvml.nvmlLib = None
        pynvml._nvmlGetFunctionPointer_cache.clear()
        os.environ.pop("FAKE_NVML")
        if before is not None:
            os.environ["FAKE_NVML"] = before


def true_joules(start: float, stop: float, phase: float = 0.0) -> float:
    """Return the energy of a card from *start* to *stop* [s on the monotonic clock]: each pulse's part of it, added."""
    start, stop = start - phase, stop - phase
    return (
        60 * (stop - start)
        + 240 * _pulse_seconds(start, stop, width=0.4, period=0.7)
        + 200 * _pulse_seconds(start, stop, width=0.012, period=0.23)
    )


def _pulse_seconds(start: float, stop: float, width: float, period: float) -> float:
    """Return how long pulses of *width*, one in each *period*, last within the window: one after the other."""
    first, last = math.floor(start / period), math.floor(stop / period)
    overlaps = (min(stop, n * period + width) - max(start, n * period) for n in range(first, last + 1))
    return sum(max(0.0, overlap) for overlap in overlaps)
