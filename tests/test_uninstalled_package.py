"""A package that is uninstalled takes nothing from the stores that were made with it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from coin_plugin import COINS, RUN, performances
from fresh_environment import FreshEnvironment, write_package

pytestmark = pytest.mark.slow
WEIGHTS = ("--resource", "tosses", "--resource", "time=2")


@pytest.fixture(scope="module")
def scored(fresh_environment: FreshEnvironment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store of trials whose model, dataset, meter and task came from a package that is gone; its ranking before."""
    folder = tmp_path_factory.mktemp("coins")
    store = folder / "s.sqlite"
    with fresh_environment.installed(write_package(folder, "acme-coins", {"coins": COINS})):
        ran = fresh_environment.harness(*RUN, "--store", str(store))
        assert 0 == ran.returncode, ran.stderr
        return store, fresh_environment.harness("score", str(store), *WEIGHTS).stdout


def test_store_is_scored_as_before(fresh_environment: FreshEnvironment, scored: tuple[Path, str]) -> None:
    store, before = scored
    after = fresh_environment.harness("score", str(store), *WEIGHTS)

    assert "tosses" in before
    assert (before, "") == (after.stdout, after.stderr)
    assert {"plain": 0.5, "fancy": 0.75} == performances(store, fresh_environment)


def test_readings_are_exported(fresh_environment: FreshEnvironment, scored: tuple[Path, str], tmp_path: Path) -> None:
    export = tmp_path / "readings.csv"
    done = fresh_environment.harness("export", str(scored[0]), "--table", "readings", "-o", str(export))

    assert 0 == done.returncode, done.stderr
    assert {"tosses", "time"} <= {row["resource"] for row in csv.DictReader(export.read_text().splitlines())}


def test_what_the_package_brought_is_unknown_in_one_line(
    fresh_environment: FreshEnvironment, scored: tuple[Path, str]
) -> None:
    ranking = fresh_environment.harness("score", str(scored[0]), "--score", "thrift")
    running = fresh_environment.harness(*RUN, "--store", str(scored[0]))

    for done, message in ((ranking, "unknown score 'thrift'"), (running, "unknown executor 'light'")):
        assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
        assert message in done.stderr
