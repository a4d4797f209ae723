"""`harness compare SOURCE --by`: which rows are on which side, what is tested, and how it is corrected."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from stores import finished, make_store, reading, trial

from harness.__main__ import main
from harness.comparing.group_tests import Samples, benjamini_hochberg, common_language, hedges_g, holm, run_tests

NUMBERS = st.floats(0, 1e3).map(lambda value: round(value, 3))
SAMPLE = st.lists(NUMBERS, min_size=2, max_size=12).map(np.array)
CHANCES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@pytest.fixture
def compare(capsys):
    """Run `harness compare` for JSON; return its rows, by group and measure."""

    def compare(*arguments):
        assert main(["compare", *map(str, arguments), "--format", "json"]) == 0
        rows = json.loads(capsys.readouterr().out)["rows"]
        return {(row["group"], row["measure"]): row for row in rows}

    return compare


@pytest.fixture
def refused(capsys):
    """Run `harness compare` in vain; return the one line that says why."""

    def refused(*arguments):
        assert main(["compare", *map(str, arguments)]) == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        return line

    return refused


def write(tmp_path, kinds, performance, energy, **columns):
    """A table of models m0, m1, ... and their kinds."""
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "kind", "accuracy", "energy", *columns])
        names = [f"m{number}" for number in range(len(kinds))]
        writer.writerows(zip(names, kinds, performance, energy, *columns.values(), strict=True))
    return path


A, B = [0.8, 0.82, 0.85, 0.9], [0.7, 0.75, 0.72]
ENERGY = [10, 12, 11, 30, 40, 44, 39]


def test_two_kinds_are_compared_as_scipy_does(tmp_path, compare):
    row = compare(write(tmp_path, "aaaabbb", A + B, ENERGY), "--by", "kind")["all", "performance"]
    welch, student = stats.ttest_ind(A, B, equal_var=False), stats.ttest_ind(A, B)

    assert ("welch", 4, 3) == (row["test"], row["a"]["n"], row["b"]["n"])
    assert [welch.pvalue, student.pvalue] == pytest.approx([row["tests"][name]["p"] for name in ("welch", "student")])
    assert stats.mannwhitneyu(A, B).pvalue == pytest.approx(row["tests"]["mann-whitney"]["p"])
    assert list(welch.confidence_interval()) == pytest.approx([row["difference_low"], row["difference_high"]])


def test_resources_and_pepr_are_compared_too(tmp_path, compare):
    rows = compare(write(tmp_path, "aaaabbb", A + B, ENERGY), "--by", "kind")

    assert [("all", "performance"), ("all", "energy"), ("all", "PePR-E")] == list(rows)
    # Both kinds are one cohort: bounds 10 and 44.
    pepr = [p / (1 + (e - 10) / 34) for p, e in zip(A + B, ENERGY, strict=True)]
    assert np.mean(pepr[:4]) == pytest.approx(rows["all", "PePR-E"]["a"]["mean"])


def test_a_column_of_numbers_is_cut_at_the_median_of_the_models(tmp_path, compare):
    path = write(tmp_path, "aaaabbb", A + B, ENERGY, params=[1, 2, 3, 4, 5, 6, 7])
    row = compare(path, "--by", "params", "--at", "median")["all", "energy"]

    assert (3, 4) == (row["a"]["n"], row["b"]["n"])


def test_seeds_cut_by_a_number_of_their_own_are_still_one_model(tmp_path, compare):
    lines = [f"{m},{seed},0.{5 + at}{seed},{10 * at + int(seed)}" for at, m in enumerate("abcd") for seed in "123"]
    path = tmp_path / "t.csv"
    path.write_text("model,seed,accuracy,energy\n" + "\n".join(lines[:-1]) + "\n")
    row = compare(path, "--by", "energy", "--at", "15")["all", "performance"]

    assert (2, 2) == (row["a"]["n"], row["b"]["n"])


def test_models_on_both_sides_pair(tmp_path, compare):
    ended = [
        finished(
            trial(f"m{number}", weights=weights), 0.5 + number / 100 + gain, reading("energy", 5.0 + number + gain)
        )
        for number in range(5)
        for weights, gain in (("pretrained", 0.1 + number / 1000), ("scratch", 0.0))
    ]
    row = compare(make_store(tmp_path / "s.sqlite", ended), "--by", "weights")["digits", "performance"]

    assert ("paired", 5, "models") == (row["test"], row["pairs"], row["observations"])
    assert 0.102 == pytest.approx(row["difference"])


def test_seeds_of_one_model_are_one_observation(tmp_path, compare):
    ended = [
        finished(
            trial(model, seed=seed, weights=weights), 0.5 + seed / 100 + gain + bump, reading("energy", 5.0 + bump)
        )
        for model, bump in (("m", 0.0), ("n", 0.03))
        for seed in range(4)
        for weights, gain in (("pretrained", 0.1), ("scratch", 0.0))
    ]
    row = compare(make_store(tmp_path / "s.sqlite", ended), "--by", "weights")["digits", "energy"]

    assert (2, 2, "models") == (row["a"]["n"], row["b"]["n"], row["observations"])


def test_of_one_model_the_seeds_are_compared(tmp_path, compare):
    ended = [
        finished(trial("m", seed=seed, weights=weights), 0.5 + seed / 100 + gain, reading("energy", 5.0 + seed))
        for seed in range(4)
        for weights, gain in (("pretrained", 0.1 + seed / 1000), ("scratch", 0.0))
    ]
    row = compare(make_store(tmp_path / "s.sqlite", ended), "--by", "weights")["digits", "performance"]

    assert (4, "seeds", 4) == (row["a"]["n"], row["observations"], row["pairs"])


@pytest.mark.parametrize("kind", ["store", "table"])
def test_two_models_pair_by_their_seeds(tmp_path, compare, kind):
    runs = [
        (model, seed, 0.5 + seed / 100 + at / 10 + at * seed / 900)
        for at, model in enumerate("mn")
        for seed in range(4)
    ]
    if kind == "store":
        ended = [finished(trial(model, seed=seed), value, reading("energy", 1.0 + seed)) for model, seed, value in runs]
        source, group = make_store(tmp_path / "s.sqlite", ended), "digits"
    else:
        source, group = tmp_path / "t.csv", "all"
        source.write_text("model,seed,accuracy,energy\n" + "".join(f"{m},{s},{v},{1 + s}\n" for m, s, v in runs))
    row = compare(source, "--by", "model")[group, "performance"]

    assert ("paired", 4, "seeds") == (row["test"], row["pairs"], row["observations"])


def test_models_that_no_plugin_registers_have_no_tag(tmp_path, refused):
    told = refused(write(tmp_path, "aabb", [0.5] * 4, [1, 2, 3, 5]), "--by", "tag:small")

    assert "no model here is registered, so 'tag:small' is not known" in told


def test_a_mean_over_datasets_leaves_out_models_that_lack_one(tmp_path, capsys):
    ended = [
        finished(trial(model, dataset, train_fraction=part), 0.5 + part / 10 + at, reading("energy", 5 + part + at))
        for at, model in enumerate(("a", "b", "c"))
        for at in [at / 100]
        for dataset in ("d1", "d2")
        for part in (1.0, 0.1)
        if (model, dataset) != ("c", "d2")
    ]
    store = make_store(tmp_path / "s.sqlite", ended)
    assert 0 == main(["compare", str(store), "--by", "train_fraction", "--between", "1", "0.1", "--over", "dataset"])
    out, err = capsys.readouterr()

    assert "2, 2 models" in out
    assert "left out, not being in all that is averaged over: c" in err


def test_a_model_without_a_value_in_one_dataset_is_left_out_of_a_mean_over_datasets(tmp_path, capsys):
    lines = [f"{m},d{d},{kind},{0.5 + d / 10 + at * d * (kind == 'x') / 100},1" for m, at in AT for kind, d in PARTS]
    path = tmp_path / "t.csv"
    path.write_text("model,dataset,kind,accuracy,energy\n" + "\n".join(lines).replace("a,d2,y,0.7,", "a,d2,y,,") + "\n")
    options = ("--by", "kind", "--between", "x", "y", "--over", "dataset", "--format", "json")
    assert 0 == main(["compare", str(path), *options])
    out, err = capsys.readouterr()
    row = json.loads(out)["rows"][0]

    # Its mean would be that of d1 alone, 0.6, though all others have 0.65.
    assert (4, 3, 0.65) == (row["a"]["n"], row["b"]["n"], pytest.approx(row["b"]["mean"]))
    assert "left out, not being in all that is averaged over: a" in err


AT, PARTS = [*zip("bcda", range(4), strict=True)], [(kind, d) for d in (2, 1) for kind in "xy"]


def test_seeds_of_several_models_are_no_models_though_the_other_side_has_one(tmp_path, compare):
    lines = [
        f"{m},{seed},{kind},{0.1 * at + int(seed) / 100},{seed}" for at, (m, kind) in enumerate(SIDES) for seed in "123"
    ]
    path = tmp_path / "t.csv"
    path.write_text("model,seed,kind,accuracy,energy\n" + "\n".join(lines) + "\n")
    row = compare(path, "--by", "kind")["all", "performance"]

    assert (3, 2, "seeds and models", 0) == (row["a"]["n"], row["b"]["n"], row["observations"], row["pairs"])


SIDES = [("m", "x"), ("n", "y"), ("o", "y")]


def test_tags_and_parameters_come_from_the_registry(tmp_path, compare):
    small, large = ("resnet18d", "mobilevitv2_050"), ("resnet152d", "resnetrs101")
    ended = [
        finished(trial(model), 0.5 + at / 10, reading("energy", at + 1.0)) for at, model in enumerate(small + large)
    ]
    store = make_store(tmp_path / "s.sqlite", ended)
    by_tag, by_size = (compare(store, *how) for how in (["--by", "tag:small"], ["--by", "parameters", "--at", "3e7"]))

    assert 0.55 == pytest.approx(by_tag["digits", "performance"]["a"]["mean"])
    assert by_tag["digits", "energy"]["tests"] == by_size["digits", "energy"]["tests"]


def test_values_that_do_not_vary_have_no_p_but_a_reason(tmp_path, compare):
    row = compare(write(tmp_path, "aabb", [0.5] * 4, [1, 2, 3, 5]), "--by", "kind")["all", "performance"]

    assert (None, None, "the values do not vary") == (row["p"], row["p_holm"], row["reason"])


def test_sides_that_differ_but_do_not_vary_are_not_called_certain(tmp_path, compare):
    row = compare(write(tmp_path, "aabb", [0.8, 0.8, 0.9, 0.9], [1, 2, 3, 5]), "--by", "kind")["all", "performance"]

    assert (None, "the values do not vary", None) == (row["p"], row["reason"], row["difference_low"])
    assert {"welch": None, "student": None} == {name: row["tests"][name]["p"] for name in ("welch", "student")}


def test_pairs_that_differ_by_as_much_but_for_rounding_have_no_p(tmp_path, compare):
    lines = [f"{model},{kind},{value},{at}" for at, (model, kind, value) in enumerate(EVEN)]
    path = tmp_path / "t.csv"
    path.write_text("model,kind,accuracy,energy\n" + "\n".join(lines) + "\n")
    row = compare(path, "--by", "kind")["all", "performance"]

    assert (None, "the differences of the pairs do not vary") == (row["p"], row["reason"])


EVEN = [("a", "x", 0.1), ("b", "x", 0.2), ("c", "x", 0.3), ("a", "y", 0.2), ("b", "y", 0.3), ("c", "y", 0.4)]


def test_the_interval_of_the_signed_ranks_is_that_of_the_pairs(tmp_path, compare):
    path = tmp_path / "t.csv"
    lines = ["a,x,0.9,1", "b,x,0.1,2", "c,x,0.2,4", "d,x,0.15,3", "a,y,0.8,1", "b,y,0.05,2"]
    path.write_text("model,kind,accuracy,energy\n" + "\n".join(lines) + "\n")
    ways = [compare(path, "--by", "kind", "--test", name)["all", "performance"] for name in ("paired", "wilcoxon")]

    assert 0.075 == pytest.approx(ways[1]["difference"])
    assert ways[0]["difference_low"] == ways[1]["difference_low"]


def test_the_csv_has_a_column_for_each_test(tmp_path, capsys):
    path = write(tmp_path, "aaaabbb", A + B, ENERGY)
    assert 0 == main(["compare", str(path), "--by", "kind", "--format", "csv"])
    row = next(csv.DictReader(capsys.readouterr().out.splitlines()))

    assert {"a_mean", "b_sd", "welch_p", "mann_whitney_statistic", "p_holm", "p_bh", "hedges_g"} <= row.keys()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--by", "color"], "unknown column 'color'"),
        (["--by", "model"], "'model' has 7 values, not two; choose two with --between A B"),
        (["--by", "kind", "--between", "a", "c"], "unknown value of kind 'c'"),
        (["--by", "kind", "--between", "a", "a"], "--between has 'a' on both sides"),
        (["--by", "kind", "--at", "median"], "--at cuts numbers, and kind has 'a'"),
        (["--by", "energy", "--at", "many"], "--at 'many' must be a number or median"),
        (["--by", "energy", "--at", "1000"], "no row is on the side 'energy >= 1000'; energy is 10,"),
        (["--by", "tag:tiny"], "unknown tag 'tiny'"),
        (["--by", "kind", "--at", "1", "--between", "a", "b"], "--at and --between both say"),
        (["--by", "kind", "--strict"], "--strict is for two runs"),
        ([], "compare what? name the groups with --by COLUMN"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(tmp_path, refused, options, line):
    assert line in refused(write(tmp_path, "aaaabbb", A + B, ENERGY), *options)


def test_column_of_one_value_is_told_with_the_value(tmp_path, refused):
    told = refused(write(tmp_path, "aaaabbb", A + B, ENERGY, site=["here"] * 7), "--by", "site")

    assert "'site' is 'here' of all rows that have it; name another column or tag" in told


def test_accuracies_in_percent_are_not_compared_as_if_they_were_parts(tmp_path, refused):
    told = refused(write(tmp_path, "aabb", [50, 60, 70, 80], [1, 2, 3, 5]), "--by", "kind")

    assert "row 1 ('m0'): performance 50 is outside 0 to 1; say --performance-range LOW..HIGH" in told


def test_groups_of_one_row_cannot_be_tested(tmp_path, refused):
    told = refused(write(tmp_path, "ab", [0.5, 0.6], [1, 2]), "--by", "kind")

    assert "1 and 1 observations; a test needs two on each side" in told


@given(CHANCES)
def test_holm_never_lowers_a_p_and_keeps_their_order(p):
    corrected = np.array(holm(p))

    assert (corrected >= np.array(p)).all()
    assert (corrected <= np.minimum(1, np.array(p) * len(p)) + 1e-15).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()


@given(CHANCES)
def test_the_false_discovery_rate_corrects_less_than_holm(p):
    assert (np.array(benjamini_hochberg(p)) <= np.array(holm(p)) + 1e-12).all()


def test_holm_is_as_in_his_example():
    # 0.01 x 4, 0.0133 x 3 and so on; none below the one before.
    assert [0.03, 0.06, 0.06, 0.02] == pytest.approx(holm([0.01, 0.04, 0.03, 0.005]))


@given(SAMPLE, SAMPLE)
def test_the_common_language_effect_is_the_share_of_pairs(a, b):
    above = np.mean((a[:, None] > b) + (a[:, None] == b) / 2)

    assert above == pytest.approx(common_language(a, b))


@given(SAMPLE, SAMPLE)
def test_swapping_the_sides_turns_the_effect_around(a, b):
    there, back = hedges_g(a, b), hedges_g(b, a)

    assert (there is None) == (back is None)
    assert there is None or there == pytest.approx(-back)


def test_hedges_g_is_cohens_d_freed_of_its_bias():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])

    # d = -1; with 4 degrees of freedom the factor is 0.7979.
    assert -0.7979 == pytest.approx(hedges_g(a, b), abs=1e-4)


@given(SAMPLE, SAMPLE)
def test_every_test_says_a_number_or_nothing(a, b):
    size = min(len(a), len(b))
    found = run_tests(Samples(a, b, a[:size], b[:size]))

    assert {"welch", "student", "mann-whitney", "paired", "wilcoxon"} == found.keys()
    assert all(one.p is None or 0 <= one.p <= 1 for one in found.values())
