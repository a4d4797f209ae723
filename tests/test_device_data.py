"""Where the data lies: on the device where it fits, else on the host."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from harness.specs import Split, Splits
from harness.training import device_data
from harness.training.device_data import DeviceSplit, channels_last, fits, place_splits

CPU, META = torch.device("cpu"), torch.device("meta")
IMAGES = np.random.RandomState(0).randint(0, 256, (6, 3, 4, 5)).astype(np.uint8)
LABELS = np.arange(6)


@pytest.fixture
def card_with_1000_bytes_free(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 8000))
    return torch.device("cuda")


def test_batch_holds_the_chosen_images_and_labels() -> None:
    (split, _, _), place = place_splits(Splits(*[Split(IMAGES, LABELS)] * 3), CPU, torch.int64)
    images, labels = split.batch(torch.tensor([4, 0, 4]))

    assert "cpu" == place
    assert np.array_equal(IMAGES[[4, 0, 4]], images.numpy())
    assert [4, 0, 4] == labels.tolist()
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_laid_out_beforehand_are_not_copied_on_the_host(channels: int) -> None:
    laid_out = channels_last(Split(IMAGES[:, :channels], LABELS))
    (split, _, _), _ = place_splits(Splits(*[laid_out] * 3), CPU, torch.int64)

    assert np.array_equal(IMAGES[:, :channels], split.images.numpy())
    assert laid_out.images.ctypes.data == split.images.data_ptr()


def test_last_piece_is_what_is_left() -> None:
    split = DeviceSplit(torch.from_numpy(IMAGES), torch.from_numpy(LABELS), CPU)

    assert np.array_equal(IMAGES[4:], split.piece(4, 4).numpy())


def test_data_may_take_half_of_a_cards_free_memory(card_with_1000_bytes_free: torch.device) -> None:
    assert fits(500, card_with_1000_bytes_free)
    assert not fits(501, card_with_1000_bytes_free)
    assert fits(10**12, CPU)


def test_data_that_does_not_fit_stays_on_the_host_and_batches_go_to_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A device without memory stands for the card.
    monkeypatch.setattr(device_data, "fits", lambda size, device: False)
    (split, _, _), place = place_splits(Splits(*[Split(IMAGES, LABELS)] * 3), META, torch.float32)
    images, labels = split.batch(torch.tensor([5, 1]))

    assert ("cpu", CPU, CPU) == (place, split.images.device, split.labels.device)
    assert (META, META, META) == (images.device, labels.device, split.piece(0, 2).device)
    assert ((2, 3, 4, 5), (2,)) == (images.shape, labels.shape)


def test_data_that_fits_lies_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(device_data, "fits", lambda size, device: asked.append(size) or True)
    (split, _, _), place = place_splits(Splits(*[Split(IMAGES, LABELS)] * 3), META, torch.int64)

    assert [3 * IMAGES.nbytes] == asked
    assert ("meta", META) == (place, split.images.device)
