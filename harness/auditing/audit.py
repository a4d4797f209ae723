"""From a source to what cannot be right in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
from attrs import frozen

from harness.auditing.accuracy import find_impossible, find_outside
from harness.auditing.cohorts import find_mixtures
from harness.auditing.copies import find_copies
from harness.auditing.evidence import Evidence, Finding, Limits, Row
from harness.auditing.growth import find_clocks, find_negative, find_standstills, find_stopped_epochs
from harness.auditing.power import find_odd_powers
from harness.auditing.resolution import find_unresolved
from harness.auditing.store_evidence import store_evidence
from harness.auditing.table_evidence import table_evidence
from harness.sources.source import is_store
from harness.sources.table import Query

Check = Callable[[Evidence, Limits], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    find_copies,
    find_odd_powers,
    find_impossible,
    find_outside,
    find_negative,
    find_standstills,
    find_clocks,
    find_stopped_epochs,
    find_unresolved,
    find_mixtures,
)


@frozen
class Audit:
    """What an audit found in `rows`."""

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]

    def summary(self) -> str:
        """Return one line: how many findings of which kind, in how many rows."""
        counted: dict[str, int] = {}
        for finding in self.findings:
            counted[finding.check] = counted.get(finding.check, 0) + 1
        flagged = len({row for finding in self.findings for row in finding.rows})
        kinds = ", ".join(f"{check} {times}" for check, times in counted.items())
        return f"{flagged} of {len(self.rows)} rows are doubtful: {kinds}"


def audit_source(path: Path, query: Query | None = None, limits: Limits | None = None) -> Audit:
    """Return what cannot be right in *path*: a store, a CSV or a Parquet file.

    Raises HarnessError for a source that cannot be read or holds nothing to audit.
    """
    query = query or Query()
    evidence = store_evidence(path, query) if is_store(path) else table_evidence(path, query)
    return audit(evidence, limits or Limits())


def audit(evidence: Evidence, limits: Limits) -> Audit:
    """Return what all checks find in *evidence*."""
    # Numbers near the largest that doubles hold become infinite, and so lie as far off as they should.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return Audit(evidence.rows, tuple(finding for check in CHECKS for finding in check(evidence, limits)))


def about(audited: Audit, trials: Collection[str]) -> Audit:
    """Return those findings of *audited* that touch one of *trials*, the keys of some in a store."""
    added = {place for place, row in enumerate(audited.rows) if row.trial in trials}
    return Audit(audited.rows, tuple(finding for finding in audited.findings if not added.isdisjoint(finding.rows)))
