"""`harness compare RUN_A RUN_B`: which trials are twins, how they changed, and when that breaks a threshold."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from stores import failed, finished, make_store, reading, trial

from harness.__main__ import main
from harness.comparing.thresholds import parse_threshold
from harness.errors import HarnessError
from harness.records import Started, StudyRecord
from harness.store.store import Store

HEADER = ["model", "dataset", "seed", "accuracy", "energy", "energy_uncertainty"]


def write(path, rows):
    """A table of (model, seed, accuracy, energy, half the width of its error bar)."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows([[model, "d", *rest] for model, *rest in rows])
    return path


@pytest.fixture
def gate(tmp_path, capsys):
    """Compare two tables of rows; return the exit code, the verdict on each model, and stderr."""

    def gate(before, after, *options):
        paths = [write(tmp_path / name, rows) for name, rows in (("a.csv", before), ("b.csv", after))]
        code = main(["compare", *map(str, paths), *options, "--format", "json"])
        out, err = capsys.readouterr()
        return code, {row["model"]: row["verdict"] for row in json.loads(out)["rows"]}, err

    return gate


def test_a_change_beyond_the_error_bars_breaks_the_threshold(gate):
    code, verdicts, err = gate([("m", 1, 0.8, 100, 1)], [("m", 1, 0.8, 110, 1)], "--fail-if", "energy>5%")

    # At the least from 101 to 109.
    assert (1, {"m": "broken"}) == (code, verdicts)
    assert "energy>5% is broken by m (+10 %)" in err


def test_a_change_within_the_error_bars_does_not(gate):
    code, verdicts, _ = gate([("m", 1, 0.8, 100, 4)], [("m", 1, 0.8, 110, 4)], "--fail-if", "energy>5%")

    # At the least from 104 to 106.
    assert (0, {"m": "undecided"}) == (code, verdicts)


def test_strict_takes_the_change_alone(gate):
    code, verdicts, _ = gate([("m", 1, 0.8, 100, 4)], [("m", 1, 0.8, 110, 4)], "--fail-if", "energy>5%", "--strict")

    assert (1, {"m": "broken"}) == (code, verdicts)


def test_seeds_that_disagree_leave_it_undecided(gate):
    before = [("m", seed, 0.8, 100, 0) for seed in (1, 2, 3)]
    after = [("m", seed, 0.8, energy, 0) for seed, energy in ((1, 101), (2, 120), (3, 103))]
    code, verdicts, _ = gate(before, after, "--fail-if", "energy>5%")

    assert (0, {"m": "undecided"}) == (code, verdicts)


def test_seeds_that_agree_break_it(gate):
    before = [("m", seed, 0.8, 100 + seed, 0) for seed in range(6)]
    after = [("m", seed, 0.8, (100 + seed) * (1.08 + seed / 1000), 0) for seed in range(6)]

    assert (1, {"m": "broken"}) == gate(before, after, "--fail-if", "energy>5%")[:2]


def test_what_seeds_and_bars_leave_open_adds_up(gate):
    before = [("m", seed, 0.8, 100, 1.0) for seed in range(4)]
    after = [("m", seed, 0.8, 106 + off, 1.0) for seed, off in enumerate((-1.5, 0.5, -0.5, 1.5))]
    _, verdicts, _ = gate(before, after, "--fail-if", "energy>3.5")

    # Seeds alone leave 6 +- 2.05, bars alone 6 +- 2; both may be off at once.
    assert {"m": "undecided"} == verdicts


def test_a_column_below_zero_has_its_error_bars_the_right_way_round(tmp_path, capsys):
    header = "model,accuracy,loss,loss_uncertainty\n"
    (tmp_path / "a.csv").write_text(f"{header}m,0.8,-2,0.1\n")
    (tmp_path / "b.csv").write_text(f"{header}m,0.8,-1,0.1\n")
    ends = []
    for threshold in ("loss>0.5", "loss>30%"):
        options = ("--fail-if", threshold, "--format", "json")
        assert 1 == main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), *options])
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        ends += [row["low"], row["high"]]

    assert [0.8, 1.2, (1 - 1.1 / 1.9) * 100, (1 - 0.9 / 2.1) * 100] == pytest.approx(ends)


