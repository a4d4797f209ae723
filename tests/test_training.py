"""The training loop: the same mathematics as a plain PyTorch loop, bit for bit on the CPU."""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from harness.errors import DivergedError
from harness.plugins.digits import load
from harness.plugins.timm_models import TimmModel
from harness.records import EpochDone, Setting, Trial
from harness.specs import DatasetSpec, ModelSpec, Split, Splits
from harness.training import loop
from harness.training.course import run_training
from harness.training.drawing import batches, splits_digest
from harness.training.loop import Training
from harness.training.metrics import classification_metrics

DIGITS = DatasetSpec("digits", load, num_classes=10, in_chans=3, default_image_size=32)


def splits_of(count: int, size: int = 8, classes: int = 10) -> Splits:
    random = np.random.RandomState(0)

    def split(images: int) -> Split:
        shape = (images, 3, size, size)
        return Split(
            random.randint(0, 256, shape).astype(np.uint8), random.randint(0, classes, images).astype(np.int64)
        )

    return Splits(split(count), split(7), split(10))


def tiny(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_chans, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(num_outputs))


def unloaded(splits: Splits, dataset: DatasetSpec = DIGITS, seed: int = 1, **setting: Any) -> Training:
    about: dict[str, Any] = {"image_size": 8, "weights": "scratch", "epochs": 2, "batch_size": 4}
    trial = Trial("tiny", dataset.name, Setting(**about | setting), seed, dataset.task)

    def create(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> nn.Module:
        built = tiny(num_outputs, in_chans, image_size, weights)
        built(torch.zeros(2, in_chans, image_size, image_size))
        return built

    return Training(trial, ModelSpec("tiny", create), dataset, splits, None)


def training_of(splits: Splits, dataset: DatasetSpec = DIGITS, seed: int = 1, **setting: Any) -> Training:
    training = unloaded(splits, dataset, seed, **setting)
    training.load()
    return training


@pytest.mark.parametrize("name", ["resnet18d", "mobilenetv2_050"])
def test_weights_after_an_epoch_equal_those_of_a_plain_loop_bit_for_bit(name: str) -> None:
    splits = load(32, None, download=False)
    few = Splits(Split(splits.train.images[:80], splits.train.labels[:80]), splits.validation, splits.test)
    setting = Setting(weights="scratch", image_size=32)
    ours = Training(Trial(name, "digits", setting), ModelSpec(name, TimmModel(name)), DIGITS, few, None)
    ours.load()
    ours.epoch()

    import timm

    torch.manual_seed(1)
    plain = timm.create_model(name, num_classes=10).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(plain.parameters(), lr=5e-4, fused=True)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
    plain.train()
    for first in range(0, 80, 32):
        chosen = order[first : first + 32].numpy()
        images = torch.from_numpy(few.train.images[chosen]).float() / 255
        loss = functional.cross_entropy(
            plain(images.contiguous(memory_format=torch.channels_last)), torch.from_numpy(few.train.labels[chosen])
        )
        adam.zero_grad()
        loss.backward()
        adam.step()

    expected, actual = plain.state_dict(), ours.model.state_dict()
    assert [] == [key for key in expected if not torch.equal(expected[key], actual[key])]


def test_same_seed_trains_to_the_same_weights_and_another_to_others() -> None:
    def trained(seed: int) -> torch.Tensor:
        training = training_of(splits_of(20), seed=seed)
        training.epoch()
        return torch.cat([parameter.detach().flatten() for parameter in training.model.parameters()])

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (8, 4, [4, 4]),
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 5]),
        (5, 4, [5]),
        (1, 4, [1]),
        (3, 1, [1, 1, 1]),
        (4, 8, [4]),
    ],
)
def test_last_batch_of_one_joins_the_one_before(count: int, size: int, expected: list[int]) -> None:
    pieces = list(batches(torch.arange(count), size))

    assert expected == [len(piece) for piece in pieces]
    assert list(range(count)) == torch.cat(pieces).tolist()


def test_every_image_is_seen_once_an_epoch_in_an_order_that_changes() -> None:
    training = training_of(splits_of(9))
    seen: list[list[int]] = []
    forward = training.forward
    training.forward = lambda images: (seen.append(images[:, 0, 0, 0].tolist()), forward(images))[1]  # type: ignore[method-assign]
    training.epoch()
    first, seen = [value for piece in seen for value in piece], []
    training.epoch()
    second = [value for piece in seen for value in piece]

    assert sorted(training.train_split.images[:, 0, 0, 0].tolist()) == sorted(first) == sorted(second)
    assert first != second


