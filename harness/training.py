"""The fine-tuning loop: the paper's mathematics, with the data on the device and no wait for it per step."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn import functional

from harness.errors import DivergedError
from harness.measuring.window import Window
from harness.records import EpochDone, Setting, Trial
from harness.specs import DatasetSpec, ModelSpec, Split, Splits

Metered = Callable[[str], AbstractContextManager[Window]]
# One warm-up batch, and then the whole test split, forward only.
_INFERENCE = "infer_batch", "infer_single"


@frozen
class DeviceSplit:
    """A split on the device: images `uint8 [N, C, H, W]`, labels as the loss wants them."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)


class Training:
    """One trial's model, optimiser and data.

    `load` brings them to the device, once, inside the metered training; `unload` lets go of what only training needs,
    before inference is metered.
    """

    def __init__(
        self, trial: Trial, model: ModelSpec, dataset: DatasetSpec, splits: Splits, weights: str | None
    ) -> None:
        self._setting = trial.setting
        self._binary = dataset.task == "binary"
        self._device = torch.device(trial.setting.device)
        self._shuffle = torch.Generator().manual_seed(trial.seed)
        torch.manual_seed(trial.seed)
        self.model: nn.Module = model.create(dataset.num_outputs, dataset.in_chans, trial.setting.image_size, weights)
        self.digest = splits_digest(splits)
        drawn = _drawn(splits.train, trial.setting.train_fraction, trial.seed)
        self._splits: Splits | None = Splits(drawn, splits.validation, splits.test)
        self.images = len(drawn.labels)

    def load(self) -> None:
        """Bring model and data to the device and make the optimiser; the data on the host is let go."""
        assert self._splits is not None
        self.model.to(memory_format=torch.channels_last)
        self.model.to(self._device)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=self._setting.lr, fused=True)
        self.train_split = self._move(self._splits.train)
        self.validation_split = self._move(self._splits.validation)
        self.test_split = self._move(self._splits.test)
        self._splits = None

    def unload(self) -> None:
        """Let go of gradients, of the optimiser's state and of the training images."""
        self._optimizer.zero_grad()
        del self._optimizer, self.train_split, self.validation_split
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def epoch(self) -> tuple[float, float]:
        """Train once over the training images in a new order; return (mean loss, running accuracy).

        Raises DivergedError where the loss is not finite.
        """
        self.model.train()
        order = torch.randperm(len(self.train_split), generator=self._shuffle).to(self._device)
        loss_sum = torch.zeros((), device=self._device)
        correct = torch.zeros((), dtype=torch.int64, device=self._device)
        for chosen in batches(order, self._setting.batch_size):
            labels = self.train_split.labels[chosen]
            outputs = self.forward(self.train_split.images[chosen])
            loss = self._loss(outputs, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._optimizer.zero_grad()  # here, so that no old gradients lie beside the next forward pass
            loss_sum += loss.detach() * len(chosen)
            correct += self._correct(outputs.detach(), labels)
        loss_mean = loss_sum.item() / len(order)
        if not math.isfinite(loss_mean):
            raise DivergedError(f"the training loss is {loss_mean}")
        return loss_mean, correct.item() / len(order)

    @torch.inference_mode()
    def accuracy(self, split: DeviceSplit) -> float:
        """Return the fraction of *split* that the model gets right, the last short batch included."""
        self.model.eval()
        correct = torch.zeros((), dtype=torch.int64, device=self._device)
        for first in range(0, len(split), self._setting.batch_size):
            here = slice(first, first + self._setting.batch_size)
            correct += self._correct(self.forward(split.images[here]), split.labels[here])
        return correct.item() / len(split)

    @torch.inference_mode()
    def infer(self, split: DeviceSplit, batch_size: int, limit: int | None = None) -> None:
        """Send the images of *split* (at most *limit*) forward and throw the outputs away."""
        self.model.eval()
        for first in range(0, len(split) if limit is None else limit, batch_size):
            self.forward(split.images[first : first + batch_size])

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs for *images* `uint8 [N, C, H, W]`, scaled to [0, 1] as in the paper."""
        scaled = images.to(torch.float32, memory_format=torch.channels_last).div_(255)
        reduced = torch.autocast(self._device.type, torch.bfloat16, enabled=self._setting.precision == "bf16")
        with reduced:
            outputs: Tensor = self.model(scaled)
        return outputs.float()

    def _loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        if self._binary:
            return functional.binary_cross_entropy_with_logits(outputs[:, 0], labels)
        return functional.cross_entropy(outputs, labels)

    def _correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        guessed = outputs[:, 0] > 0 if self._binary else outputs.argmax(dim=1)
        return (guessed == labels).sum()

    def _move(self, split: Split) -> DeviceSplit:
        labels = torch.from_numpy(split.labels).to(self._device, torch.float32 if self._binary else torch.int64)
        images = torch.from_numpy(split.images).to(self._device)
        return DeviceSplit(images.contiguous(memory_format=torch.channels_last), labels)


def batches(order: Tensor, size: int) -> Iterator[Tensor]:
    """Yield *order* in pieces of *size*; a last piece of one joins the piece before it.

    A batch of one has no variance, which batch normalisation needs.
    """
    count = len(order)
    last = count - size if _leaves_one(count, size) else count
    first = 0
    while first < count:
        end = count if first + size > last else first + size
        yield order[first:end]
        first = end


def _leaves_one(count: int, size: int) -> bool:
    """Say whether *count* images in batches of *size* end with a batch of one, which can join another."""
    return size > 1 and count > size and count % size == 1


def splits_digest(splits: Splits) -> str:
    """Return the SHA-256 of all images and labels: tells whether two trials saw the same data."""
    digest = hashlib.sha256()
    for split in (splits.train, splits.validation, splits.test):
        for array in (split.images, split.labels):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def run_training(
    training: Training, trial: Trial, window: Metered, report: Callable[[EpochDone], None]
) -> dict[str, Any]:
    """Train, evaluate and meter; return the outcome of the trial: performance, metrics, facts."""
    epochs: list[EpochDone] = []
    with window("train") as metered:
        training.load()
        for number in range(1, trial.setting.epochs + 1):
            loss, train_accuracy = training.epoch()
            done = EpochDone(trial.key, number, loss, training.accuracy(training.test_split), train_accuracy)
            metered.lap()
            report(done)
            epochs.append(done)
    metrics = {"accuracy": epochs[-1].performance, "validation_accuracy": training.accuracy(training.validation_split)}
    facts = _facts(training, trial.setting)
    training.unload()
    _meter_inference(training, trial.setting, window)
    return {"performance": epochs[-1].performance, "metrics": metrics, "facts": facts}


def _meter_inference(training: Training, setting: Setting, window: Metered) -> None:
    for phase, size in zip(_INFERENCE, (setting.batch_size, 1), strict=True):
        training.infer(training.test_split, size, limit=min(size, len(training.test_split)))
        with window(phase):
            training.infer(training.test_split, size)


def _facts(training: Training, setting: Setting) -> dict[str, Any]:
    lone = _leaves_one(training.images, setting.batch_size)
    return {
        "data": training.images,
        "images_seen": training.images * setting.epochs,
        "validation_images": len(training.validation_split),
        "test_images": len(training.test_split),
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "dataset_digest": training.digest,
        "threads": torch.get_num_threads(),
        "last_batch": "merged with the one before" if lone else "kept",
        "device_name": torch.cuda.get_device_name() if setting.device == "cuda" else None,
    }


def _drawn(split: Split, fraction: float, seed: int) -> Split:
    """Return the *fraction* of *split* that *seed* draws, at least one image, in stored order; not stratified."""
    if fraction == 1:
        return split

    size = max(1, int(fraction * len(split.labels)))
    chosen = np.sort(np.random.RandomState(seed).permutation(len(split.labels))[:size])
    return Split(split.images[chosen], split.labels[chosen])
