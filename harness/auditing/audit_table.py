"""An audit for people and for programs: a table, JSON, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.auditing.audit import Audit
from harness.auditing.evidence import Finding, Row, some
from harness.output_file import write_file
from harness.tables import print_table, render_json, write_table

SCHEMA = "harness.audit/1"
_ROWS_SHOWN = 2
_SHOWN = ("check", "rows", "reason")
_COLUMNS = ("finding", "check", "row", "trial", "model", "group", "seed", "columns", "reason")


def write_audit(audit: Audit, format: str, output: Path | None) -> None:
    """Write *audit* in *format*, one of `tables.FORMATS`, to *output* or stdout; CSV has a line for each row found.

    Raises HarnessError where it cannot be written.
    """
    if format == "json":
        text = render_json(document(audit))
        return print(text) if output is None else write_file(output, f"{text}\n".encode())
    if format != "table" or output is not None:
        return write_table([*_lines(audit)], _COLUMNS, format, output)
    if not audit.findings:
        return print(f"nothing found in {len(audit.rows)} rows")

    print_table([_shown(audit, finding) for finding in audit.findings], _SHOWN)
    return print(audit.summary())


def document(audit: Audit) -> dict[str, Any]:
    """Return the audit as JSON of the schema harness.audit/1."""
    findings = [
        {
            "check": finding.check,
            "rows": [_place(audit.rows[row]) for row in finding.rows],
            "columns": list(finding.columns),
            "reason": finding.reason,
        }
        for finding in audit.findings
    ]
    return {"schema": SCHEMA, "rows": len(audit.rows), "findings": findings}


def _place(row: Row) -> dict[str, Any]:
    return {"row": row.number, "trial": row.trial, "model": row.model, "group": row.group, "seed": row.seed}


def _lines(audit: Audit) -> Iterator[dict[str, Any]]:
    for number, finding in enumerate(audit.findings, start=1):
        told = {"finding": number, "check": finding.check, "columns": finding.columns, "reason": finding.reason}
        for row in finding.rows:
            yield told | _place(audit.rows[row])


def _shown(audit: Audit, finding: Finding) -> dict[str, str]:
    names = [_name(audit.rows[row], audit) for row in finding.rows]
    return {"check": finding.check, "rows": some(names, _ROWS_SHOWN), "reason": finding.reason}


def _name(row: Row, audit: Audit) -> str:
    seeds = len({one.seed for one in audit.rows}) > 1
    return f"{row.model} ({row.group}{f', seed {row.seed}' if seeds and row.seed is not None else ''})"
