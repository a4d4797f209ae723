"""The power of a device over time, recorded or made up, whose energy is known in closed form."""

from __future__ import annotations

import bisect
import csv
import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import field, frozen

from harness.errors import HarnessError
from harness.output_file import write_file

COLUMNS = ("seconds", "watts")


def _numbers(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


@frozen
class PowerTrace:
    """Power in `watts` at moments in `seconds`, counted from the first of them; in between, straight lines.

    Raises HarnessError for fewer than two moments, moments that do not rise, or a power that is negative or not finite.
    """

    seconds: tuple[float, ...] = field(converter=_numbers)
    watts: tuple[float, ...] = field(converter=_numbers)
    # The joules from the first moment to each.
    _joules: tuple[float, ...] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        _check(self.seconds, self.watts)
        first = self.seconds[0]
        object.__setattr__(self, "seconds", tuple(moment - first for moment in self.seconds))
        spans = itertools.pairwise(zip(self.seconds, self.watts, strict=True))
        areas = ((after - before) * (low + high) / 2 for (before, low), (after, high) in spans)
        object.__setattr__(self, "_joules", tuple(itertools.accumulate(areas, initial=0.0)))

    @classmethod
    def of(cls, samples: Iterable[tuple[float, float]]) -> PowerTrace:
        """Return the trace of (seconds, watts)."""
        seconds, watts = itertools.tee(samples)
        return cls((moment for moment, _ in seconds), (power for _, power in watts))

    @classmethod
    def read(cls, path: Path | str) -> PowerTrace:
        """Return the trace in a CSV file with columns `seconds` and `watts`; others are left alone.

        Raises HarnessError for a file that cannot be read or holds anything else.
        """
        try:
            with Path(path).open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return cls.of([(float(row["seconds"]), float(row["watts"])) for row in rows])
        except OSError as error:
            raise HarnessError(f"cannot read the trace '{path}': {error.strerror}") from error
        except (KeyError, TypeError, ValueError) as error:
            wanted = " and ".join(COLUMNS)
            raise HarnessError(
                f"the trace '{path}' needs columns {wanted}, with a number in each row: {error}"
            ) from error

    def write(self, path: Path | str) -> None:
        """Write the CSV file that `read` takes. Raises HarnessError where that cannot be done."""
        rows = [",".join(COLUMNS), *(f"{s!r},{w!r}" for s, w in zip(self.seconds, self.watts, strict=True))]
        write_file(Path(path), "".join(f"{row}\n" for row in rows).encode())

    @property
    def duration(self) -> float:
        """The seconds from the first moment to the last."""
        return self.seconds[-1]

    def power(self, moment: float) -> float:
        """Return the watts at *moment* [s]; raises ValueError outside the trace."""
        last = self._segment(moment)
        before, after = self.seconds[last], self.seconds[last + 1]
        share = (moment - before) / (after - before)
        return self.watts[last] + share * (self.watts[last + 1] - self.watts[last])

    def energy(self, start: float, stop: float) -> float:
        """Return the joules from *start* to *stop* [s], the exact integral; raises ValueError outside the trace."""
        return self._energy_until(stop) - self._energy_until(start)

    def _energy_until(self, moment: float) -> float:
        last = self._segment(moment)
        mean = (self.watts[last] + self.power(moment)) / 2
        return self._joules[last] + (moment - self.seconds[last]) * mean

    def _segment(self, moment: float) -> int:
        if not 0 <= moment <= self.duration:
            raise ValueError(f"{moment:g} s lies outside the trace, which has {self.duration:g} s")
        return min(bisect.bisect_right(self.seconds, moment), len(self.seconds) - 1) - 1


def _check(seconds: Sequence[float], watts: Sequence[float]) -> None:
    if len(seconds) != len(watts) or len(seconds) < 2:
        raise HarnessError(f"a trace needs two moments or more, a power for each; has {len(seconds)} and {len(watts)}")
    for before, after in itertools.pairwise(seconds):
        if not -math.inf < before < after < math.inf:
            raise HarnessError(f"the moments of a trace must rise, but {after:g} s follows {before:g} s")
    for power in watts:
        if not 0 <= power < math.inf:
            raise HarnessError(f"the power in a trace must be finite and not negative, is {power:g} W")
