"""Before the first trial: whether each model's weights can be had and fit, and the download of those that are missing.

Runs in a worker, since it needs torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from attrs import field, frozen

from harness.errors import HarnessError
from harness.hub import HubError, Published, ask_hub, discard, download
from harness.registry import Registry
from harness.specs import IMAGE_TASKS, ModelSpec
from harness.weights import file_of_weights, verified_digest, weights_names, weights_of
from harness.wire import decode
from harness.workers.executor import Job
from harness.workers.worker import Send, loaded_plugins


@frozen
class Wanted:
    """The weights that one model needs: of `job`, in `file`, or (None) at `place` on the hub."""

    job: Job
    model: ModelSpec
    file: str | None
    place: tuple[str, str] | None


@frozen
class Checked:
    """What the check of weights found: `problems`, a text each, and what is to be downloaded, job by job."""

    problems: list[str] = field(factory=list)
    missing: list[tuple[Job, Published]] = field(factory=list)


def check_weights(jobs: Iterable[Job]) -> Checked:
    """Return what stands in the way of the weights of *jobs*, and those that the hub has and the cache has not."""
    checked = Checked()
    absent: list[Wanted] = []
    for job in _one_for_each_model(jobs):
        try:
            wanted = _wanted(job, loaded_plugins(job.plugins).registry)
            if wanted is not None and wanted.file is not None:
                _refuse_unless_fits(wanted.job, wanted.model, wanted.file)
            elif wanted is not None and wanted.place is not None:
                absent.append(wanted)
        except HarnessError as error:
            checked.problems.append(str(error))
    return _asked(absent, checked)


def _one_for_each_model(jobs: Iterable[Job]) -> list[Job]:
    pictured = (job for job in jobs if job.trial.task in IMAGE_TASKS)
    return list({(job.trial.model, job.trial.setting.weights): job for job in pictured}.values())


def _wanted(job: Job, registry: Registry) -> Wanted | None:
    """Return where the weights of *job* are, None where it needs none."""
    model = registry.model(job.trial.model)
    weights = weights_of(model, job.trial.setting.weights, job.weights_dir)
    if weights is None:
        return None
    file = file_of_weights(model, weights)
    # A plugin that does not say where its weights are brings them itself.
    locate = getattr(model.create, "hub_file", None)
    return Wanted(job, model, file, locate() if file is None and locate is not None else None)


def _refuse_unless_fits(job: Job, model: ModelSpec, file: str) -> None:
    """Raise HarnessError for a file that the model does not take.

    The file is read, but the model made where nothing is computed; if that fails, which may be for no fault of the
    file's (not every model can be made so), it is made for real.
    """
    import torch

    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter", category=UserWarning)
            _create(job, model, file)
    except KeyboardInterrupt:
        raise
    except BaseException:
        _refuse_unless_fits_for_real(job, model, file)


def _refuse_unless_fits_for_real(job: Job, model: ModelSpec, file: str) -> None:
    try:
        _create(job, model, file)
    except HarnessError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise HarnessError(
            f"model {model.name!r} does not take the weights file {file!r} ({lines[0][:160]}); put the right file "
            "there, or train with --scratch"
        ) from error


def _create(job: Job, model: ModelSpec, file: str) -> None:
    dataset = loaded_plugins(job.plugins).registry.dataset(job.trial.dataset)
    model.create(dataset.num_outputs, dataset.in_chans, job.trial.setting.image_size, file)


def _asked(absent: Sequence[Wanted], checked: Checked) -> Checked:
    """Add to *checked* what the hub says of all that is in no cache: one problem that lists what cannot be had."""
    answers = ask_hub([wanted.place for wanted in absent if wanted.place is not None])
    refused = []
    for wanted, answer in zip(absent, answers, strict=True):
        if isinstance(answer, Published):
            checked.missing.append((wanted.job, answer))
        else:
            refused.append((wanted, answer))
    if refused:
        checked.problems.append(_cannot_be_had(refused))
    return checked


def _cannot_be_had(refused: Sequence[tuple[Wanted, HubError]]) -> str:
    """Return the one text that lists all weights which cannot be had, and the ways out."""
    reasons = list(dict.fromkeys(str(error) for _, error in refused))
    first = refused[0][0]
    folder = first.job.weights_dir or "FOLDER"
    count = f"of {len(refused)} models" if len(refused) > 1 else f"of {first.model.name!r}"
    common = f": {reasons[0]}" if len(reasons) == 1 else ""
    lines = [f"the weights {count} are not in the cache, and cannot be had{common}"]
    lines += [_place(wanted, folder, f" ({error})" if len(reasons) > 1 else "") for wanted, error in refused]
    example = " ".join(first.place or ())
    lines.append(
        f"fill the cache where there is a network, as with `hf download {example}`; or put the files in {folder} under "
        f"the names above and give --weights-dir {folder}; or train with --scratch"
    )
    return "\n".join(lines)


def _place(wanted: Wanted, folder: str, reason: str) -> str:
    """Return the line that says what is missing, and which file would do instead."""
    url = getattr(wanted.model.create, "weights_url", None)
    source, ending = (" ".join(wanted.place or ()), ".safetensors") if url is None else (url, ".pth")
    return f"  {wanted.model.name}: {source}{reason} -> {folder}/{weights_names(wanted.model)[-1]}{ending}"


def fetch(payload: bytes, send: Send) -> None:
    """Download the weights of the job in *payload*; send why they cannot be had or do not fit, else nothing."""
    try:
        _download(decode(payload, Job))
        problem = ""
    except HarnessError as error:
        problem = str(error)
    send(problem.encode())


def _download(job: Job) -> None:
    model = loaded_plugins(job.plugins).registry.model(job.trial.model)
    try:
        file = download(*getattr(model.create, "hub_file")())  # noqa: B009  only some have it
    except HubError as error:
        raise HarnessError(
            f"the weights of {model.name!r} cannot be had: {error}; try again, or train with --scratch"
        ) from error
    _refuse_unless_as_promised(file)
    _refuse_unless_fits(job, model, file)


def _refuse_unless_as_promised(file: str) -> None:
    try:
        verified_digest(file, None)
    except HarnessError:
        discard(file)
        raise
