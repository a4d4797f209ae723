"""From a source to its ranking: read, choose the resources, score, and write the result."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from harness.errors import HarnessError, unknown
from harness.output_file import write_file
from harness.quantities import LETTERS, format_quantity
from harness.scoring.bounds import Bounds, read_bounds
from harness.scoring.reducer import Reducer
from harness.scoring.score import PEPR, Score
from harness.scoring.score_table import score_table
from harness.sources.source import read_source
from harness.sources.table import Query, Table
from harness.tables import print_table, render_json, write_table


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
    return read_source(source, evolve(request.query, resources=request.named, also=request.also))


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


def warn(score: Score) -> None:
    """Tell what makes the *score* doubtful on stderr."""
    for text in score.warnings:
        print(f"harness: warning: {text}", file=sys.stderr)


def write_score(score: Score, format: str, output: Path | None) -> None:
    """Write *score* in *format*, one of `tables.FORMATS`, to *output* or stdout. Raises HarnessError if it cannot."""
    if format == "json":
        return write_text(render_json(score.document()), output)
    if format != "table" or output is not None:
        return write_table(score.flat_rows, score.columns, format, output)

    print_table(shown_rows(score), shown_columns(score))
    for line in [*bounds_lines(score), *([score.stability.told()] if score.stability else [])]:
        print(line)
    return None


def write_text(text: str, output: Path | None) -> None:
    """Write *text* and a newline to *output* or stdout."""
    if output is None:
        print(text)
    else:
        write_file(output, f"{text}\n".encode())


def shown_columns(score: Score) -> list[str]:
    """Return the columns of the table for people; those that say nothing are left out."""
    table = score.table
    columns = ["model"]
    columns += ["group"] if table["group"].nunique() > 1 else []
    columns += ["performance", *[_title(score, name) for name in score.weights]]
    columns += [f"PePR-{letter}" for letter in score.alone] or [_score_title(score)]
    columns += ["95 % interval", "seeds"] if (table["seeds"] > 1).any() else []
    columns += ["first in", "beats next"] if score.stability else []
    columns += ["front"] if "pareto" in table else []
    return columns + (["reason"] if table["reason"].notna().any() else [])


def shown_rows(score: Score) -> list[dict[str, Any]]:
    """Return the rows of the table for people."""
    return [_shown(score, row) for row in score.flat_rows]


def bounds_lines(score: Score) -> list[str]:
    """Return one line for each resource and group: the bounds that its costs were normalised with, if any."""
    if score.bounds is None:
        return []
    lines = []
    for name in score.weights:
        for group, (low, high) in score.bounds.groups.get(name, {}).items():
            where = f" of {group}" if score.table["group"].nunique() > 1 else ""
            unit = score.units.get(name)
            span = f"{format_quantity(low, unit)} to {format_quantity(high, unit)}"
            lines.append(f"bounds ({score.bounds.normalization}) of {name}{where}: {span}")
    return lines


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


def _shown(score: Score, row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("model", "group", "performance", "seeds", "reason")}
    shown |= {_title(score, name): _for_people(row[name], score.units.get(name)) for name in score.weights}
    shown |= {f"PePR-{letter}": row[f"pepr_{letter}"] for letter in score.alone} or {
        _score_title(score): row[score.name]
    }
    low, high = row[f"{score.name}_low"], row[f"{score.name}_high"]
    how = {"t": " (t)", "bootstrap": " (bootstrap)"}.get(row.get("interval") or "", "")
    shown["95 % interval"] = "none: one seed" if row["seeds"] == 1 else None
    if low is not None:
        ends = f"{low:.4f} to {high:.4f}" if score.name == PEPR else f"{low:.4g} to {high:.4g}"
        shown["95 % interval"] = ends + how
    shown["first in"] = _of_hundred(row.get("probability_first"))
    shown["beats next"] = _of_hundred(row.get("probability_beats_next"))
    if row.get("pareto"):
        shown["front"] = "knee" if row["knee"] else "front"
    return shown


def _of_hundred(chance: float | None) -> str | None:
    """ "71 of 100"; what is neither never nor always is not rounded to it."""
    if chance is None or chance in (0.0, 1.0):
        return None if chance is None else f"{chance * 100:.0f} of 100"
    return "<1 of 100" if chance < 0.005 else ">99 of 100" if chance > 0.995 else f"{chance * 100:.0f} of 100"


def _title(score: Score, name: str) -> str:
    unit = score.units.get(name)
    return f"{name} [{'MiB' if unit == 'B' else unit}]" if unit else name


def _for_people(value: float | None, unit: str | None) -> float | None:
    """Bytes as MiB; files keep bytes."""
    return value / 2**20 if value is not None and unit == "B" else value


def _score_title(score: Score) -> str:
    if score.name != PEPR:
        return f"{score.name} [{score.unit}]" if score.unit else score.name
    letters = {name: letter for letter, name in LETTERS.items()}
    names: Sequence[str] = [name for name, weight in score.weights.items() if weight > 0]
    return f"PePR-{letters[names[0]]}" if len(names) == 1 and names[0] in letters else "PePR"
