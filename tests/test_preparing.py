"""Before the first trial: what the check found ends the run, and what is missing is downloaded, told with its size."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field

from harness.errors import HarnessError
from harness.preparing import check_jobs, fetch_weights, total
from harness.records import Setting, Trial
from harness.weights.hub import Published
from harness.wire import decode, encode
from harness.workers.executor import Job
from harness.workers.weights_check import Checked


@define
class Answering:
    """An executor whose workers say what the test wants."""

    answers: list[bytes]
    asked: list[tuple[str, bytes]] = field(factory=list)

    def call(self, target: str, payload: bytes) -> bytes:
        self.asked.append((target.rpartition(":")[2], payload))
        return self.answers[len(self.asked) - 1]


def missing(*sizes: int | None) -> list[tuple[Job, Published]]:
    return [
        (Job(Trial(f"model{number}", "digits", Setting()), ("time",)), Published(f"timm/model{number}", "file", size))
        for number, size in enumerate(sizes)
    ]


def fetched(found: Any, *answers: bytes) -> tuple[list[str], list[str]]:
    """What was told, and the models whose weights were asked for."""
    executor, told = Answering(list(answers)), []
    fetch_weights(found, executor, told.append)  # type: ignore[arg-type]
    return told, [decode(payload, Job).trial.model for _, payload in executor.asked]


def test_all_problems_are_one_error() -> None:
    executor = Answering([encode(Checked(["one", "two"], missing(1)))])

    with pytest.raises(HarnessError, match="one\ntwo"):
        check_jobs([], executor)  # type: ignore[arg-type]


def test_what_is_missing_comes_back_job_by_job() -> None:
    executor = Answering([encode(Checked([], missing(1, None)))])

    assert missing(1, None) == check_jobs([], executor)  # type: ignore[arg-type]


def test_each_download_is_told_with_its_size() -> None:
    told, models = fetched(missing(44_700_000, 5_000_000), b"", b"")

    assert ["model0", "model1"] == models
    assert [
        "downloading the weights of 2 models (49.7 MB)",
        "downloading the weights of model0: timm/model0 (44.7 MB)",
        "downloading the weights of model1: timm/model1 (5 MB)",
    ] == told


def test_nothing_is_told_where_nothing_is_missing() -> None:
    assert ([], []) == fetched([])


def test_first_download_that_fails_is_the_error() -> None:
    with pytest.raises(HarnessError, match="broke off"):
        fetched(missing(1, 1), b"the download broke off")


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((1_500_000_000, 1), "the weights of 2 models (1.5 GB)"),
        ((2_000_000, None), "the weights of 2 models (2 MB or more)"),
        ((None,), "the weights of 1 model (of unknown size)"),
    ],
)
def test_size_that_is_not_told_is_not_zero(sizes: tuple[int | None, ...], words: str) -> None:
    assert words == total(missing(*sizes))
