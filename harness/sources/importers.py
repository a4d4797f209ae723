"""What is in the files of others: the PePR authors' results, timm's, and CodeCarbon's emissions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve

from harness.errors import HarnessError
from harness.records import EpochDone, Finished, Missing, Reading, Setting, Trial
from harness.sources.imported import JOULES_PER_KWH, Imported, Measure, Row, take

_MEGA, _GIGA = 1e6, 1e9

# dataset of the file -> (dataset, weights, fraction, training images). The file does not say how the small sets began.
_PEPR_SETS = {
    "derma": ("derma", "scratch", 1.0, 7007),
    "derma_pt": ("derma", "pretrained", 1.0, 7007),
    "derma_small": ("derma", "not published", 0.1, 700),
    "derma_smallest": ("derma", "not published", 0.01, 70),
    "lidc": ("lidc", "pretrained", 1.0, 9057),
    "lidc_small": ("lidc", "not published", 0.1, 905),
    "pneumonia": ("pneumonia", "pretrained", 1.0, 4708),
    "pneumonia_small": ("pneumonia", "not published", 0.1, 470),
}
_PEPR_EPOCHS = 10
_PEPR_MEASURES = (
    Measure("energy", "energy", "J", JOULES_PER_KWH, "sampled", "carbontracker", "kWh of all 10 epochs, PUE included"),
    Measure("co2", "carbon", "g", 1.0, "estimated", "carbontracker", "g at the grid's intensity of the moment"),
    Measure("memM", "memory_cuda", "B", _GIGA, "counter", "torch", "GB, after the second epoch"),
    Measure("memR", "memory_cuda_reserved", "B", _GIGA, "counter", "torch", "GB, after the second epoch"),
    Measure("train_time", "time_last_epoch", "s", 1.0, "counter", "time", "s of the last epoch with its test pass"),
    Measure("train_time", "time", "s", 1.0, "counter", "time", "s of the last epoch with its test pass", epoch=10),
    Measure("inf_time", "time", "s", 1.0, "counter", "time", "s of a whole test pass, on average", phase="infer_batch"),
)
_PEPR_NO_TIME = "only the last epoch's was published: time_last_epoch"

_TIMM_MEASURES = (Measure("param_count", "parameters", "1", _MEGA, "counter", "timm", "millions"),)
_TIMM_SPEED = (
    Measure(
        "infer_step_time", "time_per_image", "s", 1e-3, "counter", "timm", "ms, over infer_batch_size", "infer_batch"
    ),
    Measure(
        "infer_gmacs", "macs", "1", _GIGA, "estimated", "timm", "1e9 multiply-accumulates of an image", "infer_batch"
    ),
    Measure("infer_macts", "activations", "1", _MEGA, "estimated", "timm", "millions of an image", "infer_batch"),
)

_CODECARBON_MEASURES = (
    Measure("gpu_energy", "energy_gpu", "J", JOULES_PER_KWH, "sampled", "codecarbon", "kWh"),
    # CodeCarbon takes the processor's counter or a model, and memory always from a model; the file does not say which.
    Measure("cpu_energy", "energy_cpu", "J", JOULES_PER_KWH, "estimated", "codecarbon", "kWh, measured or modelled"),
    Measure("ram_energy", "energy_dram", "J", JOULES_PER_KWH, "estimated", "codecarbon", "kWh, modelled"),
    Measure("emissions", "carbon", "g", 1000.0, "estimated", "codecarbon", "kg of CO2 equivalents"),
    Measure("duration", "time", "s", 1.0, "counter", "codecarbon", "s"),
)
_CODECARBON_FACTS = ("run_id", "timestamp", "country_iso_code", "cpu_model", "gpu_model", "tracking_mode", "pue")


def pepr_trials(rows: Iterable[Row]) -> list[Imported]:
    """Return the trials in the PePR authors' all_results.csv. Raises HarnessError for a dataset it has not."""
    return [_pepr_trial(row) for row in rows]


def timm_trials(rows: Iterable[Row], dataset: str, speeds: Iterable[Row] = ()) -> list[Imported]:
    """Return the trials in one of timm's results-*.csv, evaluated on *dataset*.

    *speeds* are the rows of a benchmark-infer-*.csv: what is known there of a model at its image size is added.
    """
    by_model = {(row.text("model"), row.text("infer_img_size")): row for row in speeds}
    return [_timm_trial(row, dataset, by_model) for row in rows]


