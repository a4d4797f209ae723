"""Several labels to an image: loss, accuracy and metrics against a few lines of plain PyTorch and scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from stores import finished, make_store, trial
from torch import nn

from harness.auditing.accuracy import find_impossible
from harness.auditing.evidence import Limits
from harness.auditing.store_evidence import store_evidence
from harness.errors import HarnessError
from harness.records import Setting, Trial
from harness.sources.table import Query
from harness.specs import DatasetSpec, ModelSpec, Split, Splits
from harness.testing import fake_dataset, fake_model
from harness.training.course import run_training
from harness.training.loop import Training
from harness.training.metrics import classification_metrics

DATASET = fake_dataset(classes=4, multilabel=True)


def training_of(dataset: DatasetSpec = DATASET, model: ModelSpec | None = None, **setting: Any) -> Training:
    about: dict[str, Any] = {"image_size": 8, "weights": "scratch", "batch_size": 32, "epochs": 1} | setting
    planned = Trial("fake", dataset.name, Setting(**about), task=dataset.task)
    splits = dataset.load(image_size=8, root=None, download=False)
    return Training(planned, model or fake_model(), dataset, splits, None)


def random_case(labels: int = 5, images: int = 60) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.RandomState(3)
    return draw.randn(images, labels), draw.randint(0, 2, (images, labels))


def test_steps_are_those_of_a_plain_loop() -> None:
    training = training_of(batch_size=5)
    training.load()
    loss, accuracy = training.epoch()

    torch.manual_seed(1)
    plain = nn.Sequential(nn.AdaptiveAvgPool2d((8, 1)), nn.Flatten(), nn.Linear(8, 4))
    adam = torch.optim.Adam(plain.parameters(), lr=5e-4)
    train = DATASET.load(image_size=8, root=None, download=False).train
    order = torch.randperm(32, generator=torch.Generator().manual_seed(1)).numpy()
    losses, right = 0.0, 0
    for first in range(0, 32, 5):
        chosen = order[first : first + 5]
        given = plain(torch.from_numpy(train.images[chosen]) / 255)
        there = torch.sigmoid(given)
        labels = torch.from_numpy(train.labels[chosen])
        each = -torch.where(labels == 1, there, 1 - there).log().mean(dim=0)  # of each label
        adam.zero_grad()
        each.mean().backward()
        adam.step()
        losses += each.mean().item() * len(chosen)
        right += ((there > 0.5) == labels).sum().item()

    assert pytest.approx(losses / 32, rel=1e-5) == loss
    assert right / (32 * 4) == accuracy
    for expected, actual in zip(plain.parameters(), training.model.parameters(), strict=True):
        torch.testing.assert_close(actual, expected)


def test_labels_are_learned_each_by_its_own_output() -> None:
    training = training_of(lr=0.05)
    training.load()
    for _ in range(60):
        training.epoch()

    outputs = training.outputs(training.test_split)
    assert (8, 4) == tuple(outputs.shape)
    assert 1.0 == training.accuracy(outputs, training.test_split)


def test_metrics_are_scikit_learns_averaged_over_the_labels() -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

    outputs, labels = random_case()
    there = 1 / (1 + np.exp(-outputs))
    found = classification_metrics(outputs, labels, 5)

    def mean(score: Any, guesses: np.ndarray) -> float:
        return float(np.mean([score(labels[:, k], guesses[:, k]) for k in range(5)]))

    expected = {
        name: mean(score, there > 0.5) for name, score in (("accuracy", accuracy_score), ("macro_f1", f1_score))
    }
    expected |= {"balanced_accuracy": mean(balanced_accuracy_score, there > 0.5), "auroc": mean(roc_auc_score, there)}
    assert pytest.approx(expected) == found.values
    assert {} == found.undefined


def test_accuracy_and_auroc_are_those_of_medmnists_evaluator(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the package imports
        from medmnist.evaluator import getACC, getAUC

    outputs, labels = random_case(14)
    found = classification_metrics(outputs, labels, 14).values
    there, task = 1 / (1 + np.exp(-outputs)), "multi-label, binary-class"

    assert pytest.approx(getACC(labels, there, task)) == found["accuracy"]
    assert pytest.approx(getAUC(labels, there, task)) == found["auroc"]


def test_label_with_one_class_in_the_test_split_leaves_auroc_missing_with_the_reason() -> None:
    outputs, labels = random_case()
    labels[:, [1, 2]], labels[:, 4] = 0, 1
    found = classification_metrics(outputs, labels, 5)

    assert {"accuracy", "balanced_accuracy", "macro_f1"} == found.values.keys()
    told = "the test split has no image with label 1, 2 and no image without label 4"
    assert {"auroc": told} == found.undefined


def test_label_neither_held_nor_guessed_is_left_out_of_macro_f1() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 0]])
    one = classification_metrics(np.array([[2.0, -1], [-1, -1], [-1, -1]]), labels, 2)
    none = classification_metrics(np.full((3, 2), -1.0), labels * 0, 2)

    assert 2 / 3 == pytest.approx(one.values["macro_f1"])
    assert "macro_f1" not in none.values
    assert "no test image has any of the labels, and none was guessed" == none.undefined["macro_f1"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda labels: labels + (labels == 1), "found [32, 4] from 0 to 2"),
        (lambda labels: -labels, "found [32, 4] from -1 to 0"),
        (lambda labels: labels[:, :3], "found [32, 3] from 0 to 1"),
        (lambda labels: labels[:, 0], "found [32] from 0 to 1"),
        (lambda labels: labels[:-1], "found [31, 4] from 0 to 1"),
    ],
)
def test_labels_that_a_dataset_should_not_have_are_one_line(change: Any, found: str) -> None:
    def load(**asked: Any) -> Splits:
        splits = DATASET.load(**asked)
        return evolve(splits, train=Split(splits.train.images, change(splits.train.labels)))

    with pytest.raises(HarnessError) as refused:
        training_of(evolve(DATASET, load=load))
    assert "dataset 'fake', multilabel: expected train labels [32, 4] from 0 to 1, " + found in str(refused.value)
    assert 1 == len(str(refused.value).splitlines())


def test_class_that_is_none_is_refused_rather_than_trained_on() -> None:
    two = fake_dataset()
    wrong = evolve(two, load=fake_dataset(classes=3).load)

    with pytest.raises(HarnessError, match=r"dataset 'fake', binary: expected train labels \[32\] from 0 to 1, found"):
        training_of(wrong)


def test_stratified_draw_is_refused() -> None:
    with pytest.raises(HarnessError, match="--stratified draws class by class, and an image of dataset 'fake' has"):
        training_of(train_fraction=0.5, stratified=True)


def test_task_is_part_of_a_trials_identity() -> None:
    one = Trial("fake", "fake", Setting(), task="multilabel")

    assert one.key != evolve(one, task="multiclass").key


def test_audit_counts_each_label_of_each_image(tmp_path: Any) -> None:
    facts = {"test_images": 8, "labels_per_image": 4}
    ended = [finished(trial(f"m{n}"), n / 32, metrics={"accuracy": n / 32}, facts=facts) for n in (5, 9, 30)]
    wrong = finished(trial("odd"), 0.7, metrics={"accuracy": 0.7}, facts=facts)
    evidence = store_evidence(make_store(tmp_path / "s.sqlite", [*ended, wrong]), Query())

    found = list(find_impossible(evidence, Limits()))
    assert [(3,)] == [finding.rows for finding in found]
    assert "0.7 is no multiple of 1/32 (22.40 of 32)" in found[0].reason


def test_outcome_of_a_trial_counts_its_labels() -> None:
    from contextlib import contextmanager
    from types import SimpleNamespace

    @contextmanager
    def window(phase: str) -> Any:
        yield SimpleNamespace(lap=lambda: None)

    training = training_of()
    planned = Trial("fake", "fake", Setting(image_size=8, weights="scratch", epochs=1), task="multilabel")
    outcome = run_training(training, planned, window, lambda event: None)

    assert (8, 4) == (outcome["facts"]["test_images"], outcome["facts"]["labels_per_image"])
    assert outcome["performance"] == outcome["metrics"]["accuracy"]
