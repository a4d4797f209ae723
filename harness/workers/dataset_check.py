"""Whether the files of datasets are there and right: asked before the first trial, and by each trial of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.errors import HarnessError, told
from harness.interruption import is_ctrl_c
from harness.records import Trial
from harness.registry import Registry
from harness.specs import DatasetSpec
from harness.workers.executor import Job


def dataset_problems(jobs: Iterable[Job], registry_of: Callable[[Job], Registry]) -> Iterator[str]:
    """Yield one line for each dataset of *jobs* whose files are missing or damaged; each is looked at once.

    A job that may download has them fetched.
    """
    once = {(job.trial.dataset, job.trial.setting.image_size, job.data_dir, job.download): job for job in jobs}
    for job in once.values():
        try:
            _check(job, registry_of(job).dataset(job.trial.dataset))
        except HarnessError as error:
            yield str(error)
        except BaseException as error:  # of a stranger's plugin
            if is_ctrl_c(error):
                raise
            yield f"dataset {job.trial.dataset!r} cannot be checked: {told(error)}"


def _check(job: Job, dataset: DatasetSpec) -> None:
    if dataset.check is not None:
        root = Path(job.data_dir) if job.data_dir is not None else None
        dataset.check(image_size=job.trial.setting.image_size, root=root, download=job.download)


def refuse_changed(dataset: DatasetSpec, trial: Trial, root: Path | None) -> None:
    """Raise HarnessError where the files of *dataset* are no longer those that *trial* was planned with."""
    planned = trial.setting.split
    found = "default" if dataset.variant is None else dataset.variant(root)
    if found != planned:
        raise HarnessError(
            f"dataset {dataset.name!r} has changed since the plan was made ({planned!r} then, {found!r} now); run again"
        )
