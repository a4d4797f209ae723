"""Figures of merit against values worked out by hand, and what is undefined said so."""

from __future__ import annotations

import numpy as np
import pytest

from harness.training.metrics import METRICS, classification_metrics

# Three images of class 0, one of 1, two of 2; guessed 0, 0, 1, 1, 2, 0.
LABELS = np.array([0, 0, 0, 1, 2, 2])
GUESSED = np.array([0, 0, 1, 1, 2, 0])


def outputs_of(guessed: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[guessed]


def test_accuracy_and_macro_means_are_those_worked_out_by_hand() -> None:
    found = classification_metrics(outputs_of(GUESSED, 3), LABELS, 3).values

    # Recalls 2/3, 1, 1/2; precisions 2/3, 1/2, 1.
    assert pytest.approx(4 / 6) == found["accuracy"]
    assert pytest.approx((2 / 3 + 1 + 1 / 2) / 3) == found["balanced_accuracy"]
    assert pytest.approx((2 / 3 + 2 / 3 + 2 / 3) / 3) == found["macro_f1"]


def test_auroc_is_the_mean_share_of_pairs_in_the_right_order() -> None:
    outputs = np.log([[0.6, 0.2, 0.2], [0.3, 0.35, 0.35], [0.1, 0.7, 0.2], [0.5, 0.1, 0.4], [0.2, 0.5, 0.3]])
    found = classification_metrics(outputs, np.array([0, 0, 1, 2, 2]), 3).values

    # Of each class's images with all others, in the column of the class.
    assert pytest.approx((5 / 6 + 4 / 4 + 5 / 6) / 3) == found["auroc"]


def test_binary_task_is_scored_by_its_one_output() -> None:
    found = classification_metrics(np.array([[-2.0], [0.5], [-1.0], [3.0]]), np.array([0, 0, 1, 1]), 2).values

    assert {"accuracy": 0.5, "balanced_accuracy": 0.5, "macro_f1": 0.5, "auroc": 0.75} == found


def test_two_classes_with_an_output_each_score_as_one_output_does() -> None:
    logits = np.array([-2.0, 0.5, -1.0, 3.0])
    labels = np.array([0, 0, 1, 1])

    one = classification_metrics(logits[:, None], labels, 2)
    assert one == classification_metrics(np.stack([-logits / 2, logits / 2], axis=1), labels, 2)


def test_class_without_a_test_image_leaves_auroc_missing_with_the_reason() -> None:
    found = classification_metrics(outputs_of(GUESSED, 4), LABELS, 4)

    assert set(METRICS) - {"auroc"} == found.values.keys()
    assert {"auroc": "the test split has no image of class 3"} == found.undefined


def test_guess_of_a_class_that_is_not_there_warns_of_nothing_and_counts_as_wrong() -> None:
    found = classification_metrics(outputs_of(np.array([0, 2]), 3), np.array([0, 1]), 3).values

    assert (0.5, 0.5, pytest.approx(1 / 3)) == (found["accuracy"], found["balanced_accuracy"], found["macro_f1"])


def test_outputs_that_are_not_finite_leave_auroc_missing() -> None:
    outputs = outputs_of(GUESSED, 3)
    outputs[0, 0] = np.nan

    assert {"auroc": "the model's outputs are not finite"} == classification_metrics(outputs, LABELS, 3).undefined


def test_sure_outputs_are_told_apart_though_their_shares_are_all_one() -> None:
    outputs = np.array([[60.0, 0, -9], [50, 0, -9], [45, 0, -9], [40, 0, -9], [0, -1, 9]])
    found = classification_metrics(outputs, np.array([0, 0, 1, 1, 2]), 3)

    by_hand = [1.0, 2 / 3, 1.0]  # of class 1 the ranks are those of 0 against its best rival
    assert found.values["auroc"] == pytest.approx(float(np.mean(by_hand)))
