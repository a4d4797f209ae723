"""`harness score` and `harness select`: what is printed where, in which format, with which exit code."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pandas
import pytest

from harness.__main__ import main

TABLE = """model,group,performance,energy,memory
small,g,0.8,3600,1000
middle,g,0.85,7200,2000
large,g,0.9,36000,8000
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return str(path)


@pytest.fixture
def harness(capsys):
    """Run the command line; return exit code, stdout and stderr."""

    def harness(*arguments):
        code = main([*map(str, arguments)])
        return code, *capsys.readouterr()

    return harness


def test_the_table_ranks_by_energy_and_tells_the_bounds(harness, table):
    code, out, err = harness("score", table)
    lines = out.splitlines()

    assert (code, err) == (0, "")
    assert lines[0].split() == ["model", "performance", "energy", "[J]", "memory", "[MiB]", "PePR-E", "PePR-M"]
    assert [line.split()[0] for line in lines[1:4]] == ["small", "middle", "large"]
    assert lines[4:] == ["bounds (minmax) of energy: 1 Wh to 10 Wh", "bounds (minmax) of memory: 1000 B to 7.812 KiB"]


def test_json_holds_the_document(harness, table):
    _, out, _ = harness("score", table, "--resource", "energy", "--format", "json")
    document = json.loads(out)

    assert document["schema"] == "harness.score/1"
    assert [row["pepr"] for row in document["rows"]] == pytest.approx([0.8, 0.85 / (1 + 1 / 9), 0.45])


def test_csv_has_a_column_for_each_cost_and_its_normalised(harness, table):
    _, out, _ = harness("score", table, "--resource", "energy", "--format", "csv")
    row = list(csv.DictReader(out.splitlines()))[2]

    assert (row["model"], row["energy"], row["energy_n"], row["pepr"]) == ("large", "36000.0", "1.0", "0.45")


def test_csv_of_scores_can_be_scored_again(harness, table, tmp_path):
    harness("score", table, "--resource", "energy", "--format", "csv", "-o", tmp_path / "scores.csv")
    _, out, _ = harness("score", tmp_path / "scores.csv", "--resource", "energy", "--format", "csv")

    assert out == (tmp_path / "scores.csv").read_text()


def test_parquet_goes_out_and_in(harness, table, tmp_path):
    harness("score", table, "--format", "parquet", "-o", tmp_path / "scores.parquet")

    assert pandas.read_parquet(tmp_path / "scores.parquet")["model"].tolist() == ["small", "middle", "large"]
    assert harness("score", tmp_path / "scores.parquet")[0] == 0


def test_weights_combine_resources(harness, table):
    options = ("--resource", "energy=3", "--resource", "M=1", "--format", "json")
    rows = json.loads(harness("score", table, *options)[1])["rows"]

    assert rows[1]["R"] == pytest.approx(0.75 / 9 + 0.25 / 7)


def test_alpha_and_normalisation_are_used_and_told(harness, table):
    options = ("--resource", "E", "--alpha", "2", "--normalize", "max", "--format", "json")
    document = json.loads(harness("score", table, *options)[1])

    assert (document["alpha"], document["normalize"]) == (2.0, "max")
    assert [row["pepr"] for row in document["rows"][:2]] == pytest.approx([2 * 0.85 / 2.2, 2 * 0.8 / 2.1])


def test_a_later_model_is_scored_by_the_bounds_of_an_earlier_score(harness, table, tmp_path):
    harness("score", table, "--resource", "E", "--format", "json", "-o", tmp_path / "cohort.json")
    (tmp_path / "later.csv").write_text("model,group,performance,energy\nhuge,g,0.9,68400\n")
    options = ("--resource", "E", "--bounds", tmp_path / "cohort.json", "--format", "json")
    code, out, err = harness("score", tmp_path / "later.csv", *options)

    assert (code, json.loads(out)["rows"][0]["pepr"]) == (0, pytest.approx(0.9 / (1 + 64800 / 32400)))
    assert err.startswith("harness: warning: huge outside the bounds of energy of 'g'")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--normalize", "max"), "are minmax, not max"),
        (("--phase", "infer_batch"), "are of phase train, not infer_batch"),
    ],
)
def test_bounds_that_are_something_else_are_refused(harness, table, tmp_path, options, problem):
    harness("score", table, "--resource", "E", "--format", "json", "-o", tmp_path / "cohort.json")
    code, _, err = harness("score", table, "--resource", "E", "--bounds", tmp_path / "cohort.json", *options)

    assert code == 2
    assert problem in err


def test_the_front_is_marked(harness, table):
    _, out, _ = harness("score", table, "--resource", "E", "--pareto")

    assert [line.split()[-1] for line in out.splitlines()[1:4]] == ["front", "knee", "front"]


def test_curves_are_read_from_numbered_columns(harness, tmp_path):
    path = tmp_path / "curves.csv"
    path.write_text("model,acc_1,other,acc_2,acc_3\na,0.5,x,0.9,0.95\n")
    row = json.loads(harness("score", path, "--curve", "acc_1..acc_3", "--format", "json")[1])["rows"][0]

    assert (row["pepr"], row["at"], row["R"]) == (pytest.approx(0.6), 2, 0.5)


