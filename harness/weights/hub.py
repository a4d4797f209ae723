"""The Hugging Face hub: what its cache holds, what it would send, and the download.

huggingface_hub does the work and heeds its own variables: HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_ENDPOINT, HF_TOKEN,
HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT (seconds, 10 each).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

# How many requests are under way at once: enough to hide the latency, few enough to be a polite guest.
_AT_ONCE = 8
_OLDER_FORM = "pytorch_model.bin"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@frozen
class Published:
    """A file that the hub has: its repository, its name and its size in bytes (None: not told)."""

    repository: str
    file: str
    size: int | None


class HubError(Exception):
    """A file cannot be had from the hub. `unreachable`: nor can any other."""

    def __init__(self, reason: str, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.unreachable = unreachable


def cached_file(repository: str, file: str) -> str | None:
    """Return where the hub's cache has *file* of *repository*, or its older form, None where it has neither."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name) for name in (file, _OLDER_FORM))
    return next((path for path in found if isinstance(path, str)), None)


def revision_of(file: str) -> str | None:
    """Return the commit of the hub's repository that the cached *file* is of, None for a file from elsewhere."""
    folder = Path(file).parent
    return folder.name if folder.parent.name == "snapshots" else None


def promised_digest(file: str) -> str | None:
    """Return the SHA-256 that the hub told for the cached *file*, None where it told none.

    The cache names the content of a large file by its ETag, which is that digest.
    """
    path = Path(file)
    name = path.readlink().name if path.is_symlink() else ""
    return name if _SHA256.fullmatch(name) else None


def ask_hub(wanted: Sequence[tuple[str, str]]) -> list[Published | HubError]:
    """Return for each (repository, file) what the hub has, or why it cannot be had.

    One is asked for alone: where the hub cannot be reached, that is found out once and not for each.
    """
    if not wanted:
        return []

    from concurrent.futures import ThreadPoolExecutor

    first = _asked(*wanted[0])
    lost = [first] if isinstance(first, HubError) and first.unreachable else []

    def ask(repository: str, file: str) -> Published | HubError:
        if lost:
            return lost[0]
        answer = _asked(repository, file)
        if isinstance(answer, HubError) and answer.unreachable:
            lost.append(answer)
        return answer

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [first, *pool.map(lambda names: ask(*names), wanted[1:])]


def _asked(repository: str, file: str) -> Published | HubError:
    try:
        return _published(repository, file)
    except Exception as error:
        return error if isinstance(error, HubError) else _told(error, repository)


def _published(repository: str, file: str) -> Published:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    for name in dict.fromkeys((file, _OLDER_FORM)):
        try:
            about = get_hf_file_metadata(hf_hub_url(repository, name), timeout=constants.HF_HUB_ETAG_TIMEOUT)
        except EntryNotFoundError:
            continue
        if about.commit_hash is None or about.etag is None:
            raise HubError(f"{constants.ENDPOINT} does not answer as the hub does; is a proxy between?", True)
        return Published(repository, name, about.size)
    raise HubError(f"{repository} has no {file}")


def download(repository: str, file: str) -> str:
    """Return where *file* of *repository*, or its older form, lies in the cache, downloaded if it was not there.

    Raises HubError where it cannot be had, or what came is not what the hub promised.
    """
    cached = cached_file(repository, file)
    if cached is not None:
        return cached

    import logging

    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    # It logs each new try with the address, signed and long.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    answer = _asked(repository, file)
    if isinstance(answer, HubError):
        raise answer
    try:
        return hf_hub_download(repository, answer.file)
    except Exception as error:
        told = _told(error, repository)
        # The hub did answer a moment ago.
        broke_off = HubError(f"the download of {repository} broke off ({type(error).__name__})")
        raise (broke_off if told.unreachable else told) from error


def discard(file: str) -> None:
    """Remove the cached *file* and its content, so that it is downloaded again."""
    path = Path(file)
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _told(error: Exception, repository: str) -> HubError:
    """Return in words what huggingface_hub raised."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return HubError("HF_HUB_OFFLINE is set, so that the hub is not asked", True)
    if isinstance(error, GatedRepoError):
        return HubError(f"{repository} is not open to all: accept its terms on the hub, then `hf auth login`")
    if isinstance(error, RepositoryNotFoundError):
        return HubError(f"the hub has no {repository}")
    if status is not None:
        return HubError(f"the hub answered {status} for {repository}")
    if isinstance(error, OSError) and "Consistency check" in str(error):
        return HubError(f"what came of {repository} has another size than the hub told")
    if isinstance(error, OSError) and error.errno is not None:
        return HubError(f"{repository} cannot be written to the cache {constants.HF_HUB_CACHE} ({error.strerror})")
    return HubError(f"{constants.ENDPOINT} cannot be reached ({type(error).__name__})", True)
