"""Before the first trial: whether each model's weights can be had and fit, and the download of those that are missing.

Runs in a worker, since it needs torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

from attrs import field, frozen

from harness.errors import HarnessError
from harness.interruption import is_ctrl_c
from harness.specs import DatasetSpec, ModelSpec
from harness.weights.choosing import file_of_weights, verified_digest, weights_names, weights_of
from harness.weights.hub import HubError, Published, ask_hub, discard, download
from harness.wire import decode
from harness.workers.executor import Job
from harness.workers.worker import Send, loaded_plugins


@frozen
class Checked:
    """What a check of jobs found: `problems`, a text each, and what is to be downloaded, job by job."""

    problems: list[str] = field(factory=list)
    missing: list[tuple[Job, Published]] = field(factory=list)


@frozen
class Wanted:
    """Weights of `model` that are in no cache: `place` is (repository, file) on the hub, None where it has them not."""

    job: Job
    model: ModelSpec
    place: tuple[str, str] | None


class WeightsCheck:
    """Looks for the weights of one job after the other, each model's once, and asks the hub for all at the end."""

    def __init__(self) -> None:
        self.missing: list[tuple[Job, Published]] = []
        self._seen: set[tuple[str, str]] = set()
        self._absent: list[Wanted] = []

    def check(self, job: Job, model: ModelSpec, dataset: DatasetSpec) -> None:
        """Raise HarnessError for a file of weights that cannot be read, or that the model does not take."""
        what = (job.trial.model, job.trial.setting.weights)
        if what in self._seen:
            return

        self._seen.add(what)
        weights = weights_of(model, job.trial.setting.weights, job.weights_dir)
        file = file_of_weights(model, weights)
        # A plugin that does not say where its weights are brings them itself.
        locate, url = getattr(model.create, "hub_file", None), getattr(model.create, "weights_url", None)
        if file is not None:
            refuse_unless_fits(model, dataset, job.trial.setting.image_size, file)
        elif weights is not None and (locate is not None or url is not None):
            self._absent.append(Wanted(job, model, locate() if locate is not None else None))

    def lines(self) -> Iterator[str]:
        """Yield one text that lists all weights which can be had from nowhere; the rest is in `missing` afterwards."""
        answers = iter(ask_hub([wanted.place for wanted in self._absent if wanted.place is not None]))
        refused = []
        for wanted in self._absent:
            answer = next(answers) if wanted.place is not None else HubError("they are on no hub")
            if isinstance(answer, Published):
                self.missing.append((wanted.job, answer))
            else:
                refused.append((wanted, answer))
        if refused:
            yield _cannot_be_had(refused)


def refuse_unless_fits(model: ModelSpec, dataset: DatasetSpec, image_size: int, file: str) -> None:
    """Raise HarnessError for a *file* that the model does not take.

    The file is read, but the model made where nothing is computed; if that fails, which may be for no fault of the
    file's (not every model can be made so), it is made for real.
    """
    import torch

    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter", category=UserWarning)
            model.create(dataset.num_outputs, dataset.in_chans, image_size, file)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        _refuse_unless_fits_for_real(model, dataset, image_size, file)


def _refuse_unless_fits_for_real(model: ModelSpec, dataset: DatasetSpec, image_size: int, file: str) -> None:
    try:
        model.create(dataset.num_outputs, dataset.in_chans, image_size, None)
    except Exception:
        return  # it cannot be made at all: that is told as such, and is not the file's fault
    try:
        model.create(dataset.num_outputs, dataset.in_chans, image_size, file)
    except HarnessError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise HarnessError(
            f"model {model.name!r} does not take the weights file {file!r} ({lines[0][:160]}); put the right file "
            "there, or train with --scratch"
        ) from error


def _cannot_be_had(refused: Sequence[tuple[Wanted, HubError]]) -> str:
    """Return the one text that lists all weights which cannot be had, and the ways out."""
    reasons = list(dict.fromkeys(str(error) for _, error in refused))
    first = refused[0][0]
    folder = first.job.weights_dir or "FOLDER"
    count = f"of {len(refused)} models" if len(refused) > 1 else f"of {first.model.name!r}"
    common = f": {reasons[0]}" if len(reasons) == 1 else ""
    lines = [f"the weights {count} are not in the cache, and cannot be had{common}"]
    lines += [_place(wanted, folder, f" ({error})" if len(reasons) > 1 else "") for wanted, error in refused]
    place = next((wanted.place for wanted, _ in refused if wanted.place is not None), None)
    fill = f"fill the cache where there is a network, as with `hf download {' '.join(place)}`; or " if place else ""
    here = f"put the files in {folder} under the names above and give --weights-dir {folder}"
    lines.append(f"{fill}{here}; or train with --scratch")
    return "\n".join(lines)


def _place(wanted: Wanted, folder: str, reason: str) -> str:
    """Return the line that says what is missing, and which file would do instead."""
    url = getattr(wanted.model.create, "weights_url", None)
    source, ending = (url, ".pth") if url is not None else (" ".join(wanted.place or ()), ".safetensors")
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
    registry = loaded_plugins(job.plugins).registry
    model, dataset = registry.model(job.trial.model), registry.dataset(job.trial.dataset)
    with registry.guarded("model", job.trial.model):
        place = getattr(model.create, "hub_file")()  # noqa: B009  only some have it
    try:
        file = download(*place)
    except HubError as error:
        raise HarnessError(
            f"the weights of {model.name!r} cannot be had: {error}; try again, or train with --scratch"
        ) from error
    _refuse_unless_as_promised(file)
    refuse_unless_fits(model, dataset, job.trial.setting.image_size, file)


def _refuse_unless_as_promised(file: str) -> None:
    try:
        verified_digest(file, None)
    except HarnessError:
        discard(file)
        raise
