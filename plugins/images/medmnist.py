"""The 2-D sets of MedMNIST by their names there, such as `dermamnist` and `pneumoniamnist`.

What is known of them stands in `medmnist.csv`, taken from the metadata of the package medmnist 3.0.2 (J. Yang et al.,
MedMNIST v2, Scientific Data 10:41, 2023). The package itself is not asked: importing it starts torch and pandas and
makes a folder in the user's home, and a later version of it must not change what a stored trial means.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files

from harness.hookspecs import hookimpl
from harness.plugins.images.medmnist_set import MedMnistSet
from harness.specs import DatasetFiles, DatasetSpec

SIZES = (28, 64, 128, 224)
# Grades of a disease are trained as classes, as MedMNIST's own experiments do.
_TASKS = {
    "multi-class": "multiclass",
    "binary-class": "binary",
    "ordinal-regression": "multiclass",
    "multi-label, binary-class": "multilabel",
}
_NOTES = {
    "ordinal-regression": "; grades, trained as classes",
    "multi-label, binary-class": "; several labels each",
}


def published_sets() -> Iterator[Mapping[str, str]]:
    """Yield the rows of the table, one for each 2-D set."""
    lines = (files("harness.plugins.images") / "medmnist.csv").read_text(encoding="utf-8").splitlines()
    yield from csv.DictReader(lines)


def set_of(row: Mapping[str, str]) -> MedMnistSet:
    """Return the set that *row* of the table tells of."""
    counts = int(row["train"]), int(row["val"]), int(row["test"])
    md5 = {size: row[f"md5_{size}"] for size in SIZES}
    multilabel = _TASKS[row["task"]] == "multilabel"
    return MedMnistSet(row["name"], int(row["channels"]), int(row["classes"]), counts, md5, multilabel=multilabel)


def spec_of(row: Mapping[str, str]) -> DatasetSpec:
    """Return the dataset that *row* of the table tells of."""
    published = set_of(row)
    return DatasetSpec(
        name=published.name,
        load=published.load,
        num_classes=published.classes,
        in_chans=published.channels,
        task=_TASKS[row["task"]],
        splits=published.counts,
        image_sizes=SIZES,
        note=f"MedMNIST, {row['license']}{_NOTES.get(row['task'], '')}",
        files=DatasetFiles(published.expected, published.verify),
        check=published.check,
    )


@hookimpl
def harness_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    for row in published_sets():
        register(spec_of(row))
