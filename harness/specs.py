"""What plugins register: models and datasets, by name, with what can be known of them without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen, validators

from harness.image_sizes import ImageSizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The tasks of the built-in image classification: one output and BCE, an output per class and cross-entropy, or one per
# label and BCE. A plugin that runs trials of its own (`harness_run_trial`) names its task otherwise.
IMAGE_TASKS = ("binary", "multiclass", "multilabel")


class CreateModel(Protocol):
    """Builds a model: `weights` is None (from scratch), "pretrained" or a file.

    It may have attributes that let the harness find its published weights before the first trial: `weights_tag`, which
    tells them from others, and `hub_file()`, their (repository, name) on the Hugging Face hub. With `hub_file`, they
    are downloaded before, and given as a file; without it, "pretrained" is left to the model.
    """

    def __call__(self, num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any: ...


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


_IS_TEXT = validators.instance_of(str)
_IS_COUNT = validators.and_(validators.instance_of(int), validators.ge(0))
_ARE_COUNTS: Any = validators.optional(validators.deep_iterable(_IS_COUNT))
_ARE_SIZES = validators.deep_iterable(validators.and_(validators.instance_of(int), validators.ge(1)))


@frozen
class ModelSpec:
    """A model that trials can name.

    `create(num_outputs, in_chans, image_size, weights)` gives a `torch.nn.Module`; `parameters` counts those of the
    published ImageNet model; `tags` are for `tag:NAME` patterns. `image_sizes` says which the model takes; None, where
    that is not known, has it found out by trying before a run.
    """

    name: str = field(validator=validators.instance_of(str))
    create: CreateModel = field(validator=validators.is_callable())
    parameters: int | None = field(default=None, validator=validators.optional(_IS_COUNT))
    tags: tuple[str, ...] = field(default=(), converter=_texts, validator=validators.deep_iterable(_IS_TEXT))
    note: str | None = field(default=None, validator=validators.optional(_IS_TEXT))
    image_sizes: ImageSizes | None = field(
        default=None, validator=validators.optional(validators.instance_of(ImageSizes))
    )


@frozen
class Split:
    """Images `uint8 [N, C, H, W]` with their labels: `int64 [N]`, or `[N, L]` of 0 and 1 for the task "multilabel"."""

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


class CheckDataset(Protocol):
    """Raises HarnessError, in one line, where `load` with the same arguments would find a file missing or damaged.

    Called before the first trial. With *download* it fetches what is missing, so that the trials find it.
    """

    def __call__(self, image_size: int, root: Path | None, download: bool) -> None: ...


@frozen
class Finding:
    """One thing that a check of a dataset's *file* found: `right` or not, and what, in one line."""

    file: Path
    right: bool
    told: str


@frozen
class DatasetFiles:
    """What `harness data` can do with a dataset's files in the folder *root* (None: the dataset's own place).

    `expected(root)` gives the files' places, there or not, and reads none of them. `verify(root)` yields what is right
    and wrong with those that are there. `prepare(source, root)` makes the files from *source*, whole or not at all, and
    yields what is worth knowing of them. The last two raise HarnessError where a file is not there, cannot be read, or,
    for `prepare`, is not what it must be.
    """

    expected: Callable[[Path | None], Sequence[Path]] = field(validator=validators.is_callable())
    verify: Callable[[Path | None], Iterable[Finding]] = field(validator=validators.is_callable())
    prepare: Callable[[Path, Path | None], Iterable[Finding]] | None = None


@frozen
class DatasetSpec:
    """A dataset that trials can name.

    `splits` are the number of images in (train, validation, test) where known; `image_sizes` those that are stored,
    from which others are resized; `task` is "binary", "multiclass", "multilabel" (`num_classes` labels that each are
    there or not) or what a plugin brings; `files` what can be told of its files, None where it has none;
    `variant(root)` names which of several splits or contents the files in *root* hold, since trials on them are
    different trials. It is asked in the plan, and raises nothing for files that are not there. `check` looks at the
    files before the first trial.
    """

    name: str = field(validator=validators.instance_of(str))
    load: LoadDataset = field(validator=validators.is_callable())
    num_classes: int = field(validator=_IS_COUNT)
    in_chans: int = field(validator=_IS_COUNT)
    task: str = field(default="multiclass", validator=_IS_TEXT)
    splits: tuple[int, int, int] | None = field(default=None, validator=_ARE_COUNTS)
    image_sizes: tuple[int, ...] = field(default=(), validator=_ARE_SIZES)
    default_image_size: int = field(default=256, validator=_IS_COUNT)
    note: str | None = field(default=None, validator=validators.optional(_IS_TEXT))
    files: DatasetFiles | None = None
    variant: Callable[[Path | None], str] | None = None
    check: CheckDataset | None = None

    @property
    def num_outputs(self) -> int:
        return 1 if self.task == "binary" else self.num_classes

    def stored_size(self, image_size: int) -> int:
        """Return the stored size that images of *image_size* pixels come from, that itself where none is known."""
        return stored_size(self.image_sizes, image_size) if self.image_sizes else image_size

    def resizing(self, image_size: int) -> str:
        """Return how images get *image_size* pixels: with several stored sizes, from which of them."""
        if len(self.image_sizes) < 2:
            return "bicubic"
        stored = self.stored_size(image_size)
        return "none" if stored == image_size else f"bicubic from {stored} px"


def stored_size(stored: Sequence[int], image_size: int) -> int:
    """Return that size of *stored*, one or more, which images of *image_size* pixels are resized from.

    It is the next larger, else the largest; which files happen to be there plays no part.
    """
    return min((size for size in stored if size >= image_size), default=max(stored))
