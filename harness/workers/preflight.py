"""What can be known before the first trial: that each model takes its images, and that weights and
datasets can be had.

Runs in a worker, since it needs torch, which the runner does without.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator

from harness.errors import HarnessError
from harness.registry import Registry
from harness.specs import IMAGE_TASKS
from harness.training.drawing import refuse_stratified
from harness.wire import decode, encode
from harness.workers.acceleration import check_acceleration
from harness.workers.dataset_check import dataset_problems
from harness.workers.executor import Job
from harness.workers.image_check import ImageCheck
from harness.workers.weights_check import Checked, WeightsCheck
from harness.workers.worker import Send, loaded_plugins


def missing_packages() -> list[str]:
    """Return those packages of the extra `vision` that are not installed."""
    needed = {"torch": "torch", "timm": "timm", "sklearn": "scikit-learn", "PIL": "pillow"}
    return [name for module, name in needed.items() if importlib.util.find_spec(module) is None]


def find_device(payload: bytes, send: Send) -> None:
    """Send the kind of device that torch can use here: cuda or cpu."""
    if importlib.util.find_spec("torch") is None:
        return send(b"cpu")

    import torch

    return send(b"cuda" if torch.cuda.is_available() else b"cpu")


def check(payload: bytes, send: Send) -> None:
    """Send what stands in the way of the jobs in *payload*, a JSON list, and what has to be downloaded: `Checked`."""
    jobs = [decode(json.dumps(plain).encode(), Job) for plain in json.loads(payload)]
    weights = WeightsCheck()
    found = list(problems(jobs, weights))
    if not missing_packages():
        found += dataset_problems(jobs, lambda job: loaded_plugins(job.plugins).registry)
    send(encode(Checked(found, weights.missing)))


def problems(jobs: Iterable[Job], weights: WeightsCheck | None = None) -> Iterator[str]:
    """Yield a text for each thing that would make one of *jobs* fail: unknown model, image size, weights."""
    seen: set[object] = set()
    weights, images = weights or WeightsCheck(), ImageCheck()
    for job in jobs:
        setting = job.trial.setting
        what = (job.trial.model, job.trial.dataset, setting.image_size, setting.weights)
        if what in seen:
            continue

        seen.add(what)
        try:
            _check(job, loaded_plugins(job.plugins).registry, weights, images)
        except HarnessError as error:
            told = str(error)
            if told not in seen:
                yield told
            seen.add(told)
    yield from images.lines()
    yield from weights.lines()


def _check(job: Job, registry: Registry, weights: WeightsCheck, images: ImageCheck) -> None:
    setting = job.trial.setting
    if job.trial.task not in IMAGE_TASKS:
        return  # what it needs is known to the plugin that runs it

    _check_packages()
    _check_device(setting.device)
    check_acceleration(setting)
    model, dataset = registry.model(job.trial.model), registry.dataset(job.trial.dataset)
    refuse_stratified(dataset, setting)
    images.check(model, dataset, setting)
    with registry.guarded("model", job.trial.model):  # `hub_file` of a stranger's plugin
        weights.check(job, model, dataset)


def _check_packages() -> None:
    missing = missing_packages()
    if missing:
        raise HarnessError(f"training needs {', '.join(missing)}: pip install 'pepr-harness[vision]'")


def _check_device(kind: str) -> None:
    import torch

    if kind == "cuda" and not torch.cuda.is_available():
        raise HarnessError("--device cuda: torch sees no CUDA device (`harness doctor` says more); use --device cpu")
