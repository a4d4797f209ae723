"""The frozen records that travel between the parts: trials, readings, events.

They hold plain data only (text, numbers, None, tuples and dictionaries of these), so that they can cross a pipe as
JSON (`harness.wire`) and lie in a store (`harness.store`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Literal

from attrs import Attribute, asdict, field, frozen, validators

Source = Literal["counter", "sampled", "estimated"]
Phase = Literal["train", "infer_batch", "infer_single"]
Failure = Literal["failed", "diverged", "oom", "timeout", "crashed", "interrupted"]
Origin = Literal["run", "import", "pytest"]
Status = Literal["running", "done", "failed", "diverged", "oom", "timeout", "crashed", "interrupted"]

PHASES: tuple[Phase, ...] = ("train", "infer_batch", "infer_single")
# Best first: what is derived from several readings carries the worst source among them.
SOURCES: tuple[Source, ...] = ("counter", "sampled", "estimated")


def _is_finite_and_not_negative(record: object, attribute: Attribute[Any], value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{attribute.name} must be finite and not negative, is {value!r}")


def _is_fraction(record: object, attribute: Attribute[Any], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} must be from 0 to 1, is {value!r}")


@frozen
class Reading:
    """What one meter says of one resource in one window.

    `value` is in `unit`. `uncertainty` is the half-width, in the same unit, of an interval that holds the truth given
    what the device told us. `device` is None for the total over all devices, which is always there. `trial`, `phase`
    and `epoch` (None: the whole phase, else counted from 1) say which window; the stack fills them, the meter's name
    and the edges in.
    """

    resource: str = field(validator=validators.instance_of(str))
    value: float = field(converter=float, validator=_is_finite_and_not_negative)
    unit: str = field(validator=validators.instance_of(str))
    uncertainty: float = field(converter=float, validator=_is_finite_and_not_negative)
    source: Source = field(validator=validators.in_(SOURCES))
    device: str | None = field(default=None, validator=validators.optional(validators.instance_of(str)))
    note: str | None = field(default=None, validator=validators.optional(validators.instance_of(str)))
    meter: str = ""
    trial: str | None = None
    phase: str | None = None
    epoch: int | None = None
    start_ns: int | None = None
    stop_ns: int | None = None


@frozen
class Missing:
    """A resource that could not be read in a window, with the reason. Missing is not zero."""

    resource: str
    reason: str
    meter: str = ""
    trial: str | None = None
    phase: str | None = None
    epoch: int | None = None


# Marks a field that stored trials may lack: they ran with its default.
_LATER = {"later": True}


def _is_told(attribute: Attribute[Any], value: object) -> bool:
    return not attribute.metadata.get("later") or value != attribute.default


@frozen
class Setting:
    """How a trial is run. Every field is part of the trial's identity; names of values are free text.

    `weights` is "scratch", "pretrained" or the path of a file; `resize` says how images of another size are brought to
    `image_size` pixels; `device` is the kind, "cuda" or "cpu"; `stratified` draws a part of the training images class
    by class.
    """

    weights: str = "pretrained"
    train_fraction: float = field(default=1.0, converter=float)
    epochs: int = 10
    batch_size: int = 32
    optimizer: str = "adam"
    lr: float = field(default=5e-4, converter=float)
    image_size: int = 256
    resize: str = "bicubic"
    precision: str = "fp32"
    compile: bool = False
    device: str = "cpu"
    split: str = "default"
    stratified: bool = field(default=False, metadata=_LATER)


@frozen
class Trial:
    """One model on one dataset in one setting with one seed: fine-tune, evaluate, meter.

    `weights_tag` tells published weights of one model apart, and files of weights by their digest; None where the
    model has no such choice or starts from scratch.
    """

    model: str
    dataset: str
    setting: Setting
    seed: int = 1
    task: str = "multiclass"
    weights_tag: str | None = None

    @property
    def key(self) -> str:
        """The trial's identity: 16 hexadecimal digits of a hash over every field.

        A field that came later counts where it is not at its default: trials stored before it keep their identity.
        """
        plain = json.dumps(asdict(self, filter=_is_told), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(plain.encode()).hexdigest()[:16]


@frozen
class Started:
    """An attempt at a trial begins in process `pid`, begun by `start_method`."""

    trial: str
    pid: int
    start_method: str
    kind: Literal["started"] = "started"


@frozen
class EpochDone:
    """An epoch ended. `epoch` counts from 1; `performance` is the test accuracy after it; `loss` the mean over it."""

    trial: str
    epoch: int
    loss: float | None
    performance: float | None
    train_performance: float | None = None
    kind: Literal["epoch"] = "epoch"


@frozen
class Finished:
    """A trial is done. `performance` is in [0, 1]; `metrics` are other figures of merit, `facts` what else is known
    of the trial (images in each split, device name, thread count, digests), both plain data."""

    trial: str
    performance: float = field(validator=_is_fraction)
    metrics: Mapping[str, Any] = field(factory=dict)
    facts: Mapping[str, Any] = field(factory=dict)
    readings: tuple[Reading, ...] = ()
    missing: tuple[Missing, ...] = ()
    kind: Literal["finished"] = "finished"


@frozen
class Failed:
    """A trial ended without a result: how, and why in one line; `detail` may hold a traceback without locals."""

    trial: str
    status: Failure
    reason: str
    detail: str | None = None
    kind: Literal["failed"] = "failed"


Event = Started | EpochDone | Finished | Failed


@frozen
class StudyRecord:
    """One invocation that adds trials to a store. Everything is plain data.

    `created` is RFC 3339 in UTC; `origin` one of "run", "import", "pytest"; `settings` what was asked for; `machine`
    facts of host and devices; `packages` and `plugins` name -> version; `commit` the git commit of the user's project.
    """

    created: str
    origin: Origin = "run"
    settings: Mapping[str, Any] = field(factory=dict)
    machine: Mapping[str, Any] = field(factory=dict)
    packages: Mapping[str, str] = field(factory=dict)
    plugins: Mapping[str, str] = field(factory=dict)
    commit: str | None = None


@frozen
class Metered:
    """What `calls` calls took in `seconds`, all of them within the metered windows.

    `readings` and `missing` are of these together, as measured; `windows` their edges on the monotonic clock [ns].
    """

    calls: int
    seconds: float
    windows: tuple[tuple[int, int], ...]
    readings: tuple[Reading, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def between(self) -> float:
        """The part of the windows in which no call was timed, from 0 to 1."""
        lasted = sum(stop - start for start, stop in self.windows) / 1e9
        return max(0.0, 1 - self.seconds / lasted) if lasted else 0.0


@frozen
class Benchmark:
    """What the calls of one benchmark took together; `test` is its node id in pytest.

    `spread` tells how far its rounds lie apart in time: a standard deviation, robustly estimated, as a part of the
    median; None with fewer than two rounds.
    """

    test: str
    metered: Metered
    spread: float | None = None
