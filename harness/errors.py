"""The one error that a user is shown as a single line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# What a plugin may raise without harm to others. A real Ctrl-C (KeyboardInterrupt) goes through.
FAULTS = (Exception, SystemExit)


class HarnessError(Exception):
    """A mistake in the request: printed as one line without a traceback, exit code 2.

    The message names the thing, the value and the way out.
    """


def unknown(kind: str, name: str, available: Iterable[str], hint: str = "") -> HarnessError:
    """Return the error for a *name* that no *kind* bears, with the nearest names that one does."""
    names = sorted(set(available))
    near = difflib.get_close_matches(name, names, n=3)
    guess = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    listed = f"{'' if guess else ';'} available: {', '.join(names)}" if 0 < len(names) <= 12 else ""
    return HarnessError(f"unknown {kind} {name!r}{guess}{listed}{'; ' + hint if hint else ''}")