def test_of_very_many_rows_a_person_is_shown_the_first_with_the_broken_ones_before_all(tmp_path, capsys):
    rows = [(f"m{number}", 1, 0.8, 100, 9) for number in range(600)]
    after = [(model, seed, p, 200 if model == "m599" else 110, bar) for model, seed, p, _, bar in rows]
    paths = [str(write(tmp_path / name, table)) for name, table in (("a.csv", rows), ("b.csv", after))]
    assert 1 == main(["compare", *paths, "--fail-if", "energy>5%"])
    lines = capsys.readouterr().out.splitlines()

    assert "m599" in lines[2]
    assert ["... and 100 rows more; --format csv has all", "energy>5%: 1 broken, 599 undecided"] == lines[-2:]


def test_seeds_written_as_1_and_as_1_0_are_twins(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("model,seed,accuracy,energy\nm,1,0.8,10\nm,2,0.8,10\n")
    (tmp_path / "b.csv").write_text("model,seed,accuracy,energy\nm,1.0,0.8,10\nm,2.0,0.8,10\n")
    assert 0 == main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--format", "json"])
    out, err = capsys.readouterr()

    assert (2, "") == (json.loads(out)["rows"][0]["seeds"], err)


def test_a_threshold_given_twice_counts_once(gate):
    limits = ("--fail-if", "energy>5%", "--fail-if", "energy>5%")
    _, _, err = gate([("m", 1, 0.8, 100, 0)], [("m", 1, 0.8, 110, 0)], *limits)

    assert ["harness: energy>5% is broken by m (+10 %)"] == err.splitlines()


@pytest.mark.parametrize(("limit", "code"), [("energy>5J", 1), ("energy>0.001kWh", 0), ("energy>0.0001Wh", 1)])
def test_a_limit_may_have_a_unit(gate, limit, code):
    assert code == gate([("m", 1, 0.8, 100, 0)], [("m", 1, 0.8, 110, 0)], "--fail-if", limit)[0]


def test_rows_that_pass_undecided_or_missing_are_told_on_stderr_in_every_format(gate):
    before = [("m", 1, 0.8, 100, 9), ("n", 1, 0.8, 100, 0), ("n", 2, 0.8, 100, 0)]
    after = [("m", 1, 0.8, 110, 9), ("n", 1, 0.8, "", ""), ("n", 2, 0.8, 100, 0)]
    code, _, err = gate(before, after, "--fail-if", "energy>5%")
    _, _, lost = gate(before[:2], after[:2], "--fail-if", "energy>5%")

    assert (0, True) == (code, "warning: energy>5% is undecided of m (+10 %)" in err)
    assert "warning: energy: not all seeds have a value in both runs: n (1 of 2)" in err
    assert "warning: energy>5% is missing of n (second run: no energy)" in lost


def test_a_score_beside_bounds_of_one_point_says_so(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("model,accuracy,energy\nm,0.8,10\n")
    (tmp_path / "b.csv").write_text("model,accuracy,energy\nm,0.8,12\n")
    assert 0 == main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])

    assert "its cost lies beside the bounds of the first run, which are one point" in capsys.readouterr().out


def test_where_nothing_is_known_of_the_spread_the_change_decides(gate):
    code, verdicts, _ = gate([("m", 1, 0.80, 1, 0)], [("m", 1, 0.79, 1, 0)], "--fail-if", "performance<-1%")

    assert (1, {"m": "broken"}) == (code, verdicts)


@pytest.mark.parametrize(("threshold", "code"), [("accuracy<-1%", 1), ("accuracy<-0.02", 0), ("accuracy<-0.005", 1)])
def test_percent_is_relative_and_a_bare_number_is_not(gate, threshold, code):
    assert code == gate([("m", 1, 0.80, 1, 0)], [("m", 1, 0.79, 1, 0)], "--fail-if", threshold)[0]


def test_pepr_is_compared_with_the_bounds_of_the_first_run(tmp_path, capsys):
    before = write(tmp_path / "a.csv", [("m", 1, 0.8, 100, 0), ("n", 1, 0.8, 200, 0)])
    after = write(tmp_path / "b.csv", [("m", 1, 0.8, 150, 0), ("n", 1, 0.8, 200, 0)])
    code = main(["compare", str(before), str(after), "--fail-if", "PePR-E<-0.1", "--format", "json"])
    row = json.loads(capsys.readouterr().out)["rows"][0]

    assert 1 == code
    assert (0.8, pytest.approx(0.8 / 1.5)) == (row["a"], row["b"])


