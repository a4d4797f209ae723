"""Marks that are linked to the mark after them, for what is read and begun anew at each: peaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar


class Linked(Protocol):
    """A mark that knows the one after it, None while there is none."""

    @property
    def next(self) -> Linked | None: ...


M = TypeVar("M", bound=Linked)


def stretches(start: M, stop: M) -> Iterator[M]:
    """Yield the marks that end a stretch of the window: those after *start*, up to *stop*.

    Raises ValueError where *stop* does not follow *start*.
    """
    mark: Linked | None = start
    while mark is not stop:
        mark = mark.next if mark is not None else None
        if mark is None:
            raise ValueError("the marks are not two of this meter in their order")
        assert isinstance(mark, type(start))
        yield mark
