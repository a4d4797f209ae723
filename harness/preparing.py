"""What is done before the first trial is metered: the jobs are checked in a worker, and missing weights downloaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cattrs

from harness.errors import HarnessError
from harness.wire import decode, encode
from harness.workers.executor import Executor, Job
from harness.workers.weights_check import Checked

if TYPE_CHECKING:
    from harness.weights.hub import Published

Missing = Sequence[tuple[Job, "Published"]]


def check_jobs(jobs: Sequence[Job], executor: Executor) -> Missing:
    """Return the weights that have to be downloaded for *jobs*, job by job.

    Raises HarnessError with everything that stands in the way of *jobs*.
    """
    payload = json.dumps(cattrs.unstructure(list(jobs))).encode()
    checked = decode(executor.call("harness.workers.preflight:check", payload), Checked)
    if checked.problems:
        raise HarnessError("\n".join(checked.problems))
    return checked.missing


def fetch_weights(missing: Missing, executor: Executor, tell: Callable[[str], None]) -> None:
    """Download the *missing* weights, before any trial: neither a meter nor a trial's timeout counts that.

    Raises HarnessError for the first that cannot be had, or does not fit its model.
    """
    if len(missing) > 1:
        tell(f"downloading {total(missing)}")
    for job, published in missing:
        tell(f"downloading the weights of {job.trial.model}: {published.repository} ({_size([published])})")
        problem = executor.call("harness.workers.weights_check:fetch", encode(job)).decode()
        if problem:
            raise HarnessError(problem)


def total(missing: Missing) -> str:
    """Return in words how much *missing* is: `the weights of 3 models (312 MB)`."""
    models = "1 model" if len(missing) == 1 else f"{len(missing)} models"
    return f"the weights of {models} ({_size([published for _, published in missing])})"


def _size(files: Sequence[Published]) -> str:
    sizes = [file.size for file in files if file.size is not None]
    more = "" if len(sizes) == len(files) else " or more"
    return f"{_bytes(sum(sizes))}{more}" if sizes else "of unknown size"


def _bytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
