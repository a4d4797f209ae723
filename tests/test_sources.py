"""CSV and Parquet files to tables: which column is what, units, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.scoring.ranking import Request, score_source
from harness.sources.layouts import recognize, unit_of
from harness.sources.source import read_source
from harness.sources.table import Query

PLAIN = "model,dataset,accuracy,energy_kwh,time\nresnet18,derma,0.5,1,60\nresnet34,derma,0.75,3,\n"


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def write(content: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def scores(path, weights, **query):
    table = score_source(path, Request(query=Query(**query), weights=weights)).table
    return dict(zip(table["model"], table["pepr"], strict=True))


def test_columns_are_known_by_their_usual_names(write):
    table = read_source(write(PLAIN))

    assert table.letters == {"E": "energy_kwh", "T": "time"}
    assert table.units == {"energy_kwh": "kWh", "time": "s"}
    assert table.frame["group"].tolist() == ["derma", "derma"]


def test_letters_name_columns(write):
    assert scores(write(PLAIN), {"E": 1}) == {"resnet18": 0.5, "resnet34": 0.375}


def test_columns_can_be_named(write):
    text = "net;place;top;joules\na;x;50;1\nb;x;80;2\n"
    names = {"id": "net", "group": ("place",), "performance": "top", "performance_range": (0, 100), "delimiter": ";"}

    assert scores(write(text), {"joules": 1}, **names) == {"a": 0.5, "b": 0.4}


def test_several_group_columns_make_one_label(write):
    table = read_source(write(PLAIN), Query(group=("dataset", "accuracy"), performance="accuracy"))

    assert table.frame["group"].tolist() == ["derma, 0.5", "derma, 0.75"]


def test_an_empty_cell_is_missing_not_zero(write):
    assert math.isnan(read_source(write(PLAIN)).frame["time"][1])


@pytest.mark.parametrize("word", ["", "NA", "nan", "null", "-"])
def test_words_for_missing_are_understood(write, word):
    table = read_source(write(f"model,accuracy,energy\na,0.5,1\nb,0.5,{word}\n"))

    assert table.frame["energy"].isna().tolist() == [False, True]


def test_a_model_may_be_called_na(write):
    assert read_source(write("model,accuracy,energy\nNA,0.5,1\n")).frame["model"].tolist() == ["NA"]


def test_a_spreadsheets_mark_line_ends_and_blank_rows_do_no_harm(write):
    text = "\ufeffmodel,accuracy,energy\r\na,0.5,1\r\n,,\r\n"

    assert read_source(write(text)).frame["model"].tolist() == ["a"]


def test_a_seed_column_joins_rows(write):
    text = "model,seed,accuracy,energy\na,1,0.4,1\na,2,0.6,1\nb,1,0.9,2\n"

    assert scores(write(text), {"energy": 1}) == {"a": 0.5, "b": 0.45}


def test_repeated_names_without_seeds_are_told(write):
    score = score_source(write("model,accuracy,energy\na,0.4,1\na,0.6,1\n"), Request(weights={"energy": 1}))

    assert score.warnings[0].startswith("1 rows repeat a name, such as 'a'")


def test_numbers_are_read_to_the_last_digit(write):
    written = 0.1 + 0.2

    assert read_source(write(f"model,accuracy,energy\na,{written!r},1\n")).frame["performance"][0] == written


def test_parquet_is_read_as_csv_is(tmp_path, write):
    pandas.read_csv(write(PLAIN)).to_parquet(tmp_path / "table.bin")

    pandas.testing.assert_frame_equal(
        read_source(tmp_path / "table.bin").frame, read_source(write(PLAIN)).frame, check_dtype=False
    )


def test_the_kind_of_file_is_known_by_its_content(write):
    assert read_source(write(PLAIN, "results.parquet")).frame["model"].tolist() == ["resnet18", "resnet34"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        ("\n\n", "has no header"),
        ("model,accuracy,energy\n", "has a header but no rows"),
        ("model;accuracy;energy\na;0.5;1\n", r"if ';' separates its columns, add --delimiter ';'"),
        ("model\taccuracy\tenergy\na\t0.5\t1\n", "if tab separates its columns, add --delimiter tab"),
        ("model,accuracy,energy\na,good,1\n", r"row 1 \('a'\): 'good' in column 'accuracy' is no number"),
        ("model,accuracy,energy\na,0.5,1\nb,0.5,12 J\n", r"row 2 \('b'\): '12 J' in column 'energy' is no number"),
        ("model,accuracy,energy\na,True,1\n", r"'True' in column 'accuracy' is no number"),
        ("model,accuracy,energy\na,0.5,-1\n", "energy -1 is negative"),
        ("model,accuracy,energy\na,85,1\n", "performance 85 is outside 0 to 1; say --performance-range"),
        ("model,accuracy,energy\na,0.5,\nb,0.5,\n", "no row can be scored; the first: a: no reading of energy"),
        ("model,accuracy,enrgy\na,0.5,1\n", "unknown column 'energy'; did you mean 'enrgy'"),
        ("model,accuracy,energy,energy\na,0.5,1,2\n", "has 2 columns called 'energy'"),
        ("model,accuracy,energy\na,0.5,1,7,8\n", "line 2 has 5 fields, the header 3"),
        ("model,accuracy,energy\n\na,0.5\n", "line 3 has 2 fields, the header 3"),
        ("net,accuracy,energy\na,0.5,1\n", "name the id column of .* with --id: it has net, accuracy, energy"),
        ("model,points,energy\na,0.5,1\n", "name the performance column of .* with --performance"),
        (b"PK\x03\x04xlsx", "is a zip or Excel file; save the sheet as CSV"),
        (b"PAR1 and then nonsense", "is a damaged Parquet file"),
        (b"\xff\xfem\x00o\x00", "is neither a store, Parquet nor CSV in UTF-8"),
        (b"model,accuracy,energy\n\xe9,0.5,1\n", "nor CSV in UTF-8: .*0xe9 in position 22"),
    ],
)
def test_bad_input_is_one_line(write, content, problem):
    with pytest.raises(HarnessError, match=problem) as caught:
        score_source(write(content), Request(weights={"energy": 1}))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "problem"), [("", "is a folder"), ("absent.csv", "cannot read .*No such file")])
def test_what_is_no_file_is_refused(tmp_path, name, problem):
    with pytest.raises(HarnessError, match=problem):
        read_source(tmp_path / name)


def test_a_letter_that_no_column_stands_for_is_refused(write):
    with pytest.raises(HarnessError, match=r"no column of .* is known to be memory; name it: model, dataset"):
        read_source(write(PLAIN), Query(resources=("M",)))


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("energy", "J"),
        ("energy_kWh", "kWh"),
        ("energy [Wh]", "Wh"),
        ("peak memory (GiB)", "GiB"),
        ("memory_mb", "MB"),
        ("time_s", "s"),
        ("params_m", None),
        ("train_time", None),
        ("energy_mj", None),
        ("co2", None),
    ],
)
def test_units_come_from_the_name_of_the_column(column, unit):
    assert unit_of(column, recognize([column])) == unit


def test_carbon_is_computed_from_joules(write):
    path = write("model,accuracy,energy\na,0.5,3600000\n")
    query = Query(resources=("C",), carbon_intensity=30, pue=1.2)
    table = read_source(path, query)

    assert (table.frame["carbon"].tolist(), table.units["carbon"]) == ([pytest.approx(36)], "g")


def test_carbon_from_an_energy_of_unknown_unit_is_refused(write):
    with pytest.raises(HarnessError, match="name its column's with --unit"):
        read_source(write("model,accuracy,time\na,0.5,1\n"), Query(carbon_intensity=30))


def test_pue_without_an_intensity_is_refused(write):
    with pytest.raises(HarnessError, match="add --carbon-intensity"):
        read_source(write("model,accuracy,energy\na,0.5,1\n"), Query(pue=1.2))


def test_without_resources_the_letters_that_all_rows_have_are_scored(write):
    score = score_source(write(PLAIN))

    assert (dict(score.alone), dict(score.weights)) == ({"E": "energy_kwh"}, {"energy_kwh": 1.0})


def test_without_an_energy_time_ranks(write):
    score = score_source(write("model,accuracy,time,memory\na,0.5,1,4\nb,0.5,2,3\n"))

    assert dict(score.weights) == {"memory": 0.0, "time": 1.0}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(write, content):
    problem = ""
    try:
        read_source(write(content))
    except HarnessError as error:
        problem = str(error)

    assert "\n" not in problem
