"""The public names, and that asking for one costs no more than it must."""

from __future__ import annotations

import subprocess
import sys

import pytest

import harness


@pytest.mark.parametrize("name", harness.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(harness, name) is not None


def test_no_module_takes_the_place_of_a_public_name() -> None:
    program = "import harness.measuring, harness.api, harness.runner; import harness; assert callable(harness.measure)"

    subprocess.run([sys.executable, "-c", program], check=True)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        harness.nothing_of_ours  # noqa: B018


@pytest.mark.parametrize("arguments", [["--help"], ["list", "models"], ["list", "meters"], ["run", "--help"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from harness.__main__ import main; main(sys.argv[1:]);"
        "heavy = {'torch', 'timm', 'numpy', 'pandas', 'scipy', 'sklearn'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )

    subprocess.run([sys.executable, "-c", program, *arguments], check=True, stdout=subprocess.DEVNULL)
