"""Datasets are looked at before the first trial, each once; a trial whose files changed since does not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cattrs
import pytest
from attrs import evolve
from npz_files import flip_byte_in, write_npz

from harness.errors import HarnessError
from harness.plugins_loader import PluginChoice, load_plugins
from harness.records import Setting, Trial
from harness.registry import Registry
from harness.specs import DatasetSpec, Splits
from harness.study import Study, plan_trials
from harness.workers import preflight
from harness.workers.dataset_check import dataset_problems, refuse_changed
from harness.workers.executor import Job

ALONE = PluginChoice(autoload=False)


def job(dataset: str, model: str = "m", size: int = 32, **about: Any) -> Job:
    return Job(Trial(model, dataset, Setting(weights="scratch", image_size=size)), ("time",), ALONE, **about)


def no_load(image_size: int, root: Path | None, download: bool) -> Splits:
    raise NotImplementedError


class Checked:
    """A dataset that keeps what its check is asked, and says what it is told to."""

    def __init__(self, said: Exception | None = None) -> None:
        self.asked: list[Any] = []
        self.said = said
        self.registry = Registry()
        self.registry.datasets.add("d", "test", DatasetSpec("d", no_load, 2, 1, check=self.check))
        self.registry.datasets.add("free", "test", DatasetSpec("free", no_load, 2, 1))

    def check(self, image_size: int, root: Path | None, download: bool) -> None:
        self.asked.append((image_size, root, download))
        if self.said is not None:
            raise self.said

    def problems(self, *jobs: Job) -> list[str]:
        return list(dataset_problems(jobs, lambda job: self.registry))


def test_each_dataset_is_checked_once_for_each_size_whatever_the_models() -> None:
    checked = Checked()
    jobs = [job("d", model, size, data_dir="here") for model in ("m", "n") for size in (32, 64)]

    assert [] == checked.problems(*jobs, job("free"))
    assert [(32, Path("here"), False), (64, Path("here"), False)] == checked.asked


def test_download_is_passed_on() -> None:
    checked = Checked()
    checked.problems(job("d", download=True))

    assert [(32, None, True)] == checked.asked


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (HarnessError("it is not there"), "it is not there"),
        (OSError("odd"), "dataset 'd' cannot be checked: OSError: odd"),
    ],
)
def test_what_a_check_raises_is_told(said: Exception, told: str) -> None:
    assert [told] == Checked(said).problems(job("d"), job("d", "n"))


def test_problems_of_datasets_and_of_models_are_told_together() -> None:
    flip_byte_in(write_npz(Path("own.npz")), "val_images.npy")
    sent: list[bytes] = []
    payload = json.dumps(cattrs.unstructure([job("npz:own.npz", "timm:no_such_model")])).encode()
    preflight.check(payload, sent.append)

    (model, dataset) = json.loads(sent[0])["problems"]
    assert "unknown timm model" in model
    assert dataset.startswith("'own.npz': expected an npz file, found a damaged one")


def test_digits_that_do_not_fit_into_memory_are_told_in_the_plan() -> None:
    registry = load_plugins(ALONE).registry
    jobs = [job("digits"), job("digits", size=100_000)]

    (told,) = dataset_problems(jobs, lambda job: registry)
    assert told.startswith("1,797 images of 100000 x 100000 pixels take 6.694e+04 GiB, and ")


def test_content_is_part_of_the_trials_identity() -> None:
    registry = load_plugins(ALONE).registry
    study = Study(("resnet18d",), ("npz:own.npz",), weights="scratch", plugins=ALONE)
    write_npz(Path("own.npz"))
    (before,) = plan_trials(study, registry, "cpu")
    write_npz(Path("own.npz"), extra=[1])
    (after,) = plan_trials(study, registry, "cpu")

    assert before.key != after.key
    assert before == evolve(after, setting=before.setting)


def test_name_that_no_list_holds_is_resolved_once_for_all_trials() -> None:
    asked: list[str] = []
    registry = Registry(resolve_dataset=lambda name: asked.append(name) or DatasetSpec(name, no_load, 2, 1))

    assert registry.dataset("folder:own") is registry.dataset("folder:own")
    assert ["folder:own"] == asked


def test_stored_size_is_part_of_the_trials_identity() -> None:
    study = Study(("resnet18d",), ("dermamnist",), weights="scratch", image_size=100, plugins=ALONE)
    (trial,) = plan_trials(study, load_plugins(ALONE).registry, "cpu")

    assert "bicubic from 128 px" == trial.setting.resize


def test_trial_whose_files_changed_since_the_plan_is_refused() -> None:
    spec = DatasetSpec("d", no_load, 2, 1, variant=lambda root: "sha256:new")

    refuse_changed(spec, Trial("m", "d", Setting(split="sha256:new")), None)
    with pytest.raises(HarnessError, match="dataset 'd' has changed since the plan was made"):
        refuse_changed(spec, Trial("m", "d", Setting(split="sha256:old")), None)