def test_only_twins_are_compared_and_the_others_told(gate):
    before, after = [("m", 1, 0.8, 1, 0), ("x", 1, 0.8, 1, 0)], [("m", 1, 0.8, 1, 0), ("y", 2, 0.8, 9, 0)]
    code, verdicts, err = gate(before, after, "--fail-if", "energy>5%")

    assert (0, ["m"]) == (code, list(verdicts))
    assert "a.csv' only, which are left out: 1" in err


def test_units_of_the_second_table_are_those_of_the_first(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("model,accuracy,energy\nm,0.8,1\n")
    (tmp_path / "b.csv").write_text("model,accuracy,energy\nm,0.8,1\n")
    options = ("--unit", "energy=kWh", "--fail-if", "energy>5%")

    assert 0 == main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), *options])
    assert "energy>5%: 1 kept" in capsys.readouterr().out


def store(path, changed=1.0, machine="one", torch="2.11", method="fork", **more):
    """A store of two trials that ran on *machine*, with energies *changed*."""
    with Store.open(path) as opened:
        study = opened.begin_study(
            StudyRecord("2026-01-01T00:00:00Z", machine={"host": machine}, packages={"torch": torch})
        )
        for model, energy in (("m", 100.0), ("n", 200.0)):
            one, end = finished(
                trial(model),
                0.8,
                evolve(reading("energy_gpu", energy * changed), uncertainty=1.0),
                reading("time", 10.0),
                metrics={"auroc": 0.9},
                **more,
            )
            opened.add_trials(study, [one])
            opened.record(study, Started(one.key, 1, method))
            opened.record(study, end)
    return str(path)


def test_stores_are_joined_by_the_identity_of_their_trials(tmp_path, capsys):
    a, b = store(tmp_path / "a.sqlite"), store(tmp_path / "b.sqlite", 1.1)
    code = main(["compare", a, b, "--fail-if", "energy_gpu>5%", "--fail-if", "auroc<0", "--format", "csv"])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))

    assert 1 == code
    assert ["broken", "broken", "kept", "kept"] == [row["verdict"] for row in rows]
    assert {"readings"} == {row["interval"] for row in rows[:2]}


def test_what_differs_around_the_runs_is_said_aloud(tmp_path, capsys):
    a, b = store(tmp_path / "a.sqlite"), store(tmp_path / "b.sqlite", machine="two", torch="2.12", method="spawn")
    assert 0 == main(["compare", a, b])
    told = capsys.readouterr().err

    assert "host differs: one and two; readings of different machines do not compare" in told
    assert "version of torch differs: 2.11 and 2.12" in told
    assert "start method differs: fork and spawn; memory_host does not compare" in told


def test_an_estimated_run_beside_a_counted_one_is_said_aloud_of_what_is_compared(tmp_path, capsys):
    paths = [
        make_store(tmp_path / f"{source}.sqlite", [finished(trial("m"), 0.8, reading("energy_gpu", 9.0, source))])
        for source in ("counter", "estimated")
    ]
    assert 0 == main(["compare", *map(str, paths), "--fail-if", "energy>5%"])
    (line,) = capsys.readouterr().err.splitlines()

    assert line.endswith("estimated.sqlite': energy is estimated, not measured")


def test_the_same_surroundings_are_not_told_of(tmp_path, capsys):
    assert 0 == main(["compare", store(tmp_path / "a.sqlite"), store(tmp_path / "b.sqlite")])
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize(("damaged", "named"), [("a", "a"), ("b", "b"), ("ab", "a")])
def test_a_damaged_store_is_told_by_its_name_and_of_two_the_first(tmp_path, capsys, damaged, named):
    paths = [tmp_path / f"{name}.sqlite" for name in "ab"]
    for path in paths:
        store(path)
        if path.stem in damaged:
            content = path.read_bytes()
            path.write_bytes(content[:4096] + b"\xff" * 4096 + content[8192:])
    assert 2 == main(["compare", *map(str, paths)])
    (line,) = capsys.readouterr().err.splitlines()

    assert f"{named}.sqlite" in line
    assert "damaged" in line


def test_a_trial_that_failed_is_missing_and_not_zero(tmp_path, capsys):
    a = store(tmp_path / "a.sqlite")
    ended = [failed(trial("m"), "oom", "out of memory"), finished(trial("n"), 0.8, reading("energy_gpu", 200.0))]
    b = str(make_store(tmp_path / "b.sqlite", ended))
    code = main(["compare", a, b, "--fail-if", "performance<-1%", "--format", "json"])
    rows = json.loads(capsys.readouterr().out)["rows"]

    assert (0, ["missing", "kept"]) == (code, [row["verdict"] for row in rows])
    assert "second run: oom: out of memory" == rows[0]["reason"]


