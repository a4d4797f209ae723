"""A cgroup for a command, which has the kernel count the memory of all its processes together."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from attrs import define

_log = logging.getLogger(__name__)

_ROOT = Path("/sys/fs/cgroup")
# Names the folder of a cgroup in which the one for the command is to be made: say, by root.
FOLDER = "HARNESS_CGROUP"
# What systemd writes on a cgroup that it leaves to a service or a user (systemd.io/CGROUP_DELEGATION).
_DELEGATED = ("user.delegate", "trusted.delegate")


@define
class Cgroup:
    """A cgroup of the harness's own in *folder*, of version 2 (memory.peak) or 1 (memory.max_usage_in_bytes)."""

    folder: Path
    _peak: int = -1

    @classmethod
    def around(cls, pid: int, parent: Path) -> Cgroup:
        """Make a cgroup in *parent* and move the process *pid* into it. Raises OSError, and leaves nothing then."""
        folder = parent / f"harness-{pid}"
        folder.mkdir()
        group = cls(folder)
        try:
            group._peak = _open(_peak_file(folder))
            (folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            group.remove()
            raise
        return group

    def read_and_reset(self) -> int:
        """Return the peak [B] since the last call.

        Of version 2 before Linux 6.12, which cannot reset it: since the beginning.
        """
        peak = int(os.pread(self._peak, 64, 0))
        try:
            os.pwrite(self._peak, b"0", 0)
        except OSError as error:
            _log.debug("the peak of %s cannot be reset: %s", self.folder, error)
        return peak

    def remove(self) -> None:
        """Remove the cgroup; it is left where processes of the command run on in it."""
        if self._peak >= 0:
            os.close(self._peak)
            self._peak = -1
        try:
            self.folder.rmdir()
        except OSError as error:
            _log.info("the cgroup %s is left: %s", self.folder, error.strerror)

    @staticmethod
    def uncertainty() -> float:
        """Return by how much the count may be too high, in bytes: each CPU charges 64 pages ahead.

        MEMCG_CHARGE_BATCH in Linux's include/linux/memcontrol.h.
        """
        return float(64 * (os.cpu_count() or 1) * os.sysconf("SC_PAGE_SIZE"))


def create_cgroup(pid: int, root: Path = _ROOT, membership: Path = Path("/proc/self/cgroup")) -> Cgroup | str:
    """Return a new cgroup with the process *pid* in it, or why there can be none.

    It is made where this process's user may, and is meant to: in a cgroup that is the user's, or left to it by
    systemd, or the one that the environment variable HARNESS_CGROUP names. Root may write anywhere, but other
    programs own what is there.
    """
    reasons = []
    for parent in _parents(root, membership):
        try:
            return Cgroup.around(pid, parent)
        except OSError as error:
            reasons.append(f"{parent}: {error.strerror}")
    reason = "; ".join(reasons) or f"no cgroup is left to this user; {FOLDER} can name one"
    _log.debug("the command gets no cgroup of its own: %s", reason)
    return reason


def _parents(root: Path, membership: Path) -> list[Path]:
    """Return the cgroups in which one for the command may be made, the best first."""
    if os.environ.get(FOLDER):
        return [Path(os.environ[FOLDER])]
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return []
    found: list[Path] = []
    for _, controllers, path in lines:
        own = root / path.lstrip("/")
        if controllers == "" and (root / "cgroup.controllers").exists():
            # A cgroup with processes in it cannot hand memory on to cgroups in it, so mostly it is the one above.
            found += [folder for folder in (own, own.parent) if _hands_on_memory(folder)]
        elif "memory" in controllers.split(","):
            found.append(root / "memory" / path.lstrip("/"))
    return [folder for folder in found if _is_ours(folder)]


def _hands_on_memory(folder: Path) -> bool:
    try:
        return "memory" in (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


def _is_ours(folder: Path) -> bool:
    """Say whether *folder* belongs to this user, who is not root, or is marked as left to whoever runs in it."""
    try:
        if os.geteuid() != 0 and folder.stat().st_uid == os.geteuid():
            return True
    except OSError:
        return False
    return any(_attribute(folder, name) == b"1" for name in _DELEGATED)


def _attribute(folder: Path, name: str) -> bytes | None:
    try:
        return os.getxattr(folder, name)
    except (OSError, AttributeError):  # no such attribute, or no such thing on this system
        return None


def _open(file: Path) -> int:
    """Open *file* to be read and, where the kernel has it reset, to be written: both through one descriptor."""
    try:
        return os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)


def _peak_file(folder: Path) -> Path:
    """Return the file that holds the peak. Raises FileNotFoundError where the cgroup does not count memory."""
    files = [folder / "memory.peak", folder / "memory.max_usage_in_bytes"]
    for file in files:
        if file.exists():
            return file
    raise FileNotFoundError(2, "it does not count memory", str(folder))
