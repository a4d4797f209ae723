"""Groups of models side by side: read, split in two, test each measure in each group, correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, evolve, frozen

from harness.comparing.group_tests import (
    NOTHING,
    TESTS,
    Samples,
    benjamini_hochberg,
    common_language,
    difference_interval,
    hedges_g,
    holm,
    number,
    run_tests,
)
from harness.comparing.measures import Measure, measures_of
from harness.comparing.observations import lay_out, samples_of
from harness.comparing.sides import Question, Sides, read_sides
from harness.errors import HarnessError
from harness.pepr import group_codes
from harness.registry import Registry
from harness.scoring.ranking import Request
from harness.sources.table import Table, carried

# harness.compare-groups/1: the first.
SCHEMA = "harness.compare-groups/1"
AUTO = "auto"
# How many models a warning names.
_NAMED = 5


@frozen(eq=False)
class Comparison:
    """The answers, one row for each measure in each group, as the JSON document has them; `warnings` are for people."""

    by: str
    names: tuple[str, str]
    rows: list[dict[str, Any]]
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the JSON document `harness.compare-groups/1`."""
        return {"schema": SCHEMA, "by": self.by, "a": self.names[0], "b": self.names[1], "rows": self.rows}


def compare_groups(
    source: Path, request: Request, question: Question, registry: Registry, test: str = AUTO
) -> Comparison:
    """Return how the two sides that *question* makes differ in each measure, in each group of *source*.

    *test* is the one whose p is corrected over all questions: one of `TESTS`, or "auto", the paired t test where all
    observations of the smaller side pair, else Welch's. Raises HarnessError for a source that cannot be read, sides
    that are not two, and groups none of which has two observations on both.
    """
    sides = read_sides(source, request, question, registry)
    measures = measures_of(_scoring_table(sides, question.over), request)
    rows, warnings = [], [*sides.warnings, *_told(sides.table, measures)]
    codes, groups = group_codes(sides.table.frame["group"])
    for code, group in enumerate(groups):
        lines = np.flatnonzero(codes == code)
        if len(set(sides.side[lines])) < 2:
            warnings.append(f"{group or 'all'}: all rows are on one side, nothing to compare")
            continue
        layout = lay_out(sides, question.over, lines)
        for measure in measures:
            about = {"group": str(group) or "all", "measure": measure.name, "unit": measure.unit}
            samples, left_out = samples_of(layout, sides.side, measure.values)
            warnings += _left_out(left_out)
            rows.append(about | {"observations": layout.kind} | _answer(samples, test))
    if all(row["reason"] for row in rows):
        raise HarnessError(_nothing(question, rows))
    return Comparison(question.by, sides.names, _corrected(rows), tuple(dict.fromkeys(warnings)))


def _left_out(models: Sequence[str]) -> list[str]:
    more = [f"{len(models) - _NAMED} more"] if len(models) > _NAMED else []
    told = ", ".join([*models[:_NAMED], *more])
    return [f"left out, not being in all that is averaged over: {told}"] if told else []


def _scoring_table(sides: Sides, over: Sequence[str]) -> Table:
    """The table as PePR is to be scored: both sides in one cohort, with bounds of all, but not what is averaged over.

    A model that is on both sides is two rows.
    """
    frame = sides.table.frame
    model = [f"{name}\0{value}" for name, value in zip(frame["model"], sides.value, strict=True)]
    group = frame["group"].astype(str)
    for column in over:
        group = group + "\0" + frame[carried(column)].astype(str)
    return evolve(sides.table, frame=frame.assign(model=model, group=group))


def _told(table: Table, measures: Sequence[Measure]) -> list[str]:
    names = {measure.name for measure in measures}
    return [text for resource, text in table.warnings if resource is None or resource in names]


def _answer(samples: Samples, test: str) -> dict[str, Any]:
    """What one measure in one group has to say."""
    a, b = samples.a, samples.b
    about: dict[str, Any] = {"a": _summary(a), "b": _summary(b), "pairs": len(samples.paired_a)}
    if min(len(a), len(b)) < 2:
        short = f"{len(a)} and {len(b)} observations; a test needs two on each side"
        return about | dict.fromkeys((*_DIFFERENCE, "test", "p"), None) | {"tests": {}, "reason": short}

    found = run_tests(samples)
    chosen = _chosen(samples, test)
    answer = found.get(chosen, NOTHING)
    low, high = difference_interval(samples, TESTS[chosen])
    off = (samples.paired_a - samples.paired_b) if TESTS[chosen] else None
    difference = number(a.mean() - b.mean() if off is None else off.mean() if len(off) else np.nan)
    effects = (difference, low, high, hedges_g(a, b), common_language(a, b))
    reason = None if answer.p is not None else "too few pairs" if chosen not in found else _STIFF[TESTS[chosen]]
    tests = {name: asdict(tested) for name, tested in found.items()}
    return (
        about
        | dict(zip(_DIFFERENCE, effects, strict=True))
        | {
            "test": chosen,
            "p": answer.p,
            "tests": tests,
            "reason": reason,
        }
    )


_STIFF = {False: "the values do not vary", True: "the differences of the pairs do not vary"}
_DIFFERENCE = ("difference", "difference_low", "difference_high", "hedges_g", "common_language")


def _chosen(samples: Samples, test: str) -> str:
    if test != AUTO:
        return test
    return "paired" if len(samples.paired_a) == min(len(samples.a), len(samples.b)) else "welch"


def _summary(values: Any) -> dict[str, Any]:
    several = len(values) > 1
    return {
        "n": len(values),
        "mean": number(values.mean()) if len(values) else None,
        "sd": number(values.std(ddof=1)) if several else None,
    }


def _corrected(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add the p-values corrected over all questions that have one."""
    asked = [row["p"] for row in rows if row["p"] is not None]
    corrected = iter(zip(holm(asked), benjamini_hochberg(asked), strict=True))
    found = []
    for row in rows:
        strict, lenient = next(corrected) if row["p"] is not None else (None, None)
        found.append({**row, "p_holm": strict, "p_bh": lenient})
    return found


def _nothing(question: Question, rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return (
            f"no group has rows on both sides of {question.by}; put settings that differ into one with --group dataset"
        )
    return f"nothing can be tested by {question.by}: {rows[0]['measure']} of {rows[0]['group']}: {rows[0]['reason']}"
