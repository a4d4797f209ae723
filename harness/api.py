"""The Python API: `harness.run(...)` and `harness.models(...)`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import fields

from harness.errors import unknown
from harness.plugins_loader import load_plugins
from harness.runner import RunResult, run_study
from harness.study import Study


def run(models: str | Iterable[str], datasets: str | Iterable[str], **options: Any) -> RunResult:
    """Fine-tune, meter and store *models* on *datasets*; what is finished already is not run again.

    *options* are the fields of `harness.study.Study`, such as `epochs=3`, `weights="scratch"`, `meters=("time",)`,
    `store="results.sqlite"`. Workers never import the calling script again, so it needs no main guard. Raises
    HarnessError where the request cannot be met; a trial that fails is in the result.
    """
    from harness.progress import Progress

    unknown_options = options.keys() - {field.name for field in fields(Study)}
    for name in sorted(unknown_options):
        raise unknown("option of run()", name, [field.name for field in fields(Study)])
    for name in options.keys() & {"meters", "seeds"}:
        options[name] = _several(options[name])
    show = Progress()
    study = Study(models=_several(models), datasets=_several(datasets), **options)
    return run_study(study, load_plugins(study.plugins, on_fault=show.tell), show)


def models(tags: Sequence[str] = ()) -> list[str]:
    """Return the names of the listed models that bear all of *tags*."""
    entries = load_plugins().registry.models.entries.values()
    return [entry.name for entry in entries if set(tags) <= set(entry.value.tags)]


def _several(values: Any) -> tuple[Any, ...]:
    return (values,) if isinstance(values, (str, int)) else tuple(values)
