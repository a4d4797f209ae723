"""Which cards a process sees, by every form of CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import pytest

from harness.meters.nvml_cards import CardName, visible_cards

A, B, C = (CardName(f"GPU-{letter}1-{letter}2", "H100", (f"MIG-{letter}-1", f"MIG-{letter}-2")) for letter in "abc")
ALIKE = [A, B, C]
UNLIKE = [A, CardName("GPU-d1-d2", "T4")]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (None, (0, 1, 2)),
        ("0", (0,)),
        ("2,0", (0, 2)),
        (" 1 , 2 ", (1, 2)),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0,7,1", (0,)),
        ("0,nonsense,1", (0,)),
        ("GPU-b1-b2", (1,)),
        ("GPU-b", (1,)),
        ("GPU-", ()),
        ("GPU-c1-c2,GPU-a", (0, 2)),
        ("GPU-x", ()),
        ("MIG-b-2", (1,)),
        ("MIG-b-1,MIG-b-2", (1,)),
        ("MIG-GPU-c1-c2/3/0", (2,)),
        ("MIG-x", ()),
        ("1,1", (1,)),
        ("all", ()),
    ],
)
def test_cards_are_those_that_cuda_shows(listed: str | None, expected: tuple[int, ...]) -> None:
    environ = {} if listed is None else {"CUDA_VISIBLE_DEVICES": listed}

    assert expected == visible_cards(ALIKE, environ).indices


@pytest.mark.parametrize("all_", ["all", "void", "none", "0", ""])
def test_what_is_said_to_the_containers_runtime_hides_nothing_more(all_: str) -> None:
    assert (0, 1, 2) == visible_cards(ALIKE, {"NVIDIA_VISIBLE_DEVICES": all_}).indices


def test_numbers_of_unlike_cards_are_in_doubt_unless_the_order_is_set() -> None:
    assert "CUDA_DEVICE_ORDER" in str(visible_cards(UNLIKE, {"CUDA_VISIBLE_DEVICES": "0"}).note)
    ordered = {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert visible_cards(UNLIKE, ordered).note is None
    assert visible_cards(UNLIKE, {"CUDA_VISIBLE_DEVICES": "GPU-a"}).note is None
    assert visible_cards(ALIKE, {"CUDA_VISIBLE_DEVICES": "0"}).note is None


def test_cards_in_doubt_are_all_read_until_torch_tells() -> None:
    assert (0, 1) == visible_cards(UNLIKE, {"CUDA_VISIBLE_DEVICES": "0"}).candidates
    assert (1,) == visible_cards(ALIKE, {"CUDA_VISIBLE_DEVICES": "1"}).candidates
