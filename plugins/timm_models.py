"""Models from timm: those of the table `timm_models.csv` by name, any other as `timm:NAME`.

The table holds the 131 models of the PePR paper under the paper's names; `docs/models.md` explains its columns.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any

from attrs import frozen

from harness.errors import HarnessError, unknown
from harness.hookspecs import hookimpl
from harness.image_sizes import ImageSizes
from harness.plugins.gluon_xception import GluonXception65
from harness.plugins.timm_weights import create_with_weights
from harness.specs import CreateModel, ModelSpec
from harness.weights.hub import HubError, download

PREFIX = "timm:"
# What the 131 models of the paper are found by.
PAPER_TAG = "pepr131"


@frozen
class TimmModel:
    """Creates the timm model *name*, which may carry a weights tag: `resnet18d.ra2_in1k`.

    With `takes_img_size` it is told the image size, without it never; None leaves it to what timm knows of the model.
    """

    name: str
    takes_img_size: bool | None = None

    def __call__(self, num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
        """Return the model with its own initialisation, the published weights, or those of a file.

        Raises HarnessError for a name that timm does not have, and for weights that cannot be had or are of another
        model.
        """
        import timm

        options: dict[str, Any] = {"num_classes": num_outputs, "in_chans": in_chans}
        if self._wants_img_size(image_size):
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

    def _wants_img_size(self, image_size: int) -> bool:
        """Say whether the model has to be told *image_size*, and can be."""
        fixed = self._fixed_size()
        if self.takes_img_size is not None:
            return self.takes_img_size
        return fixed not in (None, image_size) and _accepts_img_size(self.name, image_size)

    def _fixed_size(self) -> int | None:
        """Return the only image size that the model takes as it is, None where it takes several."""
        from timm.models import get_pretrained_cfg, is_model, list_models, list_pretrained

        if not is_model(self.name):
            raise unknown("timm model", self.name, list_models(), "`timm.list_models()` names them all")
        try:
            published = get_pretrained_cfg(self.name)
        except RuntimeError as error:  # of a tag that timm does not have
            architecture, _, tag = self.name.partition(".")
            known = [name.partition(".")[2] for name in list_pretrained(f"{architecture}.*")]
            raise unknown(f"weights tag of {architecture!r}", tag, known) from error
        return published.input_size[-1] if published is not None and published.fixed_input_size else None


def _accepts_img_size(name: str, image_size: int) -> bool:
    """Say whether the class of timm's model *name* takes `img_size`; it is built without memory to find out."""
    import timm
    import torch

    try:
        with torch.device("meta"):
            timm.create_model(name, img_size=image_size)
    except TypeError:
        return False
    except Exception:
        return True  # it takes it, if not this one: the error is told when it is built for use
    return True


def _table() -> Iterator[ModelSpec]:
    lines = (files("harness.plugins") / "timm_models.csv").read_text(encoding="utf-8").splitlines()
    for row in csv.DictReader(lines):
        tags = [PAPER_TAG, row["size"], row["type"], *(["efficient"] if row["efficient"] == "1" else []), row["family"]]
        yield ModelSpec(
            name=row["name"],
            create=_creator(row),
            parameters=int(row["parameters"]),
            tags=tags,
            note=row["note"] or None,
            image_sizes=_image_sizes(row),
        )


def _creator(row: Mapping[str, str]) -> CreateModel:
    if row["name"] == "gluon_xception65":
        return GluonXception65()
    return TimmModel(row["timm"], takes_img_size=row["img_size"] == "1")


def _image_sizes(row: Mapping[str, str]) -> ImageSizes:
    pretrained_only = (int(row["pretrained_only"]),) if row["pretrained_only"] else ()
    return ImageSizes(int(row["smallest"] or 1), int(row["step"] or 1), pretrained_only=pretrained_only)


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
