"""The one error that a user is shown as a single line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """A mistake in the request: printed as one line without a traceback, then `exit_code`.

    The message names the thing, the value and the way out.
    """

    exit_code: int = 2


class DivergedError(Exception):
    """The loss or the performance is no longer a finite number: the trial ends as `diverged`."""


def told(error: BaseException) -> str:
    """Return "Type: text" of an *error* of somebody else's code, whose text may itself fail."""
    try:
        text = str(error)
    except BaseException:
        return f"{type(error).__name__}, which cannot say more"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shown(value: object) -> str:
    """Return what *value*, of somebody else's code, looks like; its type where even that fails."""
    try:
        return f"{value!r:.200}" if isinstance(value, str) else repr(value)[:200]
    except BaseException:
        return f"a {type(value).__name__}"


def unknown(kind: str, name: str, available: Iterable[str], hint: str = "") -> HarnessError:
    """Return the error for a *name* that no *kind* bears, with the nearest names that one does."""
    names = sorted(set(available))
    near = difflib.get_close_matches(name, names, n=3)
    guess = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    listed = f"{'' if guess else ';'} available: {', '.join(names)}" if 0 < len(names) <= 12 else ""
    return HarnessError(f"unknown {kind} {name!r}{guess}{listed}{'; ' + hint if hint else ''}")
