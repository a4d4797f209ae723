"""Where a model's weights come from: none, published ones, or a file of the user's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from harness.errors import HarnessError
from harness.specs import ModelSpec
from harness.weights.hub import cached_file, promised_digest, revision_of

ENDINGS = (".safetensors", ".pth", ".pt")
# How many digits of a file's SHA-256 are its tag.
_TAG_DIGITS = 16


def weights_names(model: ModelSpec) -> list[str]:
    """Return the names that a file of *model*'s weights may have, without its ending: `resnet18d`, and with the tag."""
    name = model.name.removeprefix("timm:")
    tag = getattr(model.create, "weights_tag", None)
    return [name] if tag is None or name.endswith(f".{tag}") else [name, f"{name}.{tag}"]


def weights_of(model: ModelSpec, weights: str, weights_dir: str | Path | None) -> str | None:
    """Return the weights to create *model* with: None from scratch, a file of *weights_dir*, or what was asked for.

    Raises HarnessError for a *weights_dir* that is no folder.
    """
    if weights == "scratch":
        return None
    if weights == "pretrained" and weights_dir is not None:
        if not Path(weights_dir).is_dir():
            raise HarnessError(f"--weights-dir {str(weights_dir)!r} is no folder; name the one that holds the files")
        return next((str(file) for file in _candidates(model, Path(weights_dir)) if _is_there(file)), weights)
    return weights


def _candidates(model: ModelSpec, folder: Path) -> Iterator[Path]:
    for name in weights_names(model):
        yield from (folder / f"{name}{ending}" for ending in ENDINGS)
        # As `hf download REPOSITORY --local-dir` leaves it.
        yield folder / name / "model.safetensors"


def _is_there(file: Path) -> bool:
    # A link to nowhere is a mistake to be told, not a reason to take other weights.
    return file.exists() or file.is_symlink()


def weights_tag(model: ModelSpec, weights: str, weights_dir: str | Path | None) -> str | None:
    """Return what tells these weights of *model* from others: a file's digest, or the tag of the published ones.

    Raises HarnessError as `weights_of` and `file_digest`.
    """
    chosen = weights_of(model, weights, weights_dir)
    if chosen is None:
        return None
    if chosen != "pretrained":
        return f"sha256:{file_digest(chosen)[:_TAG_DIGITS]}"
    return getattr(model.create, "weights_tag", None)


def file_of_weights(model: ModelSpec, weights: str | None) -> str | None:
    """Return the file that *weights* are in: the user's, or the one in the hub's cache; None where there is none."""
    if weights != "pretrained":
        return weights
    locate = getattr(model.create, "hub_file", None)
    return cached_file(*locate()) if locate is not None else None


def weights_facts(file: str | None, tag: str | None) -> dict[str, str | None]:
    """Return what is stored of the weights in *file*: their digest, and their commit on the hub.

    Raises HarnessError as `verified_digest`.
    """
    if file is None:
        return {"weights_digest": None, "weights_revision": None}
    return {"weights_digest": verified_digest(file, tag), "weights_revision": revision_of(file)}


def verified_digest(file: str, tag: str | None) -> str:
    """Return the SHA-256 of *file*.

    Raises HarnessError where it is not the one that the trial was planned with (*tag*), or that the hub told.
    """
    digest = file_digest(file)
    if tag is not None and tag.startswith("sha256:") and not digest.startswith(tag.removeprefix("sha256:")):
        raise HarnessError(f"the weights file {file!r} has changed since the trial was planned; run again")
    promised = promised_digest(file)
    if promised is not None and promised != digest:
        raise HarnessError(f"the weights file {file!r} is not what the hub promised; delete it and run again")
    return digest


def file_digest(file: str) -> str:
    """Return the SHA-256 of *file*; raises HarnessError where it cannot be read."""
    try:
        about = Path(file).stat()
        return _digest(file, about.st_mtime_ns, about.st_size)
    except OSError as error:
        raise HarnessError(f"the weights file {file!r} cannot be read ({error.strerror})") from error


# A study asks for the same file once for each dataset and seed.
@cache
def _digest(file: str, changed_ns: int, size: int) -> str:
    digest = hashlib.sha256()
    with Path(file).open("rb") as content:
        while part := content.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
