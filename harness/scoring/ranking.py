"""From a source to its ranking: read, choose the resources, score, and write the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from harness.errors import HarnessError, unknown
from harness.quantities import LETTERS
from harness.scoring.bounds import Bounds, read_bounds
from harness.scoring.reducer import Reducer
from harness.scoring.score import Score
from harness.scoring.score_report import warn, write_score
from harness.scoring.score_table import score_table
from harness.sources.source import read_source
from harness.sources.table import Query, Table


@frozen
class Request:
    """What to score and how.

    `weights` are by resource or letter; None: those letters that all rows have readings for, each on its own, ranked
    by the first of them. `also` are resources to be shown but not counted. `bounds` is the file of an earlier
    cohort's. `normalization` None: that of `bounds`, else minmax. `reducer` is another score than PePR.
    """

    query: Query = field(factory=Query)
    weights: Mapping[str, float] | None = None
    alpha: float = 1.0
    normalization: str | None = None
    bounds: Path | None = None
    pareto: bool = False
    also: tuple[str, ...] = ()
    reducer: Reducer | None = None
    stability: bool = False

    def __attrs_post_init__(self) -> None:
        """Raise HarnessError for an option that the score has no use for."""
        if self.reducer is None:
            return
        given = {"alpha": self.alpha != 1, "normalization": self.normalization, "bounds": self.bounds}
        given |= {"pareto": self.pareto, "stability": self.stability}
        for option, value in given.items():
            if value and not self.reducer.takes(option):
                name = "normalize" if option == "normalization" else option
                raise HarnessError(f"--{name} does not go with --score {self.reducer.name}; leave one of them out")
        if self.weights and self.reducer.resources is not None:
            own = ", ".join(self.reducer.resources)
            raise HarnessError(f"--score {self.reducer.name} is made of {own}; leave --resource out")

    @property
    def whole_query(self) -> Query:
        """The query for all that is to be scored and shown."""
        return evolve(self.query, resources=self.named, also=self.also)

    @property
    def named(self) -> tuple[str, ...] | None:
        """The resources that the score is made of, where that is known without looking at the source."""
        if self.reducer is not None and self.reducer.resources is not None:
            return self.reducer.resources
        return None if self.weights is None else tuple(self.weights)


def rank(
    source: Path,
    request: Request | None = None,
    *,
    format: str = "table",
    output: Path | None = None,
    strict: bool = True,
) -> Score:
    """Score *source*, write the ranking to *output* (None: stdout) and warnings to stderr; return the score.

    With *strict* it is an error if no row can be scored, else such rows are shown with their reasons.
    Raises HarnessError for a source that cannot be read or a request that it cannot answer.
    """
    score = score_source(source, request, strict=strict)
    warn(score)
    write_score(score, format, output)
    return score


def score_source(source: Path, request: Request | None = None, *, strict: bool = True) -> Score:
    """Return the score of *source*; errors as `rank`."""
    request = request or Request()
    return score_request(read_request(source, request), request, strict=strict)


def read_request(source: Path, request: Request) -> Table:
    """Return the table in *source* with all that *request* needs. Raises HarnessError where it lacks some of that."""
    return read_source(source, request.whole_query)


def score_request(table: Table, request: Request, *, strict: bool = True) -> Score:
    """Return the score of *table*; errors as `rank`."""
    weights, alone = chosen_weights(table, request, strict)
    bounds = None if request.bounds is None else given_bounds(request.bounds, request)
    reducer = request.reducer or score_table
    score = reducer(
        _with_missing(table, weights),
        weights,
        units={name: table.units.get(name) for name in weights},
        gaps=table.gaps,
        alpha=request.alpha,
        normalization=request.normalization or "minmax",
        bounds=bounds,
        phase=request.query.phase,
        alone=alone,
        pareto=request.pareto,
        stability=request.stability,
    )
    if strict and score.table[score.name].isna().all():
        raise HarnessError(f"no row can be scored; the first: {score.table['model'][0]}: {score.table['reason'][0]}")
    told = [text for resource, text in table.warnings if resource is None or resource in weights]
    return evolve(score, warnings=(*told, *score.warnings))


def given_bounds(path: Path, request: Request) -> Bounds:
    """Return the bounds in the file *path*. Raises HarnessError where they are not such as *request* asks for."""
    bounds = read_bounds(path)
    if request.normalization not in (None, bounds.normalization):
        told = f"the bounds in {str(path)!r} are {bounds.normalization}"
        raise HarnessError(f"{told}, not {request.normalization}; leave --normalize out, or --bounds")
    if bounds.phase not in (None, request.query.phase):
        told = f"the bounds in {str(path)!r} are of phase {bounds.phase}"
        raise HarnessError(f"{told}, not {request.query.phase}; add --phase {bounds.phase}, or leave --bounds out")
    return bounds


def chosen_weights(table: Table, request: Request, strict: bool) -> tuple[dict[str, float], dict[str, str]]:
    """Return the weight of each resource, and the resources that are scored alone, by letter.

    Raises HarnessError for a resource that *table* has not, and with *strict* where it is complete in none.
    """
    shown = _resolved(table, dict.fromkeys(request.also, 0.0))
    if request.reducer is not None and request.reducer.resources is not None:
        own = dict.fromkeys(request.reducer.resources, 1.0)
        return {**shown, **(_resolved(table, own) if strict else own)}, {}
    if request.weights is not None:
        return {**shown, **_resolved(table, request.weights)}, {}

    alone = _complete_letters(table)
    if not alone and not strict:
        alone = {letter: name for letter, name in table.letters.items() if letter != "D"} or {"E": "energy"}
    if not alone:
        raise HarnessError(
            "no resource was read for every row; name one with --resource: "
            f"{', '.join(table.resources) or 'the name of its column'}"
        )
    first = next((letter for letter in ("E", "T") if letter in alone), next(iter(alone)))
    return {**shown, **{name: float(letter == first) for letter, name in alone.items()}}, alone


def _resolved(table: Table, weights: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for asked, weight in weights.items():
        name = table.resolve(asked)
        if name not in table.frame and name not in table.gaps:
            raise unknown("resource", asked, [*table.resources, *table.letters])
        if name in found:
            raise HarnessError(f"resource {name!r} is asked for twice; name it once")
        found[name] = weight
    return found


def _complete_letters(table: Table) -> dict[str, str]:
    """The letters, in the paper's order of importance, that every line with a performance has a reading for."""
    ran = table.frame["performance"].notna()
    lines = table.frame[ran] if ran.any() else table.frame
    found = {}
    for letter in LETTERS:
        name = table.letters.get(letter)
        if name in lines and (np.isfinite(lines[name]).all() or not ran.any()) and not _idle(letter, lines, str(name)):
            found[letter] = str(name)
    return found


def _idle(letter: str, lines: Any, name: str) -> bool:
    """Whether the letter says nothing: all rows of each group were trained on as much data."""
    return letter == "D" and bool((lines.groupby("group")[name].nunique() <= 1).all())


def _with_missing(table: Table, weights: Mapping[str, float]) -> Any:
    absent = {name: np.nan for name in weights if name not in table.frame}
    return table.frame.assign(**absent) if absent else table.frame
