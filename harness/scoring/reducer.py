"""A registered score as it is called: with the options that it takes, and its plugin named where it fails."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.errors import HarnessError, shown, told
from harness.interruption import is_ctrl_c
from harness.scoring.score import NAMED, Score, scored_columns

if TYPE_CHECKING:
    import pandas

_VARIABLE = inspect.Parameter.VAR_KEYWORD


@frozen
class Reducer:
    """The score *name* of a plugin: `function(frame, resources, **options) -> Score`.

    It is called with those of the options of `scoring.score_table.score_table` that it names. If it has an attribute
    `resources`, it reads these and no weights are asked for.
    """

    name: str
    plugin: str
    function: Callable[..., Any]

    @property
    def resources(self) -> tuple[str, ...] | None:
        """The resources that the score is made of; None: those that the user names, with weights."""
        own = getattr(self.function, "resources", None)
        return None if own is None else tuple(own)

    def takes(self, option: str) -> bool:
        """Say whether the score has use for *option*, such as "alpha"."""
        parameters = inspect.signature(self.function).parameters
        return option in parameters or any(one.kind is _VARIABLE for one in parameters.values())

    def __call__(self, frame: pandas.DataFrame, resources: dict[str, float], **options: Any) -> Score:
        """Return the score of *frame*.

        Raises HarnessError, exit code 1, that names the plugin where it raises or gives anything else; a HarnessError
        of the plugin goes through.
        """
        try:
            wanted = {name: value for name, value in options.items() if self.takes(name)}
            score = self.function(frame, resources, **wanted)
        except HarnessError:
            raise
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            raise self._fault(f"raised {told(error)}") from error
        if not isinstance(score, Score):
            raise self._fault(f"gave {shown(score)}, which is no Score")
        lacking = [name for name in (*NAMED, *scored_columns(score.name), *score.weights) if name not in score.columns]
        if lacking:
            raise self._fault(f"gave a Score without the columns {', '.join(lacking)}")
        return score

    def _fault(self, what: str) -> HarnessError:
        error = HarnessError(f"score {self.name!r} of plugin {self.plugin} {what}; without --score, PePR is computed")
        error.exit_code = 1
        return error
