"""`harness audit`: what is printed where, with which exit code, and what runs and imports say of it."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_cohorts import carry_energy, copy_row, make_rows, write_csv, write_store
from stores import failed, finished, make_store, reading, trial

from harness.__main__ import main
from harness.auditing.announce import announce


@pytest.fixture
def harness(capsys):
    """Run the command line; return exit code, stdout and stderr."""

    def harness(*arguments):
        code = main([*map(str, arguments)])
        return code, *capsys.readouterr()

    return harness


def make_wrong(write, path, *, wrong=True):
    draw = np.random.default_rng(1)
    rows = make_rows(draw)
    if wrong:
        copy_row(rows, 3, 100, draw)
        carry_energy(rows, 5, 150, draw)
    return write(path, rows)


@pytest.fixture
def table(tmp_path):
    return make_wrong(write_csv, tmp_path / "wrong.csv")


@pytest.mark.parametrize("write", [write_csv, write_store])
def test_nothing_found_exits_with_zero(harness, tmp_path, write):
    assert (0, "nothing found in 180 rows\n", "") == harness("audit", make_wrong(write, tmp_path / "x", wrong=False))


def test_what_is_found_is_told_with_its_rows_and_the_reason(harness, table):
    code, out, err = harness("audit", table)

    assert (1, "") == (code, err)
    assert "copied row" in out
    assert "m3 (d0), m40 (d1)" in out
    assert "all 6 readings and metrics are the same to the last digit" in out
    assert "of 180 rows are doubtful: " in out.splitlines()[-1]


def test_json_names_each_row(harness, table):
    document = json.loads(harness("audit", table, "--format", "json")[1])
    copied = next(one for one in document["findings"] if one["check"] == "copied row")

    assert ("harness.audit/1", 180) == (document["schema"], document["rows"])
    assert [(4, "m3", "d0"), (101, "m40", "d1")] == [(r["row"], r["model"], r["group"]) for r in copied["rows"]]
    assert {"columns", "reason"} <= copied.keys()


def test_csv_has_a_line_for_each_row_of_a_finding(harness, table):
    lines = list(csv.DictReader(harness("audit", table, "--format", "csv")[1].splitlines()))
    shared = [line for line in lines if line["check"] == "shared reading"]

    assert ["6", "151"] == [line["row"] for line in shared]
    assert len({line["finding"] for line in shared}) == 1


def test_columns_of_other_names_can_be_named(harness, table):
    text = table.read_text().replace("model,dataset,", "net,set,", 1).replace("accuracy\n", "right\n", 1)
    table.write_text(text.replace(",energy,", ",consumed,", 1))
    options = ("--id", "net", "--group", "set", "--performance", "right", "--unit", "consumed=J")

    assert "consumed the same to the last digit" in harness("audit", table, *options)[1]


def test_parquet_is_read_as_csv_is(harness, table):
    pandas = pytest.importorskip("pandas")
    pandas.read_csv(table).to_parquet(table.with_suffix(".parquet"))

    assert harness("audit", table) == harness("audit", table.with_suffix(".parquet"))


def test_limits_can_be_widened(harness, table):
    assert 0 == harness("audit", table, "--coincidences", "1e-30", "--power-factor", "1e9", "--multiples", "1")[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing.csv",), "cannot read 'nothing.csv': No such file"),
        ((".",), "'.' is a folder"),
        (("empty.csv",), "'empty.csv' is empty"),
        (("text.csv",), "name the performance column of 'text.csv' with --performance"),
        (
            ("percent.csv",),
            "most of the performance in 'percent.csv' is outside 0 to 1, such as 78.5; say",
        ),
        (("percent.csv", "--group", "set"), "unknown column 'set'"),
        (("percent.csv", "--power-factor", "0.5"), "--power-factor must be a number above 1, is 0.5"),
        (("percent.csv", "--performance-range", "1"), "--performance-range '1' must be LOW..HIGH"),
        (("failed.sqlite",), "store 'failed.sqlite' holds no finished trial"),
        (("done.sqlite", "--id", "model"), "--id is for CSV and Parquet"),
        (("done.sqlite", "--performance", "auc"), "--performance and its range are for CSV and Parquet"),
        (("done.sqlite", "--performance-range", "0..100"), "--performance and its range are for CSV and Parquet"),
        (("done.sqlite", "--unit", "energy_gpu=kWh"), "--unit is for CSV and Parquet"),
        (("done.sqlite", "--delimiter", ";"), "--delimiter is for CSV"),
        (("mixed.csv",), "most of the performance in 'mixed.csv' is outside 0 to 1, such as -3;"),
        (("done.sqlite", "--group", "set"), "unknown group 'set'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_requests_get_one_line_and_exit_with_two(harness, arguments, told):
    Path("empty.csv").touch()
    Path("text.csv").write_text("model,note\na,b\n")
    Path("percent.csv").write_text("model,accuracy\na,78.5\nb,80\n")
    Path("mixed.csv").write_text("model,accuracy\na,0.5\nb,-3\nc,80\n")
    make_store(Path("failed.sqlite"), [failed(trial("a"), "failed", "why not")])
    make_store(Path("done.sqlite"), [finished(trial("a"), 0.5, reading("energy_gpu", 1))])
    code, out, err = harness("audit", *arguments)

    assert (2, "", 1) == (code, out, err.count("\n"))
    assert told in err


def test_percent_is_read_with_its_range(harness):
    right = np.random.default_rng(1).integers(150, 350, 30) / 360 * 100
    lines = [f"m{row},{value!r}" for row, value in enumerate([*right.tolist(), 77.1234])]
    Path("percent.csv").write_text("\n".join(["model,accuracy", *lines]))
    code, out, _ = harness("audit", "percent.csv", "--performance-range", "0..100")

    assert 1 == code
    assert "0.771234 is no multiple of 1/360" in out


def test_a_run_or_import_says_in_one_line_what_is_found_in_what_it_added(capsys, tmp_path):
    store = make_wrong(write_store, tmp_path / "wrong.sqlite")
    announce(store)
    err = capsys.readouterr().err

    assert 1 == err.count("\n")
    assert "rows are doubtful: " in err
    assert err.endswith(f"(`harness audit {store}` shows them)\n")


def test_an_older_fault_in_the_store_is_not_told_again(capsys, tmp_path):
    store = make_wrong(write_store, tmp_path / "wrong.sqlite")
    later = trial("later", "d0", epochs=4)
    make_store(store, [finished(later, 0.5, reading("time", 7.25))])
    announce(store)
    announce(store, [later.key])

    assert "" == capsys.readouterr().err


def test_a_fault_of_the_audit_is_none_of_the_run(monkeypatch, capsys, tmp_path):
    def fail(path):
        raise ValueError("two\nlines")

    monkeypatch.setattr("harness.auditing.announce.audit_source", fail)
    announce(tmp_path / "some.sqlite", ["key"])

    assert f"harness: warning: {tmp_path}/some.sqlite could not be audited (ValueError: two lines)\n" == (
        capsys.readouterr().err
    )


def test_a_run_tells_what_is_found_in_its_trials(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    words = ("--plugin", "chaos", "--executor", "bare", "--dataset", "nothing", "--device", "cpu", "--model", "done")
    command = [sys.executable, "-m", "harness", "run", *words]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    with contextlib.closing(sqlite3.connect("harness.sqlite")) as store, store:
        store.execute("UPDATE readings SET value = 1000 WHERE resource = 'time' AND phase = 'train'")
    again = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (0, 0, first.returncode) == (first.stderr.count("doubtful"), again.returncode, 0)
    assert "harness: warning: 1 of 1 rows are doubtful: clocks disagree 1" in again.stderr


def test_an_import_tells_what_is_found_in_it(harness):
    header = "run_id,project_name,duration,emissions,energy_consumed,cpu_energy,gpu_energy,ram_energy"
    lines = [f"r{n},p{n},{n}.125732,0.00{n}713,0.3,0.1,0.123456789012,0.0{n}1" for n in range(1, 4)]
    Path("emissions.csv").write_text("\n".join([header, *lines]))
    Path("scores.csv").write_text("project_name,accuracy\np1,0.5\np2,0.6\np3,0.7\n")
    code, _, err = harness("import", "emissions.csv", "--join", "scores.csv", "--performance", "accuracy")

    assert 0 == code
    assert "3 of 3 rows are doubtful: shared reading 1" in err


def test_an_audit_of_a_table_starts_no_torch(table):
    code = "import sys; from harness.__main__ import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, "audit", str(table)], capture_output=True, check=False)

    assert (0, b"") == (done.returncode, done.stderr)