def test_accuracy_counts_every_image_of_a_short_last_batch() -> None:
    training = training_of(splits_of(8), batch_size=4)
    labels = training.test_split.labels
    wrong = (labels + 1) % 10
    answers = torch.where(torch.arange(len(labels)) == len(labels) - 1, wrong, labels)
    place = iter(range(0, len(labels), 4))
    training.forward = (
        lambda images: functional.one_hot(  # type: ignore[method-assign]
            answers[(first := next(place)) : first + 4], 10
        ).float()
    )

    outputs = training.outputs(training.test_split)
    assert (len(labels) - 1) / len(labels) == training.accuracy(outputs, training.test_split)


def test_binary_task_has_one_output_and_learns_by_its_sign() -> None:
    binary = DatasetSpec("two", load, num_classes=2, in_chans=3, task="binary")
    training = training_of(splits_of(16, classes=2), binary, lr=0.01)
    for _ in range(30):
        loss, accuracy = training.epoch()

    assert 1 == training.forward(training.test_split.images).shape[1]
    assert accuracy > 0.9
    assert loss < 0.5


def test_loss_that_is_not_finite_is_divergence() -> None:
    training = training_of(splits_of(8))
    with torch.no_grad():
        next(training.model.parameters()).fill_(float("nan"))

    with pytest.raises(DivergedError, match="nan"):
        training.epoch()


def test_train_fraction_draws_a_seeded_subset_and_never_none() -> None:
    assert 5 == len(training_of(splits_of(50), train_fraction=0.1).train_split)
    assert 1 == len(training_of(splits_of(50), train_fraction=0.001).train_split)

    first, again = (training_of(splits_of(50), train_fraction=0.2).train_split.images for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, training_of(splits_of(50), train_fraction=0.2, seed=2).train_split.images)


def test_digest_tells_data_apart() -> None:
    one, same, other = splits_of(9), splits_of(9), splits_of(9)
    other.test.labels[0] += 1

    assert splits_digest(one) == splits_digest(same) != splits_digest(other)


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for the device: numbers and arrays that Python asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_host_waits_for_the_device_twice_an_epoch_however_many_steps(precision: str) -> None:
    training = training_of(splits_of(40), precision=precision)
    with Waits() as waits:
        training.epoch()

    # The mean loss and the accuracy; the dispatcher sees them as what .item(), float() and bool() all ask for.
    assert 2 == waits.count


