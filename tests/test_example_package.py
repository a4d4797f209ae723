"""The example package, built, installed and used as a stranger's would be: command line, worker process, pytest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fresh_environment import FreshEnvironment

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parent.parent / "examples" / "harness-example"
PLUGINS = ("switch-meter", "tiny-cnn", "stripes", "energy-delay")
RUN = ("run", "--model", "tiny-cnn", "--dataset", "stripes", "--scratch", "--device", "cpu")
TRAINING = ("--epochs", "5", "--batch-size", "16", "--lr", "0.01")
METERS = ("--meter", "switches", "--meter", "time", "--meter", "cpu-estimate")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, so that building it leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("example") / "harness-example"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    return copy


@pytest.fixture(scope="module")
def installed(fresh_environment: FreshEnvironment, source: Path) -> Iterator[FreshEnvironment]:
    with fresh_environment.installed(source):
        yield fresh_environment


@pytest.fixture(scope="module")
def store(installed: FreshEnvironment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store of two trials in worker processes, run with all that the example brings; and the ranking."""
    path = tmp_path_factory.mktemp("store") / "s.sqlite"
    words = ("--seed", "1", "--seed", "2", "--score", "edp", "--format", "json", "--store", str(path))
    done = installed.harness(*RUN, *TRAINING, *METERS, *words)
    assert 0 == done.returncode, done.stderr
    return path, done.stdout


def rows(text: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(text)["rows"]
    return found


def test_project_itself_is_the_installed_one(installed: FreshEnvironment) -> None:
    where = installed.python("-c", "import harness, harness.meters.time as m; print(harness.__file__, m.__file__)")

    assert all(path.startswith(str(installed.path)) for path in where.stdout.split())


def test_each_part_is_listed_with_its_plugin(installed: FreshEnvironment) -> None:
    for kind, name, plugin in (
        ("meters", "switches", "switch-meter"),
        ("models", "tiny-cnn", "tiny-cnn"),
        ("datasets", "stripes", "stripes"),
        ("scores", "edp", "energy-delay"),
    ):
        (row,) = rows(installed.harness("list", kind, name, "--format", "json").stdout)
        assert plugin == row["plugin"]


def test_plugins_are_listed_with_distribution_version_and_what_they_bring(installed: FreshEnvironment) -> None:
    listed = {row["name"]: row for row in rows(installed.harness("list", "plugins", "--format", "json").stdout)}

    assert {("harness-example", "0.1.0", True)} == {
        (listed[name]["distribution"], listed[name]["version"], listed[name]["enabled"]) for name in PLUGINS
    }
    assert ["meter switches"] == listed["switch-meter"]["registers"]
    assert ["harness_register_scores"] == listed["energy-delay"]["hooks"]


def test_trials_with_its_model_dataset_and_meter_are_ranked_by_its_score(store: tuple[Path, str]) -> None:
    document = json.loads(store[1])

    (row,) = document["rows"]
    assert ("edp", True, "tiny-cnn", 2) == (
        document["score"],
        document["smaller_is_better"],
        row["model"],
        row["seeds"],
    )
    assert row["edp"] > 0
    assert row["performance"] > 0.9  # stripes are easy: the model has learned


def test_its_resource_is_weighed_together_with_ours(installed: FreshEnvironment, store: tuple[Path, str]) -> None:
    words = ("--resource", "switches", "--resource", "time=2", "--format", "json")
    done = installed.harness("score", str(store[0]), *words)

    resources = json.loads(done.stdout)["resources"]
    assert {"switches": pytest.approx(1 / 3), "time": pytest.approx(2 / 3)} == {
        name: about["weight"] for name, about in resources.items()
    }
    assert rows(done.stdout)[0]["pepr"] is not None


def test_its_own_tests_pass_in_pytest(installed: FreshEnvironment, source: Path) -> None:
    done = installed.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(source), str(source))

    assert 0 == done.returncode, done.stdout
    assert "passed" in done.stdout
