"""The wheel: every file of the three folders is in it, once, under its import name."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from wheels import build_wheel

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel and return the names in it."""
    return zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("wheel"))).namelist()


def files(folder: str, package: str) -> set[str]:
    found = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".csv", ".txt", ".typed")]
    own = [path for path in found if not {"meters", "plugins"} & set(path.relative_to(ROOT / folder).parts[:-1])]
    return {f"{package}/{path.relative_to(ROOT / folder)}" for path in own}


@pytest.mark.parametrize(
    ("folder", "package"), [("harness", "harness"), ("meters", "harness/meters"), ("plugins", "harness/plugins")]
)
def test_every_file_is_in_the_wheel_once(wheel: list[str], folder: str, package: str) -> None:
    expected = files(folder, package)

    assert expected <= set(wheel)
    assert all(1 == wheel.count(name) for name in expected)


def test_nothing_else_is_in_the_wheel(wheel: list[str]) -> None:
    expected = files("harness", "harness") | files("meters", "harness/meters") | files("plugins", "harness/plugins")

    assert set() == {name for name in wheel if ".dist-info/" not in name} - expected


def test_links_show_the_folders_under_their_import_names() -> None:
    assert (ROOT / "meters").samefile(ROOT / "harness" / "meters")
    assert (ROOT / "plugins").samefile(ROOT / "harness" / "plugins")


def test_meters_and_plugins_are_one_package_each() -> None:
    program = (
        "import harness.meters.time, harness.plugins.digits, sys; assert not {'meters', 'plugins'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
