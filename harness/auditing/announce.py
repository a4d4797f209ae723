"""One line on stderr where what was just added to a store cannot be right."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection
from pathlib import Path

from harness.auditing.audit import about, audit_source
from harness.errors import HarnessError
from harness.store.reading import open_reader


def announce(store: Path, trials: Collection[str] | None = None) -> None:
    """Tell how much an audit of *store* finds in *trials*, their keys, or in those of its newest study (None).

    They are held against all that the store holds. Says nothing where nothing is found, or nothing has finished.
    """
    try:
        told = _told(store, trials)
    except HarnessError:
        # What was asked for is done and stored: that there is nothing to audit in it is no error of it.
        told = None
    except Exception as error:
        # Nor is a fault of the audit, which `harness audit` shows in full.
        told = f"{store} could not be audited ({type(error).__name__}: {' '.join(str(error).split())})"
    if told is not None:
        print(f"harness: warning: {told}", file=sys.stderr)


def _told(store: Path, trials: Collection[str] | None) -> str | None:
    chosen = _newest(store) if trials is None else trials
    found = about(audit_source(store), chosen)
    return f"{found.summary()} (`harness audit {shlex.quote(str(store))}` shows them)" if found.findings else None


def _newest(store: Path) -> set[str]:
    with open_reader(store) as reader:
        trials = reader.trials(accepted=True)
    last = max((trial["study"] for trial in trials), default=None)
    return {trial["trial"] for trial in trials if trial["study"] == last}
