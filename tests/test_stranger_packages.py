"""Packages of strangers, really installed, that fail in every way: each is named, the others work, and it can go."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coin_plugin import COINS, METER, RUN, performances
from fresh_environment import FreshEnvironment, write_package

from harness import hookspecs

pytestmark = pytest.mark.slow
HOOKS = [name for name in vars(hookspecs) if name.startswith("harness_")]


def rude() -> str:
    """A plugin that raises in every hook, each another error."""
    errors = ("ValueError('no good')", "SystemExit(3)", "KeyboardInterrupt()", "{}['no']")
    lines = ["from harness import hookimpl"]
    for number, hook in enumerate(HOOKS):
        arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
        lines += ["", "", "@hookimpl", f"def {hook}({arguments}):", f"    raise {errors[number % len(errors)]}"]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packages")
    wanted: dict[str, tuple[dict[str, str], str]] = {
        "acme-coins": ({"coins": COINS}, "1.4"),
        "acme-broken": ({"broken": "import no_such_module"}, "0.2"),
        "acme-rude": ({"rude": rude()}, "0.3"),
        "acme-first": ({"clash": METER.format(name="first")}, "1.1"),
        "acme-second": ({"clash": METER.format(name="second")}, "2.2"),
        "acme-tosses": ({"tossing": METER.format(name="tosses")}, "3.3"),
    }
    return {name: write_package(folder, name, plugins, version) for name, (plugins, version) in wanted.items()}


@pytest.fixture(scope="module")
def coins(fresh_environment: FreshEnvironment, packages: dict[str, Path]) -> Iterator[FreshEnvironment]:
    with fresh_environment.installed(packages["acme-coins"]):
        yield fresh_environment


def listed(done: Any) -> dict[str, dict[str, Any]]:
    assert 0 == done.returncode, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)["rows"]}


def test_package_whose_import_fails_is_named_and_the_others_work(
    coins: FreshEnvironment, packages: dict[str, Path], tmp_path: Path
) -> None:
    with coins.installed(packages["acme-broken"]):
        plugins = coins.harness("list", "plugins", "--format", "json")
        done = coins.harness(*RUN, "--store", str(tmp_path / "s.sqlite"))

    row = listed(plugins)["broken"]
    assert ("acme-broken", "0.2", False) == (row["distribution"], row["version"], row["enabled"])
    assert "ModuleNotFoundError: No module named 'no_such_module'" == row["reason"]
    assert 0 == done.returncode, done.stderr
    assert "plugin 'broken' (acme-broken 0.2) cannot be loaded: ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize(
    ("options", "environment", "reason"),
    [
        ([], {}, None),
        (["--no-plugin", "coins"], {}, "denied"),
        ([], {"HARNESS_DISABLE_PLUGIN_AUTOLOAD": "1"}, "autoload is off"),
        ([], {"HARNESS_DISABLE_PLUGIN_AUTOLOAD": "1", "HARNESS_PLUGINS": "coins"}, None),
        (["--plugin", "coins"], {"HARNESS_DISABLE_PLUGIN_AUTOLOAD": "1"}, None),
    ],
)
def test_list_says_whether_a_plugin_is_in_use_or_why_not(
    coins: FreshEnvironment, options: list[str], environment: dict[str, str], reason: str | None
) -> None:
    row = listed(coins.harness("list", "plugins", "--format", "json", *options, **environment))["coins"]

    assert ("acme-coins", "1.4", reason is None, reason) == (
        row["distribution"],
        row["version"],
        row["enabled"],
        row["reason"],
    )
    assert (reason is None) == ("meter tosses" in row["registers"])
    assert (reason is None) == ("harness_run_trial" in row["hooks"])


def test_package_that_raises_in_every_hook_is_named_for_each(
    coins: FreshEnvironment, packages: dict[str, Path], tmp_path: Path
) -> None:
    with coins.installed(packages["acme-rude"]):
        row = listed(coins.harness("list", "plugins", "--format", "json"))["rude"]
        helped = coins.harness("--help")
        done = coins.harness(*RUN, "--store", str(tmp_path / "done.sqlite"))
        resolved = coins.harness(*RUN, "--model", "timm:a", "--dataset", "box:b", "--meter", "carbon", "--location=DK")

    told = helped.stderr + done.stderr + resolved.stderr
    named = {hook for hook in HOOKS if f"plugin 'rude' (acme-rude 0.3) raised in {hook}" in told}
    assert set(HOOKS) == named
    assert 0 == done.returncode, done.stderr
    assert row["reason"].startswith("left out of harness_register_datasets, harness_register_executors")
    assert "Fine-tune, meter and rank models." in helped.stdout


def test_others_work_beside_a_package_that_raises_in_every_hook(
    coins: FreshEnvironment, packages: dict[str, Path], tmp_path: Path
) -> None:
    store = tmp_path / "s.sqlite"
    with coins.installed(packages["acme-rude"]):
        meters = listed(coins.harness("list", "meters", "--format", "json"))
        done = coins.harness(*RUN, "--score", "thrift", "--store", str(store))
        scored = performances(store, coins)

    assert {"tosses", "time", "memory"} <= meters.keys()
    assert 0 == done.returncode, done.stderr
    assert {"plain": 0.5, "fancy": 0.75} == scored


@pytest.mark.parametrize(
    ("pair", "first", "second", "way_out"),
    [
        (("acme-first", "acme-second"), "acme-first 1.1", "acme-second 2.2", "clash"),
        (("acme-tosses",), "'coins' (acme-coins 1.4)", "'tossing' (acme-tosses 3.3)", "tossing"),
    ],
    ids=["two plugins of one name", "two meters of one name"],
)
def test_packages_that_offer_one_name_are_both_named_and_one_option_settles_it(
    coins: FreshEnvironment,
    packages: dict[str, Path],
    tmp_path: Path,
    pair: tuple[str, ...],
    first: str,
    second: str,
    way_out: str,
) -> None:
    with coins.installed(*(packages[name] for name in pair)):
        refused = coins.harness("list", "meters")
        helped = coins.harness("--help")
        settled = coins.harness(*RUN, "--no-plugin", way_out, "--store", str(tmp_path / "s.sqlite"))

    assert 2 == refused.returncode
    assert 1 == len(refused.stderr.splitlines())
    assert all(words in refused.stderr for words in (first, second, f"--no-plugin {way_out}"))
    assert 0 == helped.returncode
    assert 0 == settled.returncode, settled.stderr
