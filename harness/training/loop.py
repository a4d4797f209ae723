"""The fine-tuning loop: the paper's mathematics, with the data on the device and no wait for it per step."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.errors import DivergedError
from harness.records import Trial
from harness.specs import DatasetSpec, ModelSpec, Splits
from harness.training.adam import make_adam
from harness.training.allocator import give_back_freed_memory, keep_freed_memory
from harness.training.compiling import compiled
from harness.training.depthwise import keep_depthwise_in_fp32
from harness.training.device_data import DeviceSplit, channels_last, place_splits
from harness.training.drawing import batches, drawn, refuse_stratified, splits_digest
from harness.training.split_check import refuse_unfit
from harness.training.weight_gradients import multiply_weight_gradients

# What autocast computes in where it is safe; fp32 goes without it.
_REDUCED = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Training:
    """One trial's model, optimiser and data.

    `load` brings them to the device, once, inside the metered training; `unload` lets go of what only training needs,
    before inference is metered.
    """

    def __init__(
        self, trial: Trial, model: ModelSpec, dataset: DatasetSpec, splits: Splits, weights: str | None
    ) -> None:
        setting = trial.setting
        self._setting = setting
        self._task = dataset.task
        self._device = torch.device(setting.device)
        self._shuffle = torch.Generator().manual_seed(trial.seed)
        torch.manual_seed(trial.seed)
        self.model: nn.Module = model.create(dataset.num_outputs, dataset.in_chans, setting.image_size, weights)
        self.num_classes = dataset.num_classes
        refuse_unfit(dataset, splits, setting.image_size)
        refuse_stratified(dataset, setting)
        self.digest = splits_digest(splits)
        chosen = drawn(splits.train, setting.train_fraction, trial.seed, stratified=setting.stratified)
        # Here and not within the metered training, where a second copy would count in the peak of memory.
        self._splits: Splits | None = Splits(*map(channels_last, (chosen, splits.validation, splits.test)))
        self.test_labels = splits.test.labels
        self.images = len(chosen.labels)

    def load(self) -> None:
        """Bring model and data to the device and make the optimiser; the data on the host is let go."""
        assert self._splits is not None
        self.depthwise_in_fp32 = 0
        self.keeps_freed_memory = self._device.type == "cpu" and keep_freed_memory()
        self.model.to(memory_format=torch.channels_last)
        self.model.to(self._device)
        if self._device.type == "cpu" and self._setting.precision == "bf16":
            self.depthwise_in_fp32 = keep_depthwise_in_fp32(self.model)
            if not self._setting.compile:
                multiply_weight_gradients(self.model)
        self._network = compiled(self.model) if self._setting.compile else self.model
        self._optimizer = make_adam(self.model.parameters(), self._setting)
        # Small gradients vanish in fp16: the loss is scaled up for them. Passes all else through as it is.
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._setting.precision == "fp16")
        label_type = torch.int64 if self._task == "multiclass" else torch.float32
        placed, self.place = place_splits(self._splits, self._device, label_type)
        self.train_split, self.validation_split, self.test_split = placed
        self._splits = None

    def unload(self) -> None:
        """Let go of gradients, of the optimiser's state and of the training images."""
        self._optimizer.zero_grad()
        del self._optimizer, self._scaler, self.train_split, self.validation_split
        self.let_go()

    def let_go(self) -> None:
        """Return free memory to the device and to the system."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        give_back_freed_memory()

    def epoch(self) -> tuple[float, float]:
        """Train once over the training images in a new order; return (mean loss, running accuracy).

        Raises DivergedError where the loss is not finite.
        """
        self.model.train()
        order = torch.randperm(len(self.train_split), generator=self._shuffle).to(self.train_split.images.device)
        loss_sum = torch.zeros((), device=self._device)
        correct = torch.zeros((), dtype=torch.int64, device=self._device)
        for chosen in batches(order, self._setting.batch_size):
            images, labels = self.train_split.batch(chosen)
            loss, outputs = self._step(images, labels)
            loss_sum += loss * len(chosen)
            correct += (self._guessed(outputs) == labels).sum()
        loss_mean = loss_sum.item() / len(order)
        if not math.isfinite(loss_mean):
            raise DivergedError(f"the training loss is {loss_mean}")
        return loss_mean, correct.item() / self.train_split.labels.numel()

    def _step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step of the optimiser; return loss and outputs, cut off from the gradients."""
        outputs = self.forward(images)
        loss = self._loss(outputs, labels)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()  # here, so that no old gradients lie beside the next forward pass
        return loss.detach(), outputs.detach()

    @torch.inference_mode()
    def outputs(self, split: DeviceSplit) -> Tensor:
        """Return the outputs for every image of *split*, `float32 [N, num_outputs]` on the device."""
        self.model.eval()
        size = self._setting.batch_size
        with self._reduced():
            return torch.cat([self.forward(split.piece(first, size)) for first in range(0, len(split), size)])

    @torch.inference_mode()
    def accuracy(self, outputs: Tensor, split: DeviceSplit) -> float:
        """Return the fraction of the labels of *split* that its *outputs* get right."""
        return (self._guessed(outputs) == split.labels.to(self._device)).sum().item() / split.labels.numel()

    @torch.inference_mode()
    def infer(self, split: DeviceSplit, batch_size: int, limit: int | None = None) -> None:
        """Send the images of *split* (at most *limit*) forward and throw the outputs away."""
        self.model.eval()
        with self._reduced():
            for first in range(0, len(split) if limit is None else limit, batch_size):
                self.forward(split.piece(first, batch_size))

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs for *images* `uint8 [N, C, H, W]`, scaled to [0, 1] as in the paper."""
        scaled = torch.div(images, 255).contiguous(memory_format=torch.channels_last)
        with self._reduced():
            outputs: Tensor = self._network(scaled)
        return outputs.float()

    def _reduced(self) -> AbstractContextManager[Any]:
        """Compute in the setting's precision. Around a whole pass, weights are converted once and not per batch."""
        reduced = _REDUCED.get(self._setting.precision)
        return torch.autocast(self._device.type, reduced or torch.bfloat16, enabled=reduced is not None)

    def _loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        if self._task == "multiclass":
            return functional.cross_entropy(outputs, labels)
        # With several labels, the mean over them as well.
        return functional.binary_cross_entropy_with_logits(outputs[:, 0] if self._task == "binary" else outputs, labels)

    def _guessed(self, outputs: Tensor) -> Tensor:
        if self._task == "multiclass":
            return outputs.argmax(dim=1)
        return outputs[:, 0] > 0 if self._task == "binary" else outputs > 0