CURVES = "model,acc_1,acc_2\na,0.5,0.9\nb,0.6,0.7\n"


@pytest.mark.parametrize("format", ["table", "csv"])
def test_curves_are_ranked_by_their_scalar(harness, tmp_path, format):
    (tmp_path / "curves.csv").write_text(CURVES)
    code, out, _ = harness("score", tmp_path / "curves.csv", "--curve", "acc_1,acc_2", "--format", format)

    assert code == 0
    assert [line[0] for line in out.splitlines()[-2:]] == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        (CURVES.replace("0.9", "9"), (), "a performance in the columns of --curve is outside 0 to 1"),
        (CURVES, ("--resource", "E"), "a table has no costs of its single epochs"),
    ],
)
def test_curves_that_cannot_be_are_refused(harness, tmp_path, text, options, problem):
    (tmp_path / "curves.csv").write_text(text)
    code, _, err = harness("score", tmp_path / "curves.csv", "--curve", "acc_1..acc_2", *options)

    assert code == 2
    assert problem in err


def test_carbon_is_recomputed(harness, table):
    options = ("--carbon-intensity", "30", "--pue", "1.2", "--resource", "C", "--format", "json")
    row = json.loads(harness("score", table, *options)[1])["rows"][0]

    assert row["resources"]["carbon"]["value"] == pytest.approx(3600 / 3.6e6 * 30 * 1.2)


def test_select_keeps_what_fits_and_tells_both_best(harness, table):
    code, out, _ = harness("select", table, "--budget", "energy=3Wh", "--budget", "memory=4KiB")

    assert code == 0
    assert out.splitlines()[3:] == [
        "best by PePR: small",
        "best by performance: middle",
        "2 of 3 fit energy <= 3 Wh, memory <= 4 KiB",
    ]


def test_select_scores_against_all_rows(harness, table):
    options = ("--resource", "E", "--budget", "E=1Wh", "--format", "json")
    document = json.loads(harness("select", table, *options)[1])

    assert document["schema"] == "harness.select/1"
    assert document["resources"]["energy"]["bounds"] == {"g": [3600.0, 36000.0]}
    assert document["best"] == {"g": {"pepr": "small", "performance": "small"}}


def test_a_row_without_the_reading_does_not_fit(harness, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE.replace("7200,2000", "7200,"))
    code, out, err = harness("select", path, "--resource", "E", "--budget", "M=1GiB")

    assert (code, out.splitlines()[-1]) == (0, "2 of 3 fit memory <= 1 GiB")
    assert err == "harness: warning: 1 rows lack a reading and cannot be said to fit\n"


def test_where_nothing_fits_the_least_need_is_told(harness, table):
    code, out, err = harness("select", table, "--budget", "energy=1J")

    assert (code, out) == (1, "")
    assert err == "harness: 0 of 3 fit energy <= 1 J; the least that any needs: energy 1 Wh\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--resource", "enery"], "unknown column 'enery'; did you mean 'energy'?"),
        (["--resource", "energy=x"], "--resource energy=x must be NAME or NAME=WEIGHT; 'x' is no number"),
        (["--resource", "energy=0"], "all weights are 0"),
        (["--resource", "energy=-1"], "must be a number from 0 up, is -1.0"),
        (["--resource", "energy", "--resource", "energy"], "--resource energy is given twice"),
        (["--resource", "E", "--resource", "energy"], "resource 'energy' is asked for twice"),
        (["--resource", "T"], "is known to be time; name it: model, group"),
        (["--alpha", "0.5"], "alpha must be a number from 1 up, is 0.5"),
        (["--performance-range", "100"], "--performance-range '100' must be LOW..HIGH"),
        (["--performance-range", "100..0"], "--performance-range '100..0' must be LOW..HIGH"),
        (["--unit", "energy"], "--unit 'energy' must be NAME=VALUE"),
        (["--unit", "energy=joule"], "unknown unit 'joule'"),
        (["--bounds", "absent.json"], "cannot read bounds 'absent.json'"),
        (["--curve"], "a table's curves need their columns"),
        (["--curve", "a_1..a_2", "--pareto"], "--pareto does not go with --curve"),
        (["--curve", "a_1..a_2", "--alpha", "2"], "--alpha does not go with --curve"),
        (["--curve", "a_1..b_2"], "must be FIRST..LAST with growing numbers"),
        (["--format", "parquet"], "--format parquet needs a file"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_two(harness, table, arguments, problem):
    code, out, err = harness("score", table, *arguments)

    assert (code, out) == (2, "")
    assert problem in err
    assert err.count("\n") == 1


def test_a_budget_in_a_unit_that_does_not_suit_is_refused(harness, table):
    code, _, err = harness("select", table, "--budget", "energy=4GiB")

    assert (code, err) == (2, "harness: 'GiB' is no unit like 'J'; use mJ, J, kJ, MJ, Wh, kWh\n")


@pytest.mark.parametrize("name", ["score", "select", "import_"])
def test_a_command_is_imported_without_what_computes(name):
    program = f"import sys, harness.cli.{name}; print({{'numpy', 'pandas', 'scipy', 'torch'}} & set(sys.modules))"

    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "set()\n"
