"""A dataset where training takes it from: on the device, or on the host where the device is too small for it."""

from __future__ import annotations

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from harness.specs import Split, Splits

# Of the device's free memory; the rest is for the model and its activations.
_MOST_OF_FREE = 0.5


@frozen
class DeviceSplit:
    """A split for training on `device`: images `uint8 [N, C, H, W]`, channels last; labels `[N]` or `[N, L]`, as the
    loss wants them.

    Both lie on the device, or on the host, from where each batch is copied without a wait.
    """

    images: Tensor
    labels: Tensor
    device: torch.device

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and labels of the indices *chosen* `int64 [B]`, which lie where the images do.

        Both are on the device.
        """
        # Rows of bytes are copied whole; to index images as [N, C, H, W] would go value by value.
        images = self._moved(_picked(self.images.permute(0, 2, 3, 1), chosen, self._is_pinned))
        return images.permute(0, 3, 1, 2), self._moved(_picked(self.labels, chosen, self._is_pinned))

    def piece(self, first: int, size: int) -> Tensor:
        """Return *size* images from number *first* on, or those that are left, on the device."""
        return self._moved(self.images[first : first + size])

    @property
    def _is_pinned(self) -> bool:
        """Whether batches are gathered in pinned memory, which CUDA copies from while the host goes on.

        PyTorch's allocator hands such memory out again only after the copy.
        """
        return self.device.type == "cuda" and self.images.device.type == "cpu"

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)


def channels_last(split: Split) -> Split:
    """Return *split* with its images `[N, C, H, W]` laid out in memory as `[N, H, W, C]`, copied if C is above 1."""
    rows = np.ascontiguousarray(split.images.transpose(0, 2, 3, 1))
    return Split(rows.transpose(0, 3, 1, 2), split.labels)


def place_splits(splits: Splits, device: torch.device, label_type: torch.dtype) -> tuple[list[DeviceSplit], str]:
    """Return train, validation and test for training on *device*, and the kind of device that they lie on.

    They are moved to *device* if all of them take at most half of its free memory, else pinned on the host. Images laid
    out as by `channels_last` are not copied on the host.
    """
    parts = [splits.train, splits.validation, splits.test]
    place = device if fits(sum(part.images.nbytes for part in parts), device) else torch.device("cpu")
    return [_placed(part, place, device, label_type) for part in parts], place.type


def fits(size: int, device: torch.device) -> bool:
    """Say whether *size* bytes of images may lie on *device*; the host holds them in any case."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size <= _MOST_OF_FREE * free


def _placed(split: Split, place: torch.device, device: torch.device, label_type: torch.dtype) -> DeviceSplit:
    images = torch.from_numpy(split.images).to(place).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(split.labels).to(place, label_type)
    if place != device and device.type == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()
    return DeviceSplit(images, labels, device)


def _picked(source: Tensor, chosen: Tensor, is_pinned: bool) -> Tensor:
    if not is_pinned:
        return source.index_select(0, chosen)
    into = torch.empty((len(chosen), *source.shape[1:]), dtype=source.dtype, pin_memory=True)
    return torch.index_select(source, 0, chosen, out=into)