def recorded(training: Training, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run *training* and return the order of windows, laps, loads, epochs and inference."""
    log: list[str] = []
    for name in ("load", "epoch", "unload", "infer"):
        real = getattr(training, name)
        monkeypatch.setattr(training, name, lambda *a, real=real, name=name, **k: (log.append(name), real(*a, **k))[1])

    @contextmanager
    def window(phase: str) -> Iterator[Any]:
        log.append(f"begin {phase}")
        yield SimpleNamespace(lap=lambda: log.append("lap"))
        log.append(f"end {phase}")

    trial = Trial("tiny", "digits", Setting(weights="scratch", epochs=2, batch_size=4))
    run_training(training, trial, window, lambda done: None)
    return log


def test_copies_are_inside_the_training_window_and_warm_up_outside_that_of_inference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = ["begin train", "load", "epoch", "lap", "epoch", "lap", "end train", "unload"]
    batch = ["infer", "begin infer_batch", "infer", "end infer_batch"]
    single = ["infer", "begin infer_single", "infer", "end infer_single"]

    assert [*train, *batch, *single] == recorded(unloaded(splits_of(9)), monkeypatch)


def test_nothing_of_training_lies_in_memory_while_inference_is_metered() -> None:
    training = training_of(splits_of(9))
    training.epoch()
    training.unload()

    assert all(parameter.grad is None for parameter in training.model.parameters())
    assert not {"_optimizer", "train_split", "validation_split"} & vars(training).keys()


def test_no_old_gradients_lie_beside_a_forward_pass() -> None:
    training = training_of(splits_of(12))
    forward = training.forward
    alive: list[int] = []

    def counting(images: torch.Tensor) -> torch.Tensor:
        alive.append(sum(parameter.grad is not None for parameter in training.model.parameters()))
        return forward(images)

    training.forward = counting  # type: ignore[method-assign]
    training.epoch()
    assert [0, 0, 0] == alive


def test_outcome_holds_the_last_epochs_accuracy_and_the_facts() -> None:
    training = unloaded(splits_of(9))
    trial = Trial("tiny", "digits", Setting(weights="scratch", epochs=2, batch_size=4))
    phases: list[str] = []
    reported: list[EpochDone] = []

    def window(phase: str) -> AbstractContextManager[Any]:
        phases.append(phase)
        return nullcontext(SimpleNamespace(lap=lambda: None))

    outcome = run_training(training, trial, window, reported.append)
    assert ["train", "infer_batch", "infer_single"] == phases
    assert [1, 2] == [done.epoch for done in reported]
    assert reported[-1].performance == outcome["performance"] == outcome["metrics"]["accuracy"]
    assert (9, 18, 10, 7) == tuple(
        outcome["facts"][name] for name in ("data", "images_seen", "test_images", "validation_images")
    )
    assert "merged with the one before" == outcome["facts"]["last_batch"]


def outcome_of(training: Training, epochs: int = 1) -> dict[str, Any]:
    trial = Trial("tiny", "digits", Setting(weights="scratch", epochs=epochs, batch_size=4))
    return run_training(
        training, trial, lambda phase: nullcontext(SimpleNamespace(lap=lambda: None)), lambda done: None
    )


def test_all_metrics_are_of_the_whole_test_split_after_the_last_epoch() -> None:
    training = unloaded(splits_of(9))
    test_split = training._splits.test  # type: ignore[union-attr]
    outcome = outcome_of(training)
    outputs = training.outputs(training.test_split).numpy().astype(np.float64)

    expected = classification_metrics(outputs, test_split.labels, 10)
    assert expected.values | {"validation_accuracy": outcome["metrics"]["validation_accuracy"]} == outcome["metrics"]
    assert expected.undefined == outcome["facts"]["undefined_metrics"]
    assert "the test split has no image of class" in expected.undefined["auroc"]


def test_outputs_of_the_test_split_leave_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[torch.Size] = []
    real = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: (moved.append(tensor.shape), real(tensor))[1])
    outcome_of(unloaded(splits_of(9)), epochs=3)

    assert [torch.Size([10, 10])] == moved


def test_facts_tell_where_the_data_lies_and_what_the_allocator_does() -> None:
    facts = outcome_of(unloaded(splits_of(9)))["facts"]

    assert ("cpu", None, None) == (facts["data_on"], facts["device_name"], facts["tf32"])
    assert (platform.libc_ver()[0] == "glibc") == facts["keeps_freed_memory"]


def test_every_trial_compiles_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "shared")
    program = (
        "import os, torch; torch.compile = lambda model: model\n"
        "from harness.training.compiling import compiled; compiled(None)\n"
        "for name in ('TORCHINDUCTOR_CACHE_DIR', 'TRITON_CACHE_DIR'):\n"
        "    os.makedirs(os.environ[name])\n"
        "    print(os.environ[name])"
    )
    told = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in "ab"]

    folders = [Path(line) for done in told for line in done.stdout.splitlines()]
    assert 4 == len(set(folders))
    assert not any(folder.parent.exists() for folder in folders)


def test_each_phase_of_inference_begins_with_free_memory_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    training = unloaded(splits_of(9))
    monkeypatch.setattr(loop, "give_back_freed_memory", lambda: done.append("given back"))
    infer = training.infer
    monkeypatch.setattr(training, "infer", lambda *args, **options: (done.append("inferred"), infer(*args, **options)))
    outcome_of(training)

    # Once training is over, then before the warm-up of each phase.
    assert ["given back", *["given back", "inferred", "inferred"] * 2] == done


def test_compiled_model_trains_as_the_plain_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    # Left as they are, once this test is over.
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    for name in ("TMPDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, tempfile.gettempdir())
    # Without a code generator, which would need a compiler and half a minute.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    plain, compiled = (training_of(splits_of(9), compile=how) for how in (False, True))

    assert plain.epoch() == compiled.epoch()
    assert compiled.model is not compiled._network
    assert plain.model is plain._network
