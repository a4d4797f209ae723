"""Facts of the machine and the software that a study ran on. An allow-list: nothing of the user's environment leaks."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from harness.plugins_loader import Plugins
from harness.records import Origin, StudyRecord

_PACKAGES = (
    "pepr-harness",
    "torch",
    "timm",
    "torchvision",
    "numpy",
    "scikit-learn",
    "medmnist",
    "nvidia-ml-py",
    "pillow",
)
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID")


def describe_environment(settings: Mapping[str, Any], plugins: Plugins, origin: Origin = "run") -> StudyRecord:
    """Return the record of a study that begins now with *settings*; *origin* says who began it."""
    return StudyRecord(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        origin=origin,
        settings=dict(settings),
        machine=machine_facts(),
        packages=package_versions(),
        plugins={name: plugin.version for name, plugin in plugins.known.items() if plugin.reason is None},
        commit=git_commit(Path.cwd()),
    )


def machine_facts() -> dict[str, Any]:
    """Return host name, system, processor, cores, memory [B] and the few variables that change how things run."""
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "processor": cpu_name(),
        "cores": psutil.cpu_count(logical=False),
        "threads": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def cpu_name() -> str:
    """Return the processor's name as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def nvidia_cards() -> tuple[list[str], str | None]:
    """Return the names of the NVIDIA cards that the driver tells of, or why there are none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        names = [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return [], f"no NVIDIA driver answers ({error})"
    return names, None if names else "the NVIDIA driver sees no card"


def package_versions(names: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of those packages *names*, that shape a result, as installed; none is imported."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def changed_versions(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return "package old -> new" for every package whose version is not what it was."""
    names = sorted(before.keys() | now.keys())
    return [
        f"{name} {before.get(name, 'none')} -> {now.get(name, 'none')}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def git_commit(folder: Path) -> str | None:
    """Return the commit that *folder* is at, None outside a git checkout."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 (git is found on the user's own path)
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
