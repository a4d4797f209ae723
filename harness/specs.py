"""What plugins register: models and datasets, by name, with what can be known of them without torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen, validators

from harness.image_sizes import ImageSizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The tasks of the built-in image classification: one output and BCE, or an output per class and cross-entropy. A plugin
# that runs trials of its own (`harness_run_trial`) names its task otherwise.
IMAGE_TASKS = ("binary", "multiclass")


class CreateModel(Protocol):
    """Builds a model: `weights` is None (from scratch), "pretrained" or a file."""

    def __call__(self, num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any: ...


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen
class ModelSpec:
    """A model that trials can name.

    `create(num_outputs, in_chans, image_size, weights)` gives a `torch.nn.Module`; `parameters` counts those of the
    published ImageNet model; `tags` are for `tag:NAME` patterns. `image_sizes` says which the model takes; None, where
    that is not known, has it found out by trying before a run.
    """

    name: str = field(validator=validators.instance_of(str))
    create: CreateModel = field(validator=validators.is_callable())
    parameters: int | None = None
    tags: tuple[str, ...] = field(default=(), converter=_texts)
    note: str | None = None
    image_sizes: ImageSizes | None = None


@frozen
class Split:
    """Images `uint8 [N, C, H, W]` with their labels `int64 [N]`."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@frozen
class Splits:
    """The three splits of a dataset."""

    train: Split
    validation: Split
    test: Split


class LoadDataset(Protocol):
    """Loads a dataset at *image_size* pixels from the folder *root*; *download* allows the network."""

    def __call__(self, image_size: int, root: Path | None, download: bool) -> Splits: ...


@frozen
class DatasetSpec:
    """A dataset that trials can name.

    `splits` are the number of images in (train, validation, test) where known; `image_sizes` those that are stored,
    from which others are resized; `task` is "binary", "multiclass" or what a plugin brings.
    """

    name: str = field(validator=validators.instance_of(str))
    load: LoadDataset = field(validator=validators.is_callable())
    num_classes: int
    in_chans: int
    task: str = field(default="multiclass", validator=validators.instance_of(str))
    splits: tuple[int, int, int] | None = None
    image_sizes: tuple[int, ...] = ()
    default_image_size: int = 256
    note: str | None = None

    @property
    def num_outputs(self) -> int:
        return 1 if self.task == "binary" else self.num_classes
