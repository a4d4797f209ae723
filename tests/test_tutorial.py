"""The tutorial works: every file of it is written and every command run, in order, in a fresh environment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fresh_environment import FreshEnvironment

pytestmark = pytest.mark.slow
PAGE = (Path(__file__).parent.parent / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
# Without a network, the tools to build with are those that are installed.
OFFLINE = {"python -m build": "python -m build --no-isolation"}


@pytest.fixture(scope="module")
def followed(
    fresh_environment: FreshEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict[str, str]]]:
    """Follow the tutorial; the folder it ends in, and what each command printed."""
    folder, printed = tmp_path_factory.mktemp("tutorial"), dict[str, str]()
    try:
        for language, text in BLOCKS:
            if language == "sh":
                folder = run(fresh_environment, folder, text, printed)
            else:
                (folder / text.splitlines()[0].removeprefix("# ")).write_text(text)
        yield folder, printed
    finally:
        fresh_environment.uninstall("harness-written")


def run(fresh: FreshEnvironment, folder: Path, text: str, printed: dict[str, str]) -> Path:
    """Run the commands of one block in *folder*, note what they print, and return the folder they end in."""
    for command in text.splitlines():
        if command.startswith("cd "):
            folder /= command.removeprefix("cd ")
            continue
        done = fresh.shell(f"cd '{folder}'\n{OFFLINE.get(command, command)}")
        assert 0 == done.returncode, f"{command}\n{done.stdout}{done.stderr}"
        printed[command] = done.stdout
    return folder


def printed_by(printed: dict[str, str], start: str) -> str:
    return next(text for command, text in printed.items() if command.startswith(start))


def test_meter_is_listed_before_and_after_it_is_installed(followed: tuple[Path, dict[str, str]]) -> None:
    lines = [text for command, text in followed[1].items() if "harness list meters" in command]

    assert 2 == len(lines)
    assert all("bytes_written" in text for text in lines)


def test_plugin_is_listed_with_its_distribution_and_version(followed: tuple[Path, dict[str, str]]) -> None:
    told = printed_by(followed[1], "harness list plugins").splitlines()[1].split()

    assert ["written", "harness-written", "0.1.0", "True"] == told[:4]


def test_tests_of_the_package_pass(followed: tuple[Path, dict[str, str]]) -> None:
    assert re.search(r"\d+ passed", printed_by(followed[1], "python -m pytest"))


def test_command_is_metered(followed: tuple[Path, dict[str, str]]) -> None:
    (reading,) = json.loads((followed[0] / "cost.json").read_text())["readings"]

    assert "bytes_written" == reading["resource"]
    assert 8 * 2**20 <= reading["value"] < 8 * 2**20 + 4096  # and what it says of itself


def test_resource_is_scored_with_and_without_the_package(followed: tuple[Path, dict[str, str]]) -> None:
    scored = [text for command, text in followed[1].items() if command.startswith("harness score")]

    assert 2 == len(scored)
    assert all("bytes_written" in text.splitlines()[0] and "fake" in text for text in scored)


def test_package_is_built_as_source_and_as_a_wheel(followed: tuple[Path, dict[str, str]]) -> None:
    built = {path.name for path in (followed[0] / "dist").iterdir()}

    assert {"harness_written-0.1.0.tar.gz", "harness_written-0.1.0-py3-none-any.whl"} == built
