"""A study: what was asked for, and the trials that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

from harness.errors import HarnessError
from harness.plugins_loader import PluginChoice
from harness.protocol import PEPR, PROTOCOLS
from harness.records import Setting, Trial
from harness.registry import Registry
from harness.specs import DatasetSpec
from harness.training.metrics import METRICS
from harness.weights.choosing import weights_tag

WEIGHTS = ("pretrained", "scratch")
PRECISIONS = ("fp32", "bf16", "fp16")
DEVICES = ("cuda", "cpu")
_CHOICES: Mapping[str, tuple[str | None, ...]] = {
    "weights": WEIGHTS,
    "precision": PRECISIONS,
    "device": (*DEVICES, None),
    "protocol": (*PROTOCOLS, None),
    "metric": METRICS,
}
METER_OPTIONS = ("sample_period", "cpu_watts", "location", "carbon_intensity")
# The most that each may be; those of `_OPTIONAL` may be None.
_POSITIVE = {"lr": 1e6, "train_fraction": 1.0, "timeout": 1e9, "sample_period": 60.0, "cpu_watts": 1e4, "baseline": 1e5}
_OPTIONAL = ("timeout", "sample_period", "cpu_watts", "baseline")


@frozen
class Study:
    """The options of `harness run`.

    `models` are names, globs or `tag:NAME`; `meters` names, or "auto" for what works here; `weights` "pretrained" or
    "scratch"; `stratified` draws the `train_fraction` class by class; `image_size` [pixels] None for that of the
    `protocol`, else the dataset's own (all other defaults are those of the protocol "pepr"), from which
    `resize_to_model` departs for a model that cannot take it, to the nearest size that it takes; `metric` is what
    ranks; `device` "cuda", "cpu" or None for cuda where there is one; `timeout` in seconds for each trial.

    For the meters: `sharp` takes up to a tenth of a second before and after each window to place its edges within the
    steps of counters; `sample_period` [s] of power where there is no counter (None: 0.05); `cpu_watts` [W] of one busy
    core; `location` (such as "DK") or `carbon_intensity` [g/kWh], and `pue`, for carbon; `baseline` [s] of idle power
    to be metered before each trial, None for none.
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    meters: tuple[str, ...] = ("auto",)
    store: Path = field(default=Path("harness.sqlite"), converter=Path)
    seeds: tuple[int, ...] = (PEPR.seed,)
    protocol: str | None = None
    weights: str = "pretrained"
    train_fraction: float = PEPR.train_fraction
    stratified: bool = False
    epochs: int = PEPR.epochs
    batch_size: int = PEPR.batch_size
    lr: float = PEPR.lr
    image_size: int | None = None
    resize_to_model: bool = False
    precision: str = PEPR.precision
    compile: bool = False
    metric: str = METRICS[0]
    device: str | None = None
    executor: str = "local"
    force: bool = False
    timeout: float | None = None
    data_dir: Path | None = None
    weights_dir: Path | None = None
    download: bool = False
    sharp: bool = True
    sample_period: float | None = None
    cpu_watts: float | None = None
    location: str | None = None
    carbon_intensity: float | None = None
    pue: float = 1.0
    baseline: float | None = None
    plugins: PluginChoice = field(factory=PluginChoice.from_environment)

    def __attrs_post_init__(self) -> None:
        """Raise HarnessError for a value that no trial can have."""
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise HarnessError(f"{name} must be one of {', '.join(map(str, choices))}, is {getattr(self, name)!r}")
        for name in ("epochs", "batch_size", "image_size"):
            _refuse_unless_count(name, getattr(self, name), 1, 10**6)
        for seed in self.seeds:
            _refuse_unless_count("seed", seed, 0, 2**32 - 1)
        for name, most in _POSITIVE.items():
            _refuse_unless_positive(name, getattr(self, name), most)
        _refuse_unless_in_range("pue", self.pue, 1.0, 1e3)
        if self.carbon_intensity is not None:
            _refuse_unless_in_range("carbon_intensity", self.carbon_intensity, 0.0, 1e5)

    @property
    def meter_options(self) -> dict[str, Any]:
        """The options that meters are made with, as plain data; what was not given is left out."""
        named = {name: getattr(self, name) for name in METER_OPTIONS}
        return {name: value for name, value in named.items() if value is not None}

    def asked(self) -> dict[str, Any]:
        """Return the options as plain data, to be stored beside the results."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


def _refuse_unless_count(name: str, value: object, least: int, most: int) -> None:
    if value is None and name == "image_size":
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise HarnessError(f"{name} must be a whole number from {least} to {most}, is {value!r}")


def _refuse_unless_positive(name: str, value: object, most: float) -> None:
    if value is None and name in _OPTIONAL:
        return
    # NaN fails the comparison too.
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= most:
        raise HarnessError(f"{name} must be above 0 and at most {most:g}, is {value!r}")


def _refuse_unless_in_range(name: str, value: object, least: float, most: float) -> None:
    # NaN fails the comparison too.
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise HarnessError(f"{name} must be from {least:g} to {most:g}, is {value!r}")


def plan_trials(study: Study, registry: Registry, device: str) -> list[Trial]:
    """Return the trials of *study* on the kind of *device*, each once, dataset by dataset and model by model.

    Raises HarnessError for a model, dataset or pattern that nothing bears.
    """
    if not study.models or not study.datasets:
        raise HarnessError("name at least one --model and one --dataset; `harness list models` shows them")

    models = [name for pattern in study.models for name in registry.match_models(pattern)]
    wanted = product(dict.fromkeys(study.datasets), dict.fromkeys(models), dict.fromkeys(study.seeds))
    trials = (_trial(study, registry, device, *names) for names in wanted)
    return list({trial.key: trial for trial in trials}.values())  # two spellings may be one dataset


def _trial(study: Study, registry: Registry, device: str, dataset: str, model: str, seed: int) -> Trial:
    spec = registry.dataset(dataset)
    image_size = _image_size(study, spec)
    setting = Setting(
        weights=study.weights,
        train_fraction=study.train_fraction,
        stratified=study.stratified and study.train_fraction < 1,
        epochs=study.epochs,
        batch_size=study.batch_size,
        lr=study.lr,
        image_size=image_size,
        resize=spec.resizing(image_size),
        precision=study.precision,
        compile=study.compile,
        device=device,
        split=_variant(study, registry, spec),
    )
    tag = weights_tag(registry.model(model), study.weights, study.weights_dir)
    return Trial(model, spec.name, setting, seed, spec.task, tag)


def _variant(study: Study, registry: Registry, dataset: DatasetSpec) -> str:
    """Return which split or contents *dataset* has; what its plugin raises is told with that one's name."""
    if dataset.variant is None:
        return "default"
    with registry.guarded("dataset", dataset.name):
        return dataset.variant(study.data_dir)


def _image_size(study: Study, dataset: DatasetSpec) -> int:
    protocol = PROTOCOLS[study.protocol].image_size if study.protocol is not None else None
    return study.image_size or protocol or dataset.default_image_size
