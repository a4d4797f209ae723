"""The meters of one suite, and windows with them that end where they are told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import Factory, define

from harness.measuring.block import open_meters
from harness.measuring.window import Window
from harness.records import Metered


@define
class SuiteMeters:
    """Those meters that the suite named, shared with all else that meters in this process.

    Which they are is settled when they are opened: a meter that begins to work in between is none of the suite's.
    """

    asked: Sequence[str]
    options: Mapping[str, str | float] = Factory(dict)
    names: Sequence[str] = ()

    def open(self) -> Sequence[str]:
        """Open them and return their names. Raises HarnessError for one that is unknown or does not work here."""
        self.names = open_meters(self.asked, self.options)[1]
        return self.names

    def begin(self) -> CallWindow:
        """Begin a window; errors as `open`."""
        stack, names = open_meters(self.names or self.open(), self.options)
        return CallWindow(Window(stack, names, {}, sharp=True))


@define
class CallWindow:
    """A window around calls."""

    _window: Window

    def end(self, calls: int, seconds: float) -> Metered:
        """End the window, which held *calls* calls that took *seconds* in all, and return its readings."""
        self._window.stop()
        readings, missing = tuple(self._window.readings), tuple(self._window.missing)
        return Metered(calls, seconds, (self._window.edges_ns,), readings, missing)
