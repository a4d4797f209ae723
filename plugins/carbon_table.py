"""The yearly mean carbon intensity of electricity by country, and of large ones by region: `carbon_table.csv`.

Each row names its year and its source; docs/carbon.md says how the table was made.
"""

from __future__ import annotations

import csv
import difflib
import functools
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from attrs import frozen

from harness.errors import HarnessError, unknown
from harness.hookspecs import hookimpl

# Half-width of the error bar, as a share of the yearly mean. In 2020 the intensity was that near to its mean in at
# least 99.4 % of the time in France, Great Britain and Germany (data of Wiesner et al., Let's Wait Awhile,
# https://doi.org/10.1145/3464298.3493399; docs/carbon.md has the figures).
YEARLY_SPREAD = 0.85
# Codes that others use, though ISO 3166 has another.
_ALIASES = {"UK": "GB", "EL": "GR"}
_MOST_HINTS = 6


@frozen
class Place:
    """One row: `code` is ISO 3166 alpha-2 or 3166-2, `alpha3` that of a country, else empty."""

    code: str
    alpha3: str
    name: str
    year: int
    grams_per_kwh: float
    source: str

    def __str__(self) -> str:
        return f"{self.code} ({self.name})"


@functools.cache
def places() -> Mapping[str, Place]:
    """Return the table by code. It is read at the first use, for `harness list` needs none of it."""
    text = (files("harness.plugins") / "carbon_table.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {
        row["code"]: Place(
            row["code"], row["alpha3"], row["name"], int(row["year"]), float(row["g_per_kwh"]), row["source"]
        )
        for row in rows
    }


def canonical(location: str) -> str:
    """Return *location* in capitals with its country as two letters: `dnk` is DK, `usa-ca` US-CA."""
    country, dash, region = location.strip().upper().partition("-")
    if len(country) == 3:
        country = next((place.code for place in places().values() if place.alpha3 == country), country)
    return country + dash + region


def find_place(location: str) -> Place:
    """Return the row of *location*; where the table has no regions of a country, the country's for any of them.

    Raises HarnessError with the nearest codes where there is none.
    """
    code = canonical(location)
    country, _, region = code.partition("-")
    if code in places():
        return places()[code]
    if not region or country not in places() or _regions(country):
        raise _unknown(location, code)
    return places()[country]


def _regions(country: str) -> list[Place]:
    return [place for place in places().values() if place.code.startswith(f"{country}-")]


def _unknown(location: str, code: str) -> HarnessError:
    near = [str(place) for place in _near(location, code)][:_MOST_HINTS]
    hint = "give an ISO 3166 code such as DK or US-CA, or --carbon-intensity G_PER_KWH"
    return unknown("location", location, (), f"near: {', '.join(near)}; {hint}" if near else hint)


def _near(location: str, code: str) -> list[Place]:
    """Return the places that may be meant: by another's code, by name, by a code with one other letter."""
    names = {place.name.casefold(): place for place in reversed(list(places().values()))}
    meant = [places()[_ALIASES[code]]] if code in _ALIASES else []
    meant += [names[name] for name in difflib.get_close_matches(location.casefold(), names, n=2, cutoff=0.8)]
    if not meant:
        meant = [place for place in places().values() if _differ_by_one(place.code, code)]
        meant.sort(key=lambda place: place.code[0] != code[0])
    return meant


def _differ_by_one(one: str, other: str) -> bool:
    return len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) == 1


@hookimpl(trylast=True)
def harness_carbon_intensity(location: str | None) -> Mapping[str, Any] | None:
    if location is None:
        return None

    place = find_place(location)
    whole = "" if place.code == canonical(location) else ", for want of a figure of the region"
    return {
        "grams_per_kwh": place.grams_per_kwh,
        "uncertainty": YEARLY_SPREAD * place.grams_per_kwh,
        "source": f"{place.source}, mean of {place.year} in {place.name}{whole}",
    }
