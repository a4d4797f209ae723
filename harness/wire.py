"""Records to JSON text and back: what travels between the runner and its workers."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import cattrs

from harness.records import EpochDone, Event, Failed, Finished, Started

T = TypeVar("T")

_converter = cattrs.Converter(forbid_extra_keys=True)
_KINDS: dict[str, type[Any]] = {"started": Started, "epoch": EpochDone, "finished": Finished, "failed": Failed}


def encode(record: object) -> bytes:
    """Return *record*, any of `harness.records`, as one JSON text.

    Raises ValueError where a number is not finite: JSON has no word for it.
    """
    return json.dumps(_converter.unstructure(record), allow_nan=False).encode()


def decode(text: bytes, kind: type[T]) -> T:
    """Return the *kind* that `encode` wrote.

    Raises ValueError if *text* is not JSON, cattrs.BaseValidationError if it holds anything else.
    """
    return _converter.structure(json.loads(text), kind)


def decode_event(text: bytes) -> Event:
    """Return the event that `encode` wrote; errors as `decode`."""
    plain = json.loads(text)
    event: Event = _converter.structure(plain, _KINDS[plain["kind"]])
    return event
