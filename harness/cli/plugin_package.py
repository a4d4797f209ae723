"""A new plugin's package: its names, and its files from the templates beside this module."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from string import Template

from attrs import frozen

from harness.errors import HarnessError
from harness.meter import RESOURCE_UNITS

# The distribution, folder and module of a plugin are named after it with this in front.
_PREFIX = "harness"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40


@frozen
class Kind:
    """What a template makes: in words, what it needs of this distribution, and how to try it."""

    what: str
    needs: str
    try_it: str


KINDS = {
    "meter": Kind(
        "the processor time of the process",
        "pepr-harness",
        "harness list meters $name\nharness run --model resnet18d --dataset digits --scratch --epochs 1 --meter $name",
    ),
    "model": Kind(
        "a small convolutional network",
        "pepr-harness[vision]",
        "harness list models $name\nharness run --model $name --dataset digits --scratch --epochs 1",
    ),
    "dataset": Kind(
        "made-up squares and discs",
        "pepr-harness",
        "harness list datasets $name\nharness run --model resnet18d --dataset $name --scratch --epochs 1",
    ),
    "score": Kind(
        "performance per logarithm of the time taken",
        "pepr-harness",
        "harness list scores $name\nharness score harness.sqlite --score $name",
    ),
    "executor": Kind(
        "one trial after the other, with a pause between",
        "pepr-harness",
        "harness list executors $name\n"
        "harness run --model resnet18d --dataset digits --scratch --epochs 1 --executor $name",
    ),
}


def check_name(name: str, kind: str) -> None:
    """Raise HarnessError unless *name* can be that of a plugin of this *kind*, a distribution and a module."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise HarnessError(
            f"a plugin's name has lower-case letters, digits and single hyphens, begins with a letter and is at most "
            f"{_LONGEST} long, such as 'my-meter'; {name!r} is not"
        )
    if name.partition("-")[0] == _PREFIX:
        raise HarnessError(f"leave out {_PREFIX!r} from {name!r}: the package is called {_PREFIX}-NAME anyway")
    if name.replace("-", "_") in _reserved(kind):
        raise HarnessError(f"{name!r} means something else where a {kind} is named; choose another name")


def _reserved(kind: str) -> Collection[str]:
    """Return the names that a template's thing cannot bear: a meter's is a resource too, a score's a column."""
    if kind == "meter":
        return {"auto", *RESOURCE_UNITS}
    if kind != "score":
        return ()

    from harness.scoring.score import COLUMNS

    return {"performance", *COLUMNS}


def package_files(name: str, kind: str) -> dict[str, str]:
    """Return path -> text of the package that brings the *kind* (one of `KINDS`) *name*."""
    module = f"{_PREFIX}_{name}".replace("-", "_")
    words = {
        "name": name,
        "kind": kind,
        "distribution": f"{_PREFIX}-{name}",
        "module": module,
        "resource": name.replace("-", "_"),
        "class_name": _class_name(name, kind),
        "what": KINDS[kind].what,
        "needs": KINDS[kind].needs,
        "try_it": Template(KINDS[kind].try_it).substitute(name=name),
    }
    places = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}.py": f"{kind}.py",
        f"tests/test_{module}.py": f"{kind}_test.py",
        ".github/workflows/tests.yml": "tests.yml",
    }
    return {place: _template(source).substitute(words) for place, source in places.items()}


def write_package(folder: Path, texts: dict[str, str]) -> None:
    """Write *texts*, path -> text, into the new *folder*, whole or not at all.

    Raises HarnessError where something is there already or it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HarnessError(f"'{folder}' is there already; choose another folder with -o, or move it away")

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
            whole = Path(place) / "package"
            for path, text in texts.items():
                (whole / path).parent.mkdir(parents=True, exist_ok=True)
                (whole / path).write_text(text, encoding="utf-8")
            whole.rename(folder)
    except OSError as error:
        raise HarnessError(f"cannot write '{folder}': {error.strerror}; choose another folder with -o") from error


def _template(name: str) -> Template:
    return Template((files("harness.cli") / "templates" / f"{name}.txt").read_text(encoding="utf-8"))


def _class_name(name: str, kind: str) -> str:
    words = [word for word in name.split("-") if word != kind]
    return "".join(word.capitalize() for word in (*words, kind))
