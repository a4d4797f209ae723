"""What an audit finds in the PePR authors' published results, where they are at hand."""

from __future__ import annotations

import pandas
import pytest
from test_paper import RESULTS, needs

from harness.auditing.audit import audit_source

COPIED = {"hardcorenas_a", "dla46_c", "mobilevitv2_050", "semnasnet_075", "spnasnet_100", "resnet18d"}


@pytest.fixture(scope="module")
def audited():
    return audit_source(RESULTS)


def found(audited, *checks):
    """The findings of some checks: the rows of each, as (model, dataset), and its reason."""
    return [
        ({(audited.rows[row].model, audited.rows[row].group) for row in one.rows}, one.reason)
        for one in audited.findings
        if one.check in checks
    ]


def models_sharing(audited, *groups):
    """The models whose energy is the same to the last digit in *groups*, or in one and any other."""
    shared = [
        rows
        for rows, reason in found(audited, "shared reading", "copied row")
        if "energy" in reason or "readings" in reason
    ]
    return {model for rows in shared for model, group in rows if {*groups} <= {other for _, other in rows}}


@needs(RESULTS)
def test_the_six_copied_rows_are_found_and_no_other(audited):
    expected = [{(model, "derma_pt"), (model, "lidc")} for model in COPIED]

    assert sorted(map(sorted, expected)) == sorted(sorted(rows) for rows, _ in found(audited, "copied row"))


@needs(RESULTS)
def test_energies_shared_between_datasets_are_found(audited):
    assert 68 == len(models_sharing(audited, "derma", "derma_small"))
    assert 51 == len(models_sharing(audited, "pneumonia"))


@needs(RESULTS)
def test_every_energy_that_two_rows_share_is_found_and_no_other(audited):
    data = pandas.read_csv(RESULTS)
    twice = data[data["energy"].duplicated(keep=False)]
    rows = {row for one, _ in found(audited, "shared reading", "copied row") for row in one}

    assert set(zip(twice["model"], twice["dataset"], strict=True)) == rows


@needs(RESULTS)
def test_shifted_accuracies_are_found(audited):
    reasons = {row: reason for rows, reason in found(audited, "impossible accuracy") for row in rows}

    assert "0.633266 is no multiple of 1/1984" in reasons["dm_nfnet_f0", "derma_pt"]
    assert "less 0.1 or 0.6 it is one" in reasons["dm_nfnet_f0", "derma_pt"]
    assert "less 0.3 it is one" in reasons["dm_nfnet_f0", "derma_small"]


@needs(RESULTS)
def test_accuracies_are_found_in_no_other_rows_but_the_copies_and_two_more(audited):
    rows = {row for rows, _ in found(audited, "impossible accuracy") for row in rows}
    others = {("dm_nfnet_f0", "derma_pt"), ("dm_nfnet_f0", "derma_small")}
    others |= {("dla102", "pneumonia_small"), ("dm_nfnet_f0", "pneumonia_small")}

    assert {(model, "derma_pt") for model in COPIED} | others == rows


@needs(RESULTS)
def test_powers_out_of_line_are_those_of_rows_that_carry_the_energy_of_others(audited):
    carried = {row for rows, _ in found(audited, "shared reading") for row in rows}
    odd = {row for rows, _ in found(audited, "implied power") for row in rows}

    assert len(odd) > 200
    assert odd <= carried
    assert {"derma_small", "derma_smallest", "lidc_small", "pneumonia", "pneumonia_small"} >= {row[1] for row in odd}
