"""Weights from a file into a timm model: timm fits head and stem, and what it passes over is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import HarnessError
from harness.weights.file import Loaded, noted_loads, read_weights

_PARAMETERS = ("weight", "bias")


def create_with_weights(name: str, file: str, **options: Any) -> Any:
    """Return the timm model *name* with the weights in *file*; *options* are those of `timm.create_model`.

    A head for another number of classes starts anew; a stem for other channels gets the sum of the RGB weights
    (`timm.models.adapt_input_conv`). Raises HarnessError for a file that cannot be read, or is of another model.
    """
    import timm

    # Read here: timm 1.0.15 would run the code in a .pth file. `state_dict` goes before every other source.
    overlay = {"state_dict": read_weights(file)}
    with loading(file, name) as loads:
        model: Any = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    # It would keep all weights a second time for as long as the model lives.
    model.pretrained_cfg["state_dict"] = None
    refuse_unless_whole(loads, model.pretrained_cfg.get("classifier"), file, name)
    return model


@contextmanager
def loading(file: str, name: str) -> Iterator[list[Loaded]]:
    """Let timm load *file* into the model *name* within the block; collect what it passes over, and keep its log still.

    Raises HarnessError for what the block raises where the file is of another model.
    """
    try:
        with _silent(), noted_loads() as loads:
            yield loads
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" in str(error):
            raise
        raise _of_another(file, name, _line(error)) from error


def refuse_unless_whole(loads: list[Loaded], classifier: str | Iterable[str] | None, file: str, name: str) -> None:
    """Raise HarnessError where tensors are missing or left over, other than those of the layers *classifier*."""
    layers = [classifier] if isinstance(classifier, str) else classifier or ()
    head = {f"{layer}.{kind}" for layer in layers for kind in _PARAMETERS}
    missing = [key for load in loads for key in load.missing if key not in head]
    unexpected = [key for load in loads for key in load.unexpected if key not in head]
    if missing:
        raise _of_another(file, name, f"it lacks {_some(missing)}")
    if unexpected:
        raise _of_another(file, name, f"the model has no place for {_some(unexpected)}")


@contextmanager
def _silent() -> Iterator[None]:
    """Keep timm from logging the names of all tensors that have no place: that is told in one line."""
    import logging

    logger = logging.getLogger("timm")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _of_another(file: str, name: str, reason: str) -> HarnessError:
    return HarnessError(
        f"the weights file {file!r} is not one of the timm model {name!r}: {reason}; put the right file there"
    )


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return f"{keys[0]!r}{more}"


def _line(error: BaseException) -> str:
    """Return the first line that says something, of an error that names what it is about in the line before."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = lines[1:2] if len(lines) > 1 and lines[0].endswith(":") else lines[:1]
    return f"{type(error).__name__}: {telling[0][:160]}" if telling else type(error).__name__
