"""A plain training loop, as one writes it in a script: what `training.py` compares ours with."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from harness.plugins_loader import load_plugins
from harness.specs import Split, Splits

# Where glibc's own thresholds end up at most: of mmap(), and twice that of what it keeps. Ours are the process's.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = (-3, 32 * 2**20), (-1, 64 * 2**20)


class SeededOrder(Sampler[int]):
    """A new order each epoch, the one in which our loop goes too."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self._count, generator=self._generator).tolist())


class Plain:
    """The model *name* from scratch with *seed*, its optimiser and its loaders."""

    def __init__(self, name: str, splits: Splits, batch_size: int, seed: int) -> None:
        torch.manual_seed(seed)
        create = load_plugins().registry.model(name).create
        self._model: nn.Module = create(10, 3, splits.train.images.shape[-1], None)
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=5e-4)
        self._loss = nn.CrossEntropyLoss()
        order = SeededOrder(len(splits.train.labels), seed)
        self._train = DataLoader(_tensors(splits.train), batch_size, sampler=order, num_workers=0)
        self._test = DataLoader(_tensors(splits.test), batch_size, num_workers=0)

    def epoch(self) -> float:
        """Train one epoch and return the test accuracy after it."""
        _let_glibc_trim()
        self._model.train()
        loss_sum, correct = 0.0, 0
        for images, labels in self._train:
            self._optimizer.zero_grad()
            outputs = self._model(images)
            loss = self._loss(outputs, labels)
            loss.backward()
            self._optimizer.step()
            loss_sum += loss.item()
            correct += (outputs.argmax(dim=1) == labels).sum().item()
        return self._accuracy()

    @torch.no_grad()
    def _accuracy(self) -> float:
        self._model.eval()
        right: list[Tensor] = [(self._model(images).argmax(dim=1) == labels).float() for images, labels in self._test]
        return torch.cat(right).mean().item()


def _tensors(split: Split) -> TensorDataset:
    return TensorDataset(torch.from_numpy(split.images).float() / 255, torch.from_numpy(split.labels))


def _let_glibc_trim() -> None:
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(*_MMAP_THRESHOLD)
        library.mallopt(*_TRIM_THRESHOLD)
