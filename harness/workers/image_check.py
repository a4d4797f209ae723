"""Whether models take the images they are to be trained on, found out by trying; on the meta device where possible.

There only shapes are worked out: nothing is computed, and no memory is taken for weights. What cannot be built there,
as many models of timm 1.0.15, is built for real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import cattrs
from attrs import Factory, define

from harness.errors import HarnessError, told
from harness.image_sizes import refusal
from harness.interruption import is_ctrl_c
from harness.plugins_loader import PluginChoice
from harness.records import Setting
from harness.specs import DatasetSpec, ModelSpec
from harness.training.drawing import drawn_count
from harness.workers.worker import Send, loaded_plugins

# The sides [pixels] of images that datasets are published in and models are trained on.
USUAL_SIZES = (28, 32, 64, 96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512)


@define
class ImageCheck:
    """Which models cannot take their images, gathered so that one line can tell of all."""

    _unfit: dict[int, dict[str, str]] = Factory(dict)
    _alone: dict[tuple[int, str], list[str]] = Factory(dict)

    def check(self, model: ModelSpec, dataset: DatasetSpec, setting: Setting) -> None:
        """Note if *model* cannot take a batch of *dataset*; raises HarnessError if it can do so at no usual size."""
        size, batch = setting.image_size, smallest_batch(dataset, setting)
        error = _failure(model, dataset, size, batch)
        if error is None:
            return
        if batch == 1 and _failure(model, dataset, size, 2) is None:
            self._alone.setdefault((size, _way_out(setting)), []).append(model.name)
        else:
            self._unfit.setdefault(size, {})[model.name] = _told(_working(model, dataset), model, size, error)

    def lines(self) -> Iterator[str]:
        """Yield the lines to be told."""
        for size, models in self._unfit.items():
            yield refusal(size, models)
        for (size, way_out), names in self._alone.items():
            count = "1 model" if len(names) == 1 else f"{len(names)} models"
            yield (
                f"a batch of one image of {size} x {size} pixels cannot train {count}, since batch normalisation needs "
                f"more than one value per channel: {', '.join(names)}. Give {way_out}, or a larger --image-size"
            )


def smallest_batch(dataset: DatasetSpec, setting: Setting) -> int:
    """Return 1 if a training batch will be of one image, else 2.

    A last batch of one joins the one before it, so that only a batch size or a training set of one leads to it.
    """
    images = 2 if dataset.splits is None else drawn_count(dataset.splits[0], setting.train_fraction)
    return 1 if setting.batch_size == 1 or images <= 1 else 2


def send_nearest(payload: bytes, send: Send) -> None:
    """Send, for each (model, dataset, size) in *payload*, the usual size nearest to it that works, else the size."""
    asked = json.loads(payload)
    registry = loaded_plugins(cattrs.structure(asked["plugins"], PluginChoice)).registry
    send(
        json.dumps([_nearest(registry.model(m), registry.dataset(d), size) for m, d, size in asked["wanted"]]).encode()
    )


def _nearest(model: ModelSpec, dataset: DatasetSpec, size: int) -> int:
    if _failure(model, dataset, size, 2) is None:
        return size
    return min(_working(model, dataset), key=lambda other: (abs(other - size), -other), default=size)


def _working(model: ModelSpec, dataset: DatasetSpec) -> list[int]:
    return [size for size in USUAL_SIZES if _failure(model, dataset, size, 2) is None]


def _failure(model: ModelSpec, dataset: DatasetSpec, size: int, batch: int) -> BaseException | None:
    """Return what a *batch* of images without content raises in the model, None if it passes through."""
    error = _raised(model, dataset, size, batch, "meta")
    if error is None or not _is_of_the_meta_device(error):
        return error
    return _raised(model, dataset, size, batch, "cpu")


def _is_of_the_meta_device(error: BaseException) -> bool:
    """Say whether *error* comes of there being no numbers, and not of the shapes."""
    return isinstance(error, NotImplementedError) or "meta" in told(error).lower()


def _raised(model: ModelSpec, dataset: DatasetSpec, size: int, batch: int, device: str) -> BaseException | None:
    """Send a *batch* through the model on *device* and return what that raised; a HarnessError of its own is raised."""
    import torch

    try:
        with torch.device(device), torch.no_grad():
            built = model.create(dataset.num_outputs, dataset.in_chans, size, None)
            built(torch.zeros(batch, dataset.in_chans, size, size))
    except HarnessError:
        raise
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        return error
    return None


def _told(working: list[int], model: ModelSpec, size: int, error: BaseException) -> str:
    if working:
        return f"{', '.join(map(str, working))} of the usual sizes"
    reason = (told(error).splitlines() or [""])[0][:120]
    raise HarnessError(
        f"model {model.name!r} cannot take images of {size} x {size} pixels ({reason}), nor of any of the usual sizes"
    ) from error


def _way_out(setting: Setting) -> str:
    return "--batch-size 2 or more" if setting.batch_size == 1 else "a larger --train-fraction: it leaves one image"
