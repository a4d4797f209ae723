"""The image sizes that a model takes, and the one line that is told where it does not take the one asked for."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class ImageSizes:
    """Sides of square images, in pixels: `only` those, or else every multiple of `step` from `smallest` on.

    `pretrained_only` are those that published weights fit, where these fit fewer: a position has a weight of its own.
    """

    smallest: int = 1
    step: int = 1
    only: tuple[int, ...] = ()
    pretrained_only: tuple[int, ...] = ()

    def with_weights(self, weights: str) -> ImageSizes:
        """Return the sizes that are taken with *weights*: "scratch", or any that were trained."""
        if self.pretrained_only and weights != "scratch":
            return ImageSizes(only=self.pretrained_only)
        return self

    def take(self, size: int) -> bool:
        """Say whether images of *size* x *size* pixels are taken."""
        if self.only:
            return size in self.only
        return size >= self.smallest and size % self.step == 0

    def nearest(self, size: int) -> int:
        """Return the size that is taken and nearest to *size*; of two, the larger, which loses no detail."""
        below = size // self.step * self.step
        choices = self.only or (max(below, self._least), max(below + self.step, self._least))
        return min(choices, key=lambda choice: (abs(choice - size), -choice))

    @property
    def _least(self) -> int:
        """The smallest multiple of the step that is not below `smallest`."""
        return -(-self.smallest // self.step) * self.step

    def __str__(self) -> str:
        if self.pretrained_only:
            return f"{self._plainly()}; pretrained: {' or '.join(map(str, self.pretrained_only))}"
        return self._plainly()

    def _plainly(self) -> str:
        if self.only:
            return " or ".join(map(str, self.only))
        if self.step > 1:
            return f"multiples of {self.step}" + (f" from {self._least}" if self._least > self.step else "")
        return f"{self.smallest} or more" if self.smallest > 1 else "any"


def refusal(size: int, models: Mapping[str, str]) -> str:
    """Return the line for *models* that cannot take images of *size* pixels: name -> what it takes instead."""
    each = "it" if len(models) == 1 else "each"
    who = _who_cannot(models, f"cannot take images of {size} x {size} pixels")
    way_out = f"Give --resize-to-model to train {each} at the nearest size that it takes, or another --image-size"
    return f"{who}. {way_out}"


def _who_cannot(models: Mapping[str, str], what: str) -> str:
    if len(models) == 1:
        return "".join(f"model {name!r} {what}; these work: {takes}" for name, takes in models.items())
    together: dict[str, list[str]] = {}
    for name, takes in models.items():
        together.setdefault(takes, []).append(name)
    told = "; ".join(f"{', '.join(names)} ({takes})" for takes, names in together.items())
    return f"{len(models)} models {what}; what works is in brackets: {told}"
