"""Grams of CO2e from the command line to the table: `harness run --meter carbon`, and `harness score` afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.plugins.carbon_table import YEARLY_SPREAD, places
from harness.store.reading import open_reader

BARE = ("--plugin", "chaos", "--plugin", "fake_rapl", "--executor", "bare", "--dataset", "nothing", "--device", "cpu")
# Every window takes a kilowatt-hour, so that the grams are those of the intensity.
FAKE_RAPL = """
from harness.hookspecs import hookimpl
from harness.records import Reading

class FakeRapl:
    def __init__(self, options): ...
    def unavailable(self): return None
    def open(self): ...
    def mark(self): return None
    def between(self, start, stop):
        return [Reading("energy_cpu", 3.6e6, "J", 3.6e4, "counter")]
    def close(self): ...

@hookimpl
def harness_register_meters(register):
    register("fake-rapl", FakeRapl, resources=("energy_cpu",))
"""


@pytest.fixture(autouse=True)
def _plugins_are_importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "fake_rapl.py").write_text(FAKE_RAPL)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plugins"), prepend=os.pathsep)


def harness(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | environment,
    )


def run(*extra: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = ("--model", "done", "--meter", "fake-rapl", "--meter", "carbon")
    return harness("run", *BARE, *words, *extra, **environment)


def stored(table: str = "readings") -> list[dict[str, Any]]:
    with open_reader(Path("harness.sqlite")) as reader:
        rows: list[dict[str, Any]] = getattr(reader, table)()
    return [row for row in rows if row["resource"] == "carbon_intensity" and row["epoch"] is None]


def grams(*options: str) -> float:
    """The carbon in the table of `harness score`."""
    told = harness("score", "harness.sqlite", "--resource", "C", "--format", "json", *options)
    assert 0 == told.returncode, told.stderr
    (row,) = json.loads(told.stdout)["rows"]
    return float(row["resources"]["carbon"]["value"])


def test_grams_go_from_the_location_to_the_table() -> None:
    done = run("--model", "bright", "--location", "FR")

    assert 0 == done.returncode, done.stderr
    assert {"carbon", "[g]", "PePR-C"} <= set(done.stdout.splitlines()[0].split())
    assert 2 == len(stored())
    france = places()["FR"].grams_per_kwh
    for row in stored():
        assert (france, YEARLY_SPREAD * france, "g/kWh", "estimated", "carbon") == tuple(
            row[name] for name in ("value", "uncertainty", "unit", "source", "meter")
        )
        assert row["note"] == "Ember via Our World in Data (life cycle CO2e), mean of 2024 in France"


def test_grams_are_the_stored_joules_times_intensity_and_pue() -> None:
    run("--carbon-intensity", "56", "--pue", "1.5")

    assert pytest.approx(56 * 1.5) == grams()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--carbon-intensity", "30"), 30 * 1.5),
        (("--carbon-intensity", "30", "--pue", "1"), 30),
        (("--carbon-intensity", "30", "--pue", "2"), 60),
        (("--pue", "1.2"), 56 * 1.2),
    ],
    ids=["intensity", "intensity, no PUE", "both", "PUE"],
)
def test_grams_are_computed_anew_from_stored_joules(options: tuple[str, ...], expected: float) -> None:
    run("--carbon-intensity", "56", "--pue", "1.5")

    assert pytest.approx(expected) == grams(*options)


def test_a_given_intensity_is_stored_as_given() -> None:
    run("--carbon-intensity", "56")

    assert [(56.0, 0.0, "estimated", "given")] == [
        (row["value"], row["uncertainty"], row["source"], row["note"]) for row in stored()
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "meter 'carbon' does not work here: no location is given; give --location with an ISO 3166 code"),
        (("--location", "DX"), "meter 'carbon' does not work here: unknown location 'DX'; near: DE (Germany), "),
        (("--location", "FR", "--carbon-live"), "'FR', which takes a token; set ELECTRICITYMAPS_TOKEN"),
        (("--carbon-intensity", "-1"), "Invalid value for '--carbon-intensity'"),
        (("--location", "FR", "--pue", "0.5"), "Invalid value for '--pue'"),
    ],
    ids=["nowhere", "unknown", "no token", "negative", "PUE"],
)
def test_what_cannot_be_told_is_one_line_and_exit_code_2(options: tuple[str, ...], message: str) -> None:
    refused = run(*options, ELECTRICITYMAPS_TOKEN="")

    assert 2 == refused.returncode
    assert 1 == len(refused.stderr.splitlines()), refused.stderr
    assert message in refused.stderr
    assert not Path("harness.sqlite").exists()


def test_auto_leaves_carbon_out_without_a_location_and_says_so() -> None:
    done = harness("run", *BARE, "--model", "done")

    assert 0 == done.returncode, done.stderr
    assert 1 == done.stderr.count("meters left out: ")
    assert ", carbon" in done.stderr
    assert [] == stored()


def test_auto_takes_carbon_with_a_location() -> None:
    done = harness("run", *BARE, "--model", "done", "--location", "dnk")

    assert 0 == done.returncode, done.stderr
    assert [places()["DK"].grams_per_kwh] == [row["value"] for row in stored()]


def test_a_live_provider_that_cannot_be_reached_is_told_and_the_table_answers() -> None:
    nobody = {"HARNESS_UKCARBON_URL": "http://127.0.0.1:9"}
    done = run("--location", "GB", "--carbon-live", **nobody)

    assert 0 == done.returncode, done.stderr
    assert 1 == done.stderr.count("UK Carbon Intensity API tells no carbon intensity at GB (URLError: ")
    assert ["Ember via Our World in Data (life cycle CO2e), mean of 2024 in United Kingdom"] == [
        row["note"] for row in stored()
    ]
