"""Fetching a published file: whole, checked and under its name, or not at all."""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harness.errors import HarnessError
from harness.output_file import sync_folder
from harness.quantities import format_quantity

# Of silence, not in all: a dozen gigabytes take their time.
_TIMEOUT_SECONDS = 60
_PART = 1 << 20


def download(url: str, target: Path, md5: str) -> None:
    """Fetch *url* to *target*, which appears once all of it is there, on the disk, and has the checksum *md5*.

    Raises HarnessError where the server or the disk does not do its part, or another file than this one came.
    """
    # Here, since every start of the harness loads this file, and few go to the network.
    import http.client
    import urllib.error

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _aside(target) as (path, content):
            found = _fetch(url, content)
            if found != md5:
                raise HarnessError(f"{url} gave another file than expected (MD5 {found}, not {md5}); try again later")
            content.flush()
            os.fsync(content.fileno())
            path.replace(target)
        sync_folder(target.parent)
    except (OSError, http.client.HTTPException) as error:  # of the network (URLError) and of the disk
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise HarnessError(
            f"cannot download {url} to {str(target)!r}: {_reason(error)}; "
            "try again, or put the file there by other means"
        ) from error


def _reason(error: Exception) -> str:
    """Return in one line what went wrong; a server's own words are among it."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return " ".join(str(reason).split()) or type(error).__name__


def file_md5(path: Path) -> str:
    """Return the MD5 of *path*, for comparison with published ones: it tells damage, not attack."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as content:
        while part := content.read(_PART):
            digest.update(part)
    return digest.hexdigest()


@contextmanager
def _aside(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a file beside *target*, one of this process alone, that is gone afterwards unless it was moved."""
    _remove_remains(target)
    path = target.with_name(f"{_part_prefix(target)}{os.getpid()}.part")
    try:
        with path.open("wb") as content:
            yield path, content
    finally:
        path.unlink(missing_ok=True)


def _part_prefix(target: Path) -> str:
    return f".{target.name}.{platform.node()}-"


def _remove_remains(target: Path) -> None:
    """Remove what downloads left behind whose processes were killed; those of other machines may still go on."""
    import psutil

    prefix = _part_prefix(target)
    for path in target.parent.glob(f"{glob.escape(prefix)}*.part"):
        pid = path.name.removeprefix(prefix).removesuffix(".part")
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


def _fetch(url: str, content: BinaryIO) -> str:
    """Write what *url* gives to *content* and return its MD5; raises OSError where it ends early."""
    import urllib.request

    digest = hashlib.md5(usedforsecurity=False)
    if not url.startswith(("https://", "http://")):
        raise OSError("only http and https are fetched")
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 (checked above)
        told = answer.headers.get("Content-Length") or ""
        length = int(told) if told.isdecimal() else 0
        _check_room(content, length)
        print(f"downloading {url} ({format_quantity(length, 'B') if length else 'of unknown size'})", file=sys.stderr)
        while part := answer.read(_PART):
            digest.update(part)
            content.write(part)
    if length and content.tell() != length:
        raise OSError(f"it ended after {content.tell()} of {length} bytes")
    return digest.hexdigest()


def _check_room(content: BinaryIO, length: int) -> None:
    free = shutil.disk_usage(Path(content.name).parent).free
    if length > free:
        raise OSError(f"{length} bytes are to come, and {free} are free")
