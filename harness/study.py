"""A study: what was asked for, and the trials that follow from it."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

from harness.errors import HarnessError
from harness.plugins_loader import PluginChoice
from harness.records import Setting, Trial
from harness.registry import Registry
from harness.weights import weights_tag

WEIGHTS = ("pretrained", "scratch")
PRECISIONS = ("fp32", "bf16")
DEVICES = ("cuda", "cpu")


@frozen
class Study:
    """The options of `harness run`.

    `models` are names, globs or `tag:NAME`; `meters` names, or "auto" for what works here; `weights` "pretrained" or
    "scratch"; `image_size` [pixels] None for the dataset's own; `device` "cuda", "cpu" or None for cuda where there is
    one; `timeout` in seconds for each trial.
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    meters: tuple[str, ...] = ("auto",)
    store: Path = field(default=Path("harness.sqlite"), converter=Path)
    seeds: tuple[int, ...] = (1,)
    weights: str = "pretrained"
    train_fraction: float = 1.0
    epochs: int = 10
    batch_size: int = 32
    lr: float = 5e-4
    image_size: int | None = None
    precision: str = "fp32"
    device: str | None = None
    executor: str = "local"
    force: bool = False
    timeout: float | None = None
    data_dir: Path | None = None
    weights_dir: Path | None = None
    download: bool = False
    plugins: PluginChoice = field(factory=PluginChoice.from_environment)

    def __attrs_post_init__(self) -> None:
        """Raise HarnessError for a value that no trial can have."""
        for name, choices in (("weights", WEIGHTS), ("precision", PRECISIONS), ("device", (*DEVICES, None))):
            if getattr(self, name) not in choices:
                raise HarnessError(f"{name} must be one of {', '.join(map(str, choices))}, is {getattr(self, name)!r}")
        for name in ("epochs", "batch_size", "image_size"):
            _refuse_unless_count(name, getattr(self, name), 1, 10**6)
        for seed in self.seeds:
            _refuse_unless_count("seed", seed, 0, 2**32 - 1)
        for name, most in (("lr", 1e6), ("train_fraction", 1.0), ("timeout", 1e9)):
            _refuse_unless_positive(name, getattr(self, name), most)

    def asked(self) -> dict[str, Any]:
        """Return the options as plain data, to be stored beside the results."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


def _refuse_unless_count(name: str, value: object, least: int, most: int) -> None:
    if value is None and name == "image_size":
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise HarnessError(f"{name} must be a whole number from {least} to {most}, is {value!r}")


def _refuse_unless_positive(name: str, value: object, most: float) -> None:
    if value is None and name == "timeout":
        return
    # NaN fails the comparison too.
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= most:
        raise HarnessError(f"{name} must be above 0 and at most {most:g}, is {value!r}")


def plan_trials(study: Study, registry: Registry, device: str) -> list[Trial]:
    """Return the trials of *study* on the kind of *device*, each once, dataset by dataset and model by model.

    Raises HarnessError for a model, dataset or pattern that nothing bears.
    """
    if not study.models or not study.datasets:
        raise HarnessError("name at least one --model and one --dataset; `harness list models` shows them")

    models = [name for pattern in study.models for name in registry.match_models(pattern)]
    wanted = product(dict.fromkeys(study.datasets), dict.fromkeys(models), dict.fromkeys(study.seeds))
    return [_trial(study, registry, device, *names) for names in wanted]


def _trial(study: Study, registry: Registry, device: str, dataset: str, model: str, seed: int) -> Trial:
    spec = registry.dataset(dataset)
    setting = Setting(
        weights=study.weights,
        train_fraction=study.train_fraction,
        epochs=study.epochs,
        batch_size=study.batch_size,
        lr=study.lr,
        image_size=study.image_size or spec.default_image_size,
        precision=study.precision,
        device=device,
    )
    tag = weights_tag(registry.model(model), study.weights, study.weights_dir)
    return Trial(model, spec.name, setting, seed, spec.task, tag)
