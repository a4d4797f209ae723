"""What can be known before the first trial: that each model takes its images, and that its weights can be had.

Runs in a worker, since it needs torch, which the runner does without.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.errors import HarnessError
from harness.registry import Registry
from harness.specs import IMAGE_TASKS, ModelSpec
from harness.weights import cached_file, weights_name, weights_of
from harness.wire import decode
from harness.workers.executor import Job
from harness.workers.image_check import ImageCheck
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
    """Send what stands in the way of the jobs in *payload*, a JSON list of lines."""
    jobs = [decode(json.dumps(plain).encode(), Job) for plain in json.loads(payload)]
    send(json.dumps(list(problems(jobs))).encode())


def problems(jobs: Iterable[Job]) -> Iterator[str]:
    """Yield one line for each thing that would make one of *jobs* fail: unknown model, image size, weights."""
    seen: set[object] = set()
    images = ImageCheck()
    for job in jobs:
        setting = job.trial.setting
        what = (job.trial.model, job.trial.dataset, setting.image_size, setting.weights)
        if what in seen:
            continue

        seen.add(what)
        try:
            _check(job, loaded_plugins(job.plugins).registry, images)
        except HarnessError as error:
            told = str(error)
            if told not in seen:
                yield told
            seen.add(told)
    yield from images.lines()


def _check(job: Job, registry: Registry, images: ImageCheck) -> None:
    setting = job.trial.setting
    if job.trial.task not in IMAGE_TASKS:
        return  # what it needs is known to the plugin that runs it

    _check_packages()
    _check_device(setting.device)
    model, dataset = registry.model(job.trial.model), registry.dataset(job.trial.dataset)
    images.check(model, dataset, setting)
    weights = weights_of(model.name, setting.weights, job.weights_dir)
    if weights == "pretrained":
        _check_hub(model, job.weights_dir)
    elif weights is not None and not Path(weights).is_file():
        raise HarnessError(f"the weights file {weights!r} of {model.name!r} is not there; or train with --scratch")


def _check_packages() -> None:
    missing = missing_packages()
    if missing:
        raise HarnessError(f"training needs {', '.join(missing)}: pip install 'pepr-harness[vision]'")


def _check_device(kind: str) -> None:
    import torch

    if kind == "cuda" and not torch.cuda.is_available():
        raise HarnessError("--device cuda: torch sees no CUDA device (`harness doctor` says more); use --device cpu")


def _check_hub(model: ModelSpec, weights_dir: str | None) -> None:
    """Raise HarnessError where the published weights are neither in the hub's cache nor to be had from the hub."""
    locate = getattr(model.create, "hub_file", None)
    if locate is None:
        return  # the plugin that brings the model brings its weights

    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    repository, file = locate()
    if cached_file(repository, file) is not None:
        return
    try:
        get_hf_file_metadata(hf_hub_url(repository, file), timeout=10)
    except Exception as error:
        folder = weights_dir or "FOLDER"
        raise HarnessError(
            f"the weights of {model.name!r} cannot be had: {file} of {repository} is not in the cache and the hub does "
            f"not answer ({type(error).__name__}); put the file at {folder}/{weights_name(model.name)}.safetensors and "
            f"give --weights-dir {folder}, or train with --scratch"
        ) from error
