"""Where a model's weights come from: none, published ones, or a file of the user's folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.specs import ModelSpec

# How many digits of a file's SHA-256 are its tag.
_TAG_DIGITS = 16


def weights_name(model: str) -> str:
    """Return the name of *model*'s weights file, without its ending."""
    return model.removeprefix("timm:")


def weights_of(model: str, weights: str, weights_dir: str | Path | None) -> str | None:
    """Return the weights to create *model* with: None from scratch, a file of *weights_dir*, or what was asked for."""
    if weights == "scratch":
        return None
    if weights == "pretrained" and weights_dir is not None:
        for ending in (".safetensors", ".pth", ".pt"):
            file = Path(weights_dir) / f"{weights_name(model)}{ending}"
            if file.is_file():
                return str(file)
    return weights


def weights_tag(model: ModelSpec, weights: str, weights_dir: str | Path | None) -> str | None:
    """Return what tells these weights of *model* from others: a file's digest, or the tag of the published ones."""
    chosen = weights_of(model.name, weights, weights_dir)
    if chosen is None:
        return None
    if chosen != "pretrained":
        digest = file_digest(chosen)
        return f"sha256:{digest[:_TAG_DIGITS]}" if digest is not None else None
    return getattr(model.create, "weights_tag", None)


def file_of_weights(model: ModelSpec, weights: str | None) -> str | None:
    """Return the file that *weights* are in: the user's, or the one in the hub's cache; None where there is none."""
    if weights != "pretrained":
        return weights
    locate = getattr(model.create, "hub_file", None)
    return cached_file(*locate()) if locate is not None else None


def cached_file(repository: str, file: str) -> str | None:
    """Return where the hub's cache has *file* of *repository*, or its older form, None where it has neither."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name) for name in (file, "pytorch_model.bin"))
    return next((path for path in found if isinstance(path, str)), None)


def file_digest(file: str | None) -> str | None:
    """Return the SHA-256 of *file*, None where there is no such file."""
    if file is None or not Path(file).is_file():
        return None

    digest = hashlib.sha256()
    with Path(file).open("rb") as content:
        while part := content.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
