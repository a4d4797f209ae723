"""`harness export`: each table in each format, the same numbers and words in all."""

from __future__ import annotations

import csv
import json

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from store_events import STUDY, filled_store, run_trial, trial

from harness.__main__ import main
from harness.records import Failed
from harness.store.reading import open_reader
from harness.store.store import Store

TABLES = ("trials", "epochs", "readings", "missing")


@pytest.fixture
def store(tmp_path):
    return filled_store(tmp_path / "harness.sqlite", trials=3)


def stored(store, table):
    with open_reader(store) as reader:
        return [{name: value for name, value in row.items() if name != "detail"} for row in getattr(reader, table)()]


def export(store, output, *options):
    assert main(["export", str(store), "-o", str(output), *options]) == 0
    return output


def from_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("table", TABLES)
def test_json_holds_what_the_store_holds(store, tmp_path, table):
    output = export(store, tmp_path / "x.json", "--table", table)

    assert json.loads(output.read_text()) == stored(store, table)


@pytest.mark.parametrize("table", ["epochs", "readings", "missing"])
def test_parquet_holds_what_the_store_holds(store, tmp_path, table):
    parquet = pytest.importorskip("pyarrow.parquet")
    output = export(store, tmp_path / "x.parquet", "--table", table)

    assert parquet.read_table(output).to_pylist() == stored(store, table)


def test_parquet_has_dictionaries_as_json(store, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(export(store, tmp_path / "x.parquet")).to_pylist()

    for row in rows:
        row |= {name: json.loads(row[name]) for name in ("metrics", "facts")}
    assert rows == stored(store, "trials")


@pytest.mark.parametrize("table", TABLES)
def test_csv_holds_what_the_store_holds(store, tmp_path, table):
    rows = from_csv(export(store, tmp_path / "x.csv", "--table", table))

    def cell(value):
        return "" if value is None else json.dumps(value) if isinstance(value, dict) else str(value)

    assert rows == [{name: cell(value) for name, value in row.items()} for row in stored(store, table)]


def test_trials_have_a_row_for_each_attempt(store, tmp_path):
    with Store.open(store) as writer:
        writer.record(writer.begin_study(STUDY), Failed(trial(1).key, "oom", "no memory"))
    rows = from_csv(export(store, tmp_path / "x.csv"))

    found = [(row["seed"], row["attempt"], row["status"], row["accepted"], row["reason"]) for row in rows[:2]]
    assert found == [("1", "1", "done", "True", ""), ("1", "2", "oom", "False", "no memory")]


def test_accepted_leaves_out_attempts_that_do_not_count(store, tmp_path):
    with Store.open(store) as writer:
        run_trial(writer, writer.begin_study(STUDY), seed=1)
    rows = from_csv(export(store, tmp_path / "x.csv", "--accepted"))

    assert [(row["seed"], row["attempt"]) for row in rows] == [("1", "2"), ("2", "1"), ("3", "1")]


def test_without_a_file_the_table_is_printed(store, capsys):
    assert main(["export", str(store), "--table", "readings", "--format", "json"]) == 0

    assert json.loads(capsys.readouterr().out) == stored(store, "readings")


def test_the_format_goes_before_the_ending(store, tmp_path):
    output = export(store, tmp_path / "x.txt", "--format", "json")

    assert len(json.loads(output.read_text())) == 3


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_a_store_without_trials_is_exported_as_an_empty_table(tmp_path, ending):
    path = tmp_path / "x.sqlite"
    Store.open(path).close()

    assert export(path, tmp_path / f"x.{ending}").stat().st_size > 0


def test_an_export_during_a_run_holds_what_is_stored_so_far(store, tmp_path):
    with Store.open(store) as writer:
        run_trial(writer, writer.begin_study(STUDY), seed=9)
        rows = from_csv(export(store, tmp_path / "x.csv"))

    assert [row["seed"] for row in rows] == ["1", "2", "3", "9"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["harness.sqlite", "-o", "x.xlsx"],
            "the ending of 'x.xlsx' tells no format; add --format csv, json or parquet",
        ),
        (["harness.sqlite", "-o", "nowhere/x.csv"], "cannot write 'nowhere/x.csv': No such file or directory"),
        (["absent.sqlite", "-o", "x.csv"], "store 'absent.sqlite' is not there"),
        (["harness.sqlite", "--format", "parquet"], "--format parquet needs a file: add -o FILE"),
    ],
    ids=["ending", "folder", "store", "parquet on stdout"],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(store, capsys, arguments, message):
    code = main(["export", *arguments])

    error = capsys.readouterr().err
    assert (code, error.count("\n"), message in error) == (2, 1, True)


words = st.text(st.characters(exclude_categories=["C"]), max_size=9)


@settings(max_examples=25, deadline=None)
@given(start=st.sampled_from("=+-@"), rest=words)
def test_csv_holds_no_formula_and_json_holds_the_words(tmp_path_factory, start, rest):
    folder = tmp_path_factory.mktemp("formula")
    with Store.open(folder / "x.sqlite") as writer:
        study = writer.begin_study(STUDY)
        writer.add_trials(study, [trial()])
        writer.record(study, Failed(trial().key, "failed", start + rest))

    (cells,) = from_csv(export(folder / "x.sqlite", folder / "x.csv"))
    (row,) = json.loads(export(folder / "x.sqlite", folder / "x.json").read_text())
    assert (cells["reason"], row["reason"]) == (f"'{start}{rest}", start + rest)


def test_negative_numbers_stay_numbers_in_csv(store, tmp_path):
    with Store.open(store) as writer:
        study = writer.begin_study(STUDY)
        writer.add_trials(study, [trial(-5)])
        writer.record(study, Failed(trial(-5).key, "failed", "why"))

    assert from_csv(export(store, tmp_path / "x.csv"))[-1]["seed"] == "-5"


def test_the_store_is_not_changed_by_an_export(store, tmp_path):
    before = store.read_bytes()
    export(store, tmp_path / "x.csv")

    assert store.read_bytes() == before
