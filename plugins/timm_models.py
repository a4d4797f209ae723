"""Models from timm: those of the table `timm_models.csv` by name, any other as `timm:NAME`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

from attrs import frozen

from harness.errors import HarnessError, unknown
from harness.hookspecs import hookimpl
from harness.hub import HubError, download
from harness.plugins.timm_weights import create_with_weights
from harness.specs import ModelSpec

PREFIX = "timm:"
# The paper's border between small and large models: the median of its 131.
_MEDIAN_PARAMETERS = 24_670_000


@frozen
class TimmModel:
    """Creates the timm model *name*, which may carry a weights tag: `resnet18d.ra2_in1k`."""

    name: str

    def __call__(self, num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
        """Return the model with its own initialisation, the published weights, or those of a file.

        Raises HarnessError for a name that timm does not have, and for weights that cannot be had or are of another
        model.
        """
        import timm

        options: dict[str, Any] = {"num_classes": num_outputs, "in_chans": in_chans}
        if self._fixed_size() not in (None, image_size):
            options["img_size"] = image_size
        if weights is None:
            return timm.create_model(self.name, pretrained=False, **options)
        return create_with_weights(self.name, self._published() if weights == "pretrained" else weights, **options)

    def _published(self) -> str:
        """Return where the published weights lie, downloaded if need be."""
        try:
            return download(*self.hub_file())
        except HubError as error:
            raise HarnessError(
                f"the weights of {self.name!r} cannot be had: {error}; or train with --scratch"
            ) from error

    @property
    def weights_tag(self) -> str | None:
        """The tag of the published weights that the name pins, None where it leaves it to timm."""
        return self.name.partition(".")[2] or None

    def hub_file(self) -> tuple[str, str]:
        """Return where the published weights are: (repository on the Hugging Face hub, name of the file).

        Raises HarnessError for a model without any.
        """
        from timm.models import get_pretrained_cfg

        published = get_pretrained_cfg(self.name)
        if published is None or not (published.hf_hub_id or published.url):
            raise HarnessError(
                f"timm publishes no weights of {self.name!r}; train it with --scratch, or give --weights-dir"
            )
        return published.hf_hub_id or f"timm/{self.name}", published.hf_hub_filename or "model.safetensors"

    @property
    def weights_url(self) -> str | None:
        """Where timm itself has the published weights from, where it does not name a repository of the hub."""
        from timm.models import get_pretrained_cfg

        published = get_pretrained_cfg(self.name)
        return str(published.url) if published is not None and not published.hf_hub_id and published.url else None

    def _fixed_size(self) -> int | None:
        """Return the only image size that the model takes as it is, None where it takes several."""
        from timm.models import get_pretrained_cfg, is_model, list_models

        if not is_model(self.name):
            raise unknown("timm model", self.name, list_models(), "`timm.list_models()` names them all")
        published = get_pretrained_cfg(self.name)
        return published.input_size[-1] if published is not None and published.fixed_input_size else None


def _table() -> Iterator[ModelSpec]:
    lines = (files("harness.plugins") / "timm_models.csv").read_text(encoding="utf-8").splitlines()
    for row in csv.DictReader(lines):
        parameters = int(row["parameters"])
        tags = ["small" if parameters < _MEDIAN_PARAMETERS else "large", row["type"]]
        tags += ["efficient"] if row["efficient"] == "1" else []
        yield ModelSpec(row["name"], TimmModel(row["timm"]), parameters, tags)


@hookimpl
def harness_register_models(register: Callable[[ModelSpec], None]) -> None:
    for spec in _table():
        register(spec)


@hookimpl(trylast=True)
def harness_resolve_model(name: str) -> ModelSpec | None:
    if not name.startswith(PREFIX):
        return None
    if name == PREFIX:
        raise HarnessError("'timm:' names no model; write timm:NAME, such as timm:resnet10t")

    return ModelSpec(name, TimmModel(name.removeprefix(PREFIX)))