def codecarbon_trials(rows: Iterable[Row], dataset: str, performance: Mapping[str, float]) -> list[Imported]:
    """Return the runs in CodeCarbon's emissions.csv whose project has a *performance* in [0, 1].

    A project's second run counts as its seed 2, and so on.
    """
    runs: dict[str, Row] = {}
    for row in rows:
        # A run that flushed has several rows, each with the totals since its start; the last one counts.
        runs[row.text("run_id") or str(row.number)] = row
    counted: dict[str, int] = {}
    trials = []
    for row in runs.values():
        project = row.text("project_name")
        counted[project] = counted.get(project, 0) + 1
        if project in performance:
            trials.append(_codecarbon_trial(row, dataset, counted[project], performance[project]))
    return trials


def _pepr_trial(row: Row) -> Imported:
    known = _PEPR_SETS.get(row.text("dataset"))
    if known is None:
        raise HarnessError(
            f"row {row.number}: dataset {row.text('dataset')!r} is none of the paper's: {', '.join(_PEPR_SETS)}"
        )
    dataset, weights, fraction, images = known
    setting = Setting(weights, fraction, _PEPR_EPOCHS, resize="not published", device="cuda", split="pepr")
    trial = Trial(row.text("model"), dataset, setting, 1, "multiclass" if dataset == "derma" else "binary")
    facts = {
        "data": images,
        "images_seen": images * _PEPR_EPOCHS,
        "parameters": row.value("num_param"),
        "device_name": "NVIDIA GeForce RTX 3090",
        "last_batch": "dropped",
    }
    missing = (Missing("time", _PEPR_NO_TIME, meter="time", phase="train"),)
    end = Finished(trial.key, row.need("test_09"), facts=facts, readings=take(row, _PEPR_MEASURES), missing=missing)
    return Imported(trial, end, tuple(_pepr_epoch(row, trial.key, epoch) for epoch in range(1, _PEPR_EPOCHS + 1)))


def _pepr_epoch(row: Row, key: str, epoch: int) -> EpochDone:
    training = row.value("tr_acc") if epoch == _PEPR_EPOCHS else None
    return EpochDone(key, epoch, None, row.value(f"test_{epoch - 1:02d}"), training)


def _timm_trial(row: Row, dataset: str, speeds: Mapping[tuple[str, str], Row]) -> Imported:
    size = int(row.need("img_size"))
    resize = f"{row.text('interpolation')}, crop {row.text('crop_pct')}"
    setting = Setting(epochs=0, batch_size=0, optimizer="none", lr=0.0, image_size=size, resize=resize)
    trial = Trial(row.text("model"), dataset, setting)
    # Readings belong to a phase, which the number of parameters does not: it is a cost of each.
    sizes = [
        evolve(reading, phase=phase) for reading in take(row, _TIMM_MEASURES) for phase in ("train", "infer_batch")
    ]
    # Benchmarks name the architecture, without the tag of its weights.
    speed = speeds.get((trial.model.partition(".")[0], str(size)))
    readings = (*sizes, *(() if speed is None else _timm_speed(speed)))
    metrics, facts = {"top5": row.need("top5") / 100}, {"parameters": row.need("param_count") * _MEGA}
    return Imported(trial, Finished(trial.key, row.need("top1") / 100, metrics, facts, readings))


def _timm_speed(row: Row) -> list[Reading]:
    batch = row.need("infer_batch_size")
    return [
        evolve(reading, value=reading.value / batch) if reading.resource == "time_per_image" else reading
        for reading in take(row, _TIMM_SPEED)
    ]


def _codecarbon_trial(row: Row, dataset: str, run: int, performance: float) -> Imported:
    device = "cuda" if row.value("gpu_count") else "cpu"
    unknown: dict[str, Any] = {
        "weights": "not published",
        "epochs": 0,
        "batch_size": 0,
        "optimizer": "not published",
        "lr": 0.0,
    }
    trial = Trial(row.text("project_name"), dataset, Setting(**unknown, image_size=0, device=device), run)
    found = take(row, _CODECARBON_MEASURES)
    # Where CodeCarbon could not read a part it writes 0; where there is no GPU that is none.
    lost = [reading for reading in found if reading.value == 0 and reading.unit == "J"]
    gaps = [Missing(one.resource, "CodeCarbon gives it as 0", meter="codecarbon", phase="train") for one in lost]
    missing = tuple(gap for gap in gaps if gap.resource != "energy_gpu" or device == "cuda")
    facts = {name: row.text(name) for name in _CODECARBON_FACTS if row.text(name)}
    readings = tuple(reading for reading in found if reading not in lost)
    return Imported(trial, Finished(trial.key, performance, {}, facts, readings, missing))
