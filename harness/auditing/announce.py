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
        chosen = _newest(store) if trials is None else trials
        found = about(audit_source(store), chosen)
    except HarnessError:
        # What was asked for is done and stored: that there is nothing to audit in it is no error of it.
        return
    if found.findings:
        told = f"{found.summary()} (`harness audit {shlex.quote(str(store))}` shows them)"
        print(f"harness: warning: {told}", file=sys.stderr)


def _newest(store: Path) -> set[str]:
    with open_reader(store) as reader:
        trials = reader.trials(accepted=True)
    last = max((trial["study"] for trial in trials), default=None)
    return {trial["trial"] for trial in trials if trial["study"] == last}
