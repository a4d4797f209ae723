"""Which training images a fraction draws."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.specs import Split
from harness.training.drawing import drawn, drawn_count


def split_of(labels: np.ndarray) -> Split:
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Split(images, labels.astype(np.int64))


@pytest.mark.parametrize(
    ("images", "expected"), [(7007, 700), (9057, 905), (4708, 470)], ids=["derma", "lidc", "pneumonia"]
)
@pytest.mark.parametrize("stratified", [False, True], ids=["any", "stratified"])
def test_tenth_of_the_papers_sets_are_the_papers_counts(images: int, expected: int, stratified: bool) -> None:
    split = split_of(np.arange(images) % 3)

    assert expected == len(drawn(split, 0.1, 1, stratified=stratified).labels)


def test_stratified_draw_keeps_the_share_of_each_class() -> None:
    split = split_of(np.repeat([0, 1, 2], [140, 40, 20]))

    assert [14, 4, 2] == np.bincount(drawn(split, 0.1, 1, stratified=True).labels).tolist()
    assert [14, 4, 2] != np.bincount(drawn(split, 0.1, 1).labels, minlength=3).tolist()


def test_stratified_draw_is_the_seeds_and_in_stored_order() -> None:
    split = split_of(np.repeat([0, 1], [100, 100]))
    first, again, other = (drawn(split, 0.2, seed, stratified=True).images.ravel().tolist() for seed in (1, 1, 2))

    assert sorted(first) == first == again != other


def test_class_that_is_too_small_to_be_drawn_by_its_share_is_one_clear_line() -> None:
    split = split_of(np.array([0] * 9 + [1]))

    with pytest.raises(HarnessError, match="--stratified cannot draw 5 of 10 training images.*leave --stratified out"):
        drawn(split, 0.5, 1, stratified=True)


@pytest.mark.parametrize(("fraction", "expected"), [(0.29, 29), (0.57, 57), (0.58, 58), (0.001, 1), (1.0, 100)])
def test_a_fraction_is_taken_as_it_is_written(fraction: float, expected: int) -> None:
    assert expected == drawn_count(100, fraction)
