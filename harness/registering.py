"""The `register` that hooks hand to plugins: it checks what they bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from harness.registry import MeterEntry
from harness.specs import DatasetSpec, ModelSpec

_SPECS: dict[str, type[ModelSpec] | type[DatasetSpec]] = {"models": ModelSpec, "datasets": DatasetSpec}


def register_into(kind: str, brought: list[tuple[str, Any]]) -> Callable[..., None]:
    """Return the `register` of the hook for *kind*, such as "meters", which puts (name, value) into *brought*.

    It raises TypeError for anything else than such a thing: the plugin's fault.
    """

    def meter(
        name: str,
        factory: Callable[..., Any],
        resources: Iterable[str] = (),
        options: Iterable[str] = (),
        estimated: bool = False,
        automatic: bool = True,
    ) -> None:
        for argument, names in (("resources", resources), ("options", options)):
            if isinstance(names, str):
                raise TypeError(f"{argument} is a tuple of names, not {names!r}; write ({names!r},)")
            if not all(isinstance(each, str) for each in names):
                raise TypeError(f"{argument} holds names, which are texts; {names!r} does not")
        if name == "auto":
            raise TypeError("a meter cannot be called 'auto', which stands for those that work")
        entry = MeterEntry(_callable(factory), tuple(resources), tuple(options), estimated, automatic)
        brought.append((_named(name), entry))

    def spec(value: Any) -> None:
        if not isinstance(value, _SPECS[kind]):
            raise TypeError(f"register() takes a {_SPECS[kind].__name__}, not {value!r}")
        brought.append((value.name, value))

    def named(name: str, value: Callable[..., Any]) -> None:
        brought.append((_named(name), _callable(value)))

    return meter if kind == "meters" else spec if kind in _SPECS else named


def _named(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError(f"a name is text, not {name!r}")
    return name


def _callable(value: Callable[..., Any]) -> Callable[..., Any]:
    if not callable(value):
        raise TypeError(f"register() takes something that can be called, not {value!r}")
    return value
