"""One trial from its first epoch to its outcome: what is metered, in which order, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from harness.measuring.window import Window
from harness.records import EpochDone, Setting, Trial
from harness.training.drawing import leaves_one
from harness.training.loop import Training
from harness.training.metrics import classification_metrics

Metered = Callable[[str], AbstractContextManager[Window]]
# One warm-up batch, and then the whole test split, forward only.
_INFERENCE = "infer_batch", "infer_single"


def run_training(
    training: Training, trial: Trial, window: Metered, report: Callable[[EpochDone], None]
) -> dict[str, Any]:
    """Train, evaluate and meter; return the outcome of the trial: performance, metrics, facts.

    The accuracy after each epoch is metered, as in the paper; the other metrics, of the last epoch, are not.
    """
    with window("train") as metered:
        training.load()
        for number in range(1, trial.setting.epochs + 1):
            loss, train_accuracy = training.epoch()
            outputs = training.outputs(training.test_split)
            performance = training.accuracy(outputs, training.test_split)
            metered.lap()
            report(EpochDone(trial.key, number, loss, performance, train_accuracy))
    last = outputs.cpu().numpy().astype(np.float64)
    validation = training.accuracy(training.outputs(training.validation_split), training.validation_split)
    facts = _facts(training, trial.setting)
    training.unload()
    _meter_inference(training, trial.setting, window)
    # Only now: what scikit-learn takes of memory is no cost of inference.
    found = classification_metrics(last, training.test_labels, training.num_classes)
    metrics = {**found.values, "validation_accuracy": validation}
    return {"performance": performance, "metrics": metrics, "facts": {**facts, "undefined_metrics": found.undefined}}


def _meter_inference(training: Training, setting: Setting, window: Metered) -> None:
    for phase, size in zip(_INFERENCE, (setting.batch_size, 1), strict=True):
        training.let_go()  # of what the phase before left behind, which would count as this one's
        training.infer(training.test_split, size, limit=min(size, len(training.test_split)))
        with window(phase):
            training.infer(training.test_split, size)


def _facts(training: Training, setting: Setting) -> dict[str, Any]:
    lone = leaves_one(training.images, setting.batch_size)
    return {
        "data": training.images,
        "images_seen": training.images * setting.epochs,
        "validation_images": len(training.validation_split),
        "test_images": len(training.test_split),
        "labels_per_image": training.test_labels.size // len(training.test_labels),
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "dataset_digest": training.digest,
        "threads": torch.get_num_threads(),
        "last_batch": "merged with the one before" if lone else "kept",
        "data_on": training.place,
        "keeps_freed_memory": training.keeps_freed_memory,
        "depthwise_in_fp32": training.depthwise_in_fp32,
        **_cuda_facts(setting),
    }


def _cuda_facts(setting: Setting) -> dict[str, Any]:
    """Return the card's name, and whether it may round the inputs of fp32 products to TF32, as torch has it."""
    if setting.device != "cuda":
        return {"device_name": None, "tf32": None}

    tf32 = {"convolution": torch.backends.cudnn.allow_tf32, "matmul": torch.backends.cuda.matmul.allow_tf32}
    return {"device_name": torch.cuda.get_device_name(), "tf32": tf32}
