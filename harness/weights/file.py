"""A file of weights: read without running code, and told to be what it claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.errors import HarnessError

if TYPE_CHECKING:
    from torch import Tensor

# Where training scripts keep the weights inside a checkpoint, best first: the averaged ones before the last ones.
_NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")
_HTML = (b"<!doctype", b"<html", b"<?xml")


def read_weights(file: str | Path) -> dict[str, Tensor]:
    """Return the tensors in *file* on the CPU, by name: safetensors, or what `torch.save` writes.

    Nothing in the file is run: of a pickle only tensors and plain containers are taken. Checkpoints that keep the
    weights under `state_dict` or `model` are opened, and the prefixes of wrappers (`module.`) taken off.

    Raises HarnessError for a file that cannot be read, is damaged, is something else, or holds no tensors.
    """
    path = Path(file)
    refuse_unless_file(path)
    content = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    tensors = _tensors(content)
    if not tensors:
        raise HarnessError(f"the weights file {str(path)!r} holds no tensors by name; save `model.state_dict()`")
    return tensors


def refuse_unless_file(path: Path) -> None:
    """Raise HarnessError for what is not a file with something in it that can be opened."""
    if path.is_dir():
        raise HarnessError(f"the weights file {str(path)!r} is a folder; put the file itself there")
    try:
        with path.open("rb") as content:
            start = content.read(64)
    except OSError as error:
        raise HarnessError(f"the weights file {str(path)!r} cannot be read ({error.strerror})") from error
    if not start:
        raise HarnessError(f"the weights file {str(path)!r} is empty; download it again")
    if start.lstrip().lower().startswith(_HTML):
        raise HarnessError(f"the weights file {str(path)!r} is a web page, not weights; download the file itself")


def _safetensors(path: Path) -> object:
    import torch
    from safetensors.torch import load_file

    try:
        with torch.device("cpu"):
            return load_file(path)
    except Exception as error:
        raise _damaged(path, "safetensors", error) from error


def _pickled(path: Path) -> object:
    import pickle

    import torch

    try:
        with torch.device("cpu"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch says the same of damage and of a pickle that asks for code.
        raise HarnessError(
            f"the weights file {str(path)!r} is damaged or holds more than tensors, which only running its code would "
            "read, and nothing in it is run; save `model.state_dict()` with torch.save, or as safetensors"
        ) from error
    except Exception as error:
        raise _damaged(path, "torch", error) from error


def _damaged(path: Path, kind: str, error: Exception) -> HarnessError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return HarnessError(
        f"the weights file {str(path)!r} is damaged or no {kind} file ({lines[0][:120]}); download it again"
    )


def _tensors(content: object) -> dict[str, Tensor]:
    """Return the tensors in *content* by name, {} where it is not a mapping of them."""
    import torch
    from timm.models import clean_state_dict

    if not isinstance(content, Mapping):
        return {}
    nested = next((content[key] for key in _NESTED if isinstance(content.get(key), Mapping)), content)
    named = {name: value for name, value in nested.items() if isinstance(name, str) and isinstance(value, torch.Tensor)}
    cleaned: dict[str, Tensor] = clean_state_dict(named)
    return cleaned


@frozen
class Loaded:
    """What `load_state_dict` said: the names that the weights lacked, and those that had no place."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


@contextmanager
def noted_loads() -> Iterator[list[Loaded]]:
    """Collect what each `load_state_dict` within the block says: timm, which calls it, passes over what is missing."""
    from torch import nn

    original = nn.Module.load_state_dict
    loads: list[Loaded] = []

    def noting(module: nn.Module, *arguments: Any, **options: Any) -> Any:
        result = original(module, *arguments, **options)
        loads.append(Loaded(tuple(result.missing_keys), tuple(result.unexpected_keys)))
        return result

    nn.Module.load_state_dict = noting  # type: ignore[assignment, method-assign]
    try:
        yield loads
    finally:
        nn.Module.load_state_dict = original  # type: ignore[method-assign]
