"""A score that is a formula of resources, such as energy times time: `FormulaScore`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen, validators

from harness.errors import HarnessError, unknown

if TYPE_CHECKING:
    import pandas

    from harness.pepr import Floats
    from harness.scoring.score import Score
    from harness.scoring.seeds import Lines


@frozen
class FormulaScore:
    """What a plugin registers for a score that is computed from the resources of each row alone.

    `formula` is called once with NumPy arrays `float64 [lines]`, by the names of its parameters: resources in their
    units (`energy` in J, `time` in s), and `performance` in [0, 1] if it has a parameter of that name. It returns an
    array as long. `name` is that of the score and of its column, `unit` its unit. The largest ranks first, or with
    `smaller_is_better` the smallest.
    """

    name: str = field(validator=validators.and_(validators.instance_of(str), validators.min_len(1)))
    formula: Callable[..., Any] = field(validator=validators.is_callable())
    unit: str | None = None
    smaller_is_better: bool = False

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources that the formula takes."""
        return tuple(name for name in inspect.signature(self.formula).parameters if name != "performance")

    def __call__(
        self,
        frame: pandas.DataFrame,
        resources: Mapping[str, float] | None = None,
        *,
        units: Mapping[str, str | None] | None = None,
        gaps: Mapping[str, Sequence[str | None]] | None = None,
        phase: str = "train",
    ) -> Score:
        """Return the score of each model in each group of *frame*, which is as `score_table` takes it.

        *resources* are shown too, beside those of the formula. A row that lacks one of the formula's has no score but
        a reason; several seeds are scored each, and their mean is the row's. Raises HarnessError for a column that is
        not there, or where the formula gives anything else than a number for each line.
        """
        from harness.scoring.score import Score
        from harness.scoring.scored_rows import complete, lost_seeds, numbers, ranked, reasons
        from harness.scoring.seeds import join_seeds

        weights = {**dict.fromkeys(resources or {}, 0.0), **dict.fromkeys(self.resources, 1.0)}
        self._check(frame, weights)
        values = {name: numbers(frame, name) for name in ("performance", *weights)}
        known = complete(values["performance"], values, weights)
        lines = join_seeds(frame, known)
        columns = self._columns(frame, lines, values, self._scores(values, known))
        columns["reason"] = reasons(columns, self.name, frame, lines, weights, gaps or {}, self._why_unscored)
        return Score(
            ranked(columns, self.name, lines, self.smaller_is_better),
            weights,
            units or {},
            bounds=None,
            alpha=None,
            phase=phase,
            warnings=tuple(lost_seeds(columns, lines)),
            name=self.name,
            unit=self.unit,
            smaller_is_better=self.smaller_is_better,
        )

    def _columns(
        self, frame: pandas.DataFrame, lines: Lines, values: Mapping[str, Floats], scores: Floats
    ) -> dict[str, Any]:
        """The columns in the order of the CSV; the reasons are filled in later."""
        columns: dict[str, Any] = {name: frame[name].array.take(lines.first) for name in ("model", "group")}
        columns |= {name: lines.mean(column) for name, column in values.items()}
        columns |= {self.name: lines.mean_of_all(scores), "reason": None, "seeds": lines.counted}
        for name, column in (("performance", values["performance"]), (self.name, scores)):
            columns[f"{name}_low"], columns[f"{name}_high"] = lines.interval(column, columns[name])
        return columns

    def _check(self, frame: pandas.DataFrame, weights: Mapping[str, float]) -> None:
        from harness.scoring.score import COLUMNS

        for name in weights:
            if name in COLUMNS:
                raise HarnessError(f"a resource cannot be called {name!r}, a column of the scores; rename it")
            if name not in frame:
                raise unknown("resource", name, [str(column) for column in frame.columns if column not in COLUMNS])
        if self.name in weights or self.name in COLUMNS:
            raise HarnessError(f"a score cannot be called {self.name!r}, like another column; rename it")

    def _scores(self, values: Mapping[str, Floats], known: Any) -> Floats:
        """Return the formula's value of each line, NaN where something lacks or it is no finite number."""
        import numpy as np

        scores: Floats = np.full(len(known), np.nan)
        if not known.any():
            return scores
        with np.errstate(all="ignore"):
            found = self.formula(**{name: values[name][known] for name in inspect.signature(self.formula).parameters})
        found = np.asarray(found)
        if found.shape != (int(known.sum()),) or found.dtype.kind not in "fiub":
            raise HarnessError(
                f"the formula of score {self.name!r} gave {found.dtype} {list(found.shape)}, "
                f"not a number for each of {int(known.sum())} lines; correct it"
            )
        scores[known] = np.where(np.isfinite(found), found, np.nan)
        return scores

    def _why_unscored(self, columns: Mapping[str, Any], row: int) -> str:
        return f"{self.name} is no finite number"