def test_a_threshold_that_no_row_can_be_judged_by_is_an_error(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("model,accuracy,energy\nm,0.8,\n")
    code = main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "a.csv"), "--fail-if", "energy>5%"])

    assert 2 == code
    assert "can be judged in no row: m: first run: no energy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("after", "options", "line"),
    [
        ("model,accuracy,energy\nq,0.8,1\n", [], "no trial of"),
        ("model,accuracy,energy\nm,0.8,1\nm,0.8,1\n", [], "has several rows of 'm'"),
        (
            "model,accuracy,energy\nm,0.8,1\n",
            ["--fail-if", "energy"],
            "--fail-if 'energy' is no threshold; write NAME>",
        ),
        ("model,accuracy,energy\nm,0.8,1\n", ["--fail-if", "watts>1"], "unknown column 'watts'"),
        ("model,accuracy,energy\nm,0.8,1\n", ["--fail-if", "PePR-C<0"], "PePR-C needs carbon, which was not read"),
        ("model,accuracy,energy\nm,0.8,1\n", ["--fail-if", "accuracy<-1s"], "--fail-if 'accuracy<-1s' has a unit"),
        ("model,accuracy,energy\nm,0.8,1\n", ["--fail-if", "energy>1GiB"], "'GiB' is no unit like 'J'"),
        ("model,accuracy,energy\nm,0.8,1\n", ["--strict"], "--strict says how thresholds are judged"),
        ("model,accuracy,energy\nm,0.8,1\n", ["--by", "model"], "--by is for groups within one source"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(tmp_path, capsys, after, options, line):
    (tmp_path / "a.csv").write_text("model,accuracy,energy\nm,0.8,1\n")
    (tmp_path / "b.csv").write_text(after)

    assert 2 == main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), *options])
    assert line in capsys.readouterr().err.splitlines()[-1]


def test_a_store_and_a_table_are_not_compared(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("model,accuracy,energy\nm,0.8,1\n")

    assert 2 == main(["compare", str(tmp_path / "a.csv"), store(tmp_path / "b.sqlite")])
    assert "are a store and a table; compare two of one kind" in capsys.readouterr().err


def test_an_unknown_measure_of_stores_is_told_with_those_there_are(tmp_path, capsys):
    a = store(tmp_path / "a.sqlite")

    assert 2 == main(["compare", a, a, "--fail-if", "aurok<0"])
    assert "unknown measure 'aurok'; did you mean 'auroc'?" in capsys.readouterr().err


def test_a_resource_that_was_not_read_is_told_as_that(tmp_path, capsys):
    a = store(tmp_path / "a.sqlite")

    assert 2 == main(["compare", a, a, "--fail-if", "carbon>5%"])
    assert "carbon was not read in the first run; there is" in capsys.readouterr().err


@given(
    st.sampled_from(["energy", "PePR-E", "top-1 acc"]), st.sampled_from([">", "<", ">=", "<="]), st.floats(-1e9, 1e9)
)
def test_a_threshold_means_what_is_written(name, sign, limit):
    percent = parse_threshold(f" {name} {sign} {limit!r} %")

    assert (name, sign, limit, True) == (percent.name, percent.sign, percent.limit, percent.percent)


@given(st.text(st.characters(exclude_characters="<>"), max_size=20))
def test_text_without_a_sign_is_refused(text):
    with pytest.raises(HarnessError, match="is no threshold; write NAME>NUMBER"):
        parse_threshold(text)


@pytest.mark.parametrize("text", ["energy>", ">5%", "energy>5%%", "energy>nan", "energy>1e999", "energy=>5", "a<b<1"])
def test_a_threshold_needs_a_name_a_sign_and_a_number(text):
    with pytest.raises(HarnessError, match="--fail-if"):
        parse_threshold(text)


@given(st.floats(-100, 100), st.floats(0, 50), st.floats(-100, 100), st.sampled_from("<>"))
def test_what_an_interval_breaks_the_change_breaks_too(change, half, limit, sign):
    threshold = parse_threshold(f"energy{sign}{limit!r}%")
    low, high = np.array([change - half]), np.array([change + half])

    assert not threshold.breaks(threshold.nearest(low, high))[0] or threshold.breaks(np.array([change]))[0]
