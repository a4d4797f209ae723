"""The table of carbon intensities: what is in it, and how a place is found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.plugins.carbon_table import YEARLY_SPREAD, find_place, harness_carbon_intensity, places


def test_every_row_is_whole() -> None:
    odd = [
        place
        for place in places().values()
        if not re.fullmatch(r"[A-Z]{2}(-[A-Z]{2})?", place.code)
        or not re.fullmatch(r"[A-Z]{3}" if len(place.code) == 2 else "", place.alpha3)
        or not (place.name and place.source and 2000 < place.year < 2030)
    ]

    assert [] == odd


def test_no_place_has_electricity_without_carbon_or_more_than_burnt_coal() -> None:
    # The worst coal is below 1.4 kg/kWh; 0 is a figure that was not known.
    assert [] == [place for place in places().values() if not 15 < place.grams_per_kwh < 1400]


def test_codes_are_there_once() -> None:
    three = [place.alpha3 for place in places().values() if place.alpha3]

    assert len(three) == len(set(three)) == sum(len(code) == 2 for code in places())


@pytest.mark.parametrize(
    ("code", "low", "high"),
    [
        ("FR", 40, 65),
        ("DK", 120, 180),
        ("PL", 550, 700),
        ("US", 350, 410),
        ("NO", 20, 35),
        ("SE", 20, 50),
        ("DE", 300, 400),
        ("GB", 180, 250),
        ("IN", 650, 750),
        ("ZA", 650, 750),
        ("NA", 30, 90),
        ("US-WV", 800, 950),
        ("US-VT", 10, 40),
        ("CA-QC", 1, 40),
        ("CN-YN", 100, 200),
    ],
)
def test_figures_are_where_other_publications_have_them(code: str, low: float, high: float) -> None:
    assert low <= places()[code].grams_per_kwh <= high


@pytest.mark.parametrize(
    ("location", "code"),
    [("FR", "FR"), ("fra", "FR"), (" dk ", "DK"), ("us-ca", "US-CA"), ("USA-CA", "US-CA"), ("DK-DK1", "DK")],
)
def test_a_place_is_found_by_any_iso_code(location: str, code: str) -> None:
    assert code == find_place(location).code


@pytest.mark.parametrize(
    ("location", "hint"),
    [
        ("DX", "near: DE (Germany), DJ (Djibouti), DK (Denmark), "),
        ("Denmark", "near: DK (Denmark); "),
        ("UK", "near: GB (United Kingdom); "),
        ("US-CX", "near: US-CA (California), US-CO (Colorado), "),
        ("FRX", "give an ISO 3166 code such as DK or US-CA, or --carbon-intensity G_PER_KWH"),
        ("DK-", "give an ISO 3166 code"),
    ],
)
def test_an_unknown_place_is_refused_with_those_near(location: str, hint: str) -> None:
    with pytest.raises(HarnessError, match=f"unknown location '{location}'; {re.escape(hint)}"):
        find_place(location)


def test_the_answer_names_its_source_and_year_and_is_no_sample() -> None:
    answer = harness_carbon_intensity(location="FR")

    assert answer is not None
    assert answer["source"] == "Ember via Our World in Data (life cycle CO2e), mean of 2024 in France"
    assert answer["uncertainty"] == YEARLY_SPREAD * answer["grams_per_kwh"]
    assert "sampled" not in answer


def test_a_country_that_stands_for_its_region_is_told() -> None:
    answer = harness_carbon_intensity(location="DK-DK1")

    assert answer is not None
    assert answer["source"].endswith("in Denmark, for want of a figure of the region")


def test_no_location_has_no_answer() -> None:
    assert harness_carbon_intensity(location=None) is None


def test_registering_reads_no_table_and_knows_no_network() -> None:
    program = (
        "import sys; from harness.plugins_loader import load_plugins; load_plugins();"
        "from harness.plugins.carbon_table import places; assert places.cache_info().currsize == 0;"
        "assert not {'urllib.request', 'http.client', 'harness.plugins.carbon_live'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_the_documentation_prints_is_what_its_program_prints(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parent.parent / "docs" / "carbon.md").read_text(encoding="utf-8")
    program = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "places()" in block)
    exec(program, {})

    printed = capsys.readouterr().out
    assert printed.strip()
    assert f"```\n{printed}```" in text
