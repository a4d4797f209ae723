"""What `@pytest.mark.harness(max={"memory": "1GiB"}, repeat=5)` asks of a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from harness.errors import HarnessError, unknown
from harness.meter import RESOURCE_UNITS
from harness.quantities import parse_quantity, resource_name

_KEYWORDS = ("max", "repeat")


class Mark(Protocol):
    """What is read of pytest's mark."""

    @property
    def args(self) -> tuple[Any, ...]:
        """What was given without a name."""

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """What was given by name."""


@frozen
class Budget:
    """Limits by resource, as they were written ("1GiB"), and how often the test runs; None: it was not said."""

    limits: Mapping[str, str] = field(factory=dict)
    repeat: int | None = None


def read_budget(marks: Iterable[Mark]) -> Budget:
    """Return what *marks*, the closest to the test first, ask together; of one resource the closest counts.

    Raises HarnessError for an argument that is unknown or that no test can be held to.
    """
    limits: dict[str, str] = {}
    repeat: int | None = None
    for mark in marks:
        asked = _arguments(mark)
        if repeat is None and "repeat" in asked:
            repeat = _times(asked["repeat"])
        limits = _limits(asked.get("max", {})) | limits
    return Budget(limits, repeat)


def _arguments(mark: Mark) -> Mapping[str, Any]:
    if mark.args:
        raise HarnessError(f'{mark.args[0]!r} needs a name: max={{"memory": "1GiB"}} or repeat=5')
    for name in mark.kwargs:
        if name not in _KEYWORDS:
            raise unknown("argument", name, _KEYWORDS)
    return mark.kwargs


def _times(repeat: object) -> int:
    if not isinstance(repeat, int) or isinstance(repeat, bool) or repeat < 1:
        raise HarnessError(f"repeat must be a whole number from 1, is {repeat!r}")
    return repeat


def _limits(asked: object) -> dict[str, str]:
    if not isinstance(asked, Mapping):
        raise HarnessError(f'max must be limits by resource, such as {{"memory": "1GiB"}}, is {asked!r}')
    return {resource_name(str(name)): _limit(resource_name(str(name)), value) for name, value in asked.items()}


def _limit(resource: str, value: object) -> str:
    """Return the limit as text, checked as far as it can be before anything has run."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise HarnessError(f"the limit of {resource} must be a quantity such as '5J' or a number, is {value!r}")
    text = str(value)
    if resource in RESOURCE_UNITS:
        try:
            parse_quantity(text, RESOURCE_UNITS[resource])
        except HarnessError as error:
            raise HarnessError(f"the limit of {resource}: {error}") from error
    return text
