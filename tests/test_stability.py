"""How sure a ranking is: chances that mean what they say, over seeds and over readings."""

from __future__ import annotations

import json

import numpy as np
import pandas
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from stores import finished, make_store, reading, trial

from harness.__main__ import main
from harness.pepr import score_arrays
from harness.scoring.intervals import interval_method, mean_intervals
from harness.scoring.score_table import score_table
from harness.sources.table import error_bar


def cohort(rng, seeds, bar, models=40, scatter=(1.0, 1.0)):
    """(A made-up cohort as it was read, its true scores): models scatter over seeds, energies within the bar too."""
    truth = pandas.DataFrame({"performance": rng.uniform(0.2, 0.8, models), "energy": rng.uniform(100, 1000, models)})
    frame = truth.loc[truth.index.repeat(seeds)].reset_index()
    size = len(frame)
    own = rng.uniform(*scatter, models).repeat(seeds) * (seeds > 1)
    frame["performance"] += rng.normal(0, 0.03, size) * own
    frame["energy"] += rng.normal(0, 20, size) * own + rng.uniform(-bar, bar, size)
    frame = frame.assign(model=[f"m{number}" for number in frame["index"]], group="g", seed=[*range(seeds)] * models)
    frame[error_bar("energy")] = bar
    return frame, score_arrays(truth["performance"], {"energy": truth["energy"]})


def chances(frame, **options):
    """The models, best first, and the chance of each to beat each other."""
    pairs = score_table(frame, {"energy": 1}, stability=True, **options).stability.groups["g"]
    return pairs.models, pairs.beats


@pytest.mark.parametrize(
    ("seeds", "bar", "scatter"),
    [
        (1, 60.0, (1, 1)),
        (2, 0.0, (1, 1)),
        (2, 40.0, (0.1, 2)),
        (3, 0.0, (1, 1)),
        (3, 0.0, (0.1, 2)),
        (3, 40.0, (1, 1)),
        (8, 0.0, (0.1, 2)),
    ],
)
def test_of_the_pairs_called_ninety_percent_about_ninety_percent_are_right(seeds, bar, scatter):
    rng, right = np.random.default_rng(7), []
    for _ in range(15):
        frame, truth = cohort(rng, seeds, bar, scatter=scatter)
        models, beats = chances(frame)
        true = truth[[int(name[1:]) for name in models]]
        called = (beats > 0.85) & (beats < 0.95)
        right += (true[:, None] > true)[called].tolist()

    assert len(right) > 200
    assert 0.85 <= np.mean(right) <= 0.95


def test_the_model_called_best_is_the_best_as_often_as_it_says():
    rng, said, right = np.random.default_rng(5), [], []
    for _ in range(150):
        frame, truth = cohort(rng, 3, 0.0, models=10)
        table = score_table(frame, {"energy": 1}, stability=True).table
        said += table["probability_first"].tolist()
        right += [int(name[1:]) == truth.argmax() for name in table["model"]]

    likely = np.array(said) > 0.3
    assert np.mean(np.array(said)[likely]) == pytest.approx(np.mean(np.array(right)[likely]), abs=0.08)


def one_seed(performance, energy, bar):
    frame = pandas.DataFrame({"model": list("abcdefgh")[: len(performance)], "group": "g"})
    return frame.assign(performance=performance, energy=energy, **{error_bar("energy"): bar})


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=6),
    st.sampled_from(["minmax", "max", "robust"]),
)
def test_the_chances_of_a_group_add_up(lines, normalization):
    frame = one_seed(*map(list, zip(*lines, strict=True)))
    score = score_table(frame, {"energy": 1}, normalization=normalization, stability=True)
    beats = score.stability.groups["g"].beats

    assert 1 == pytest.approx(score.table["probability_first"].sum())
    assert beats + beats.T == pytest.approx(np.ones_like(beats))


def test_without_bars_and_seeds_the_ranking_is_certain_and_says_that_it_says_nothing():
    score = score_table(one_seed([0.8, 0.7], [1.0, 2.0], 0.0), {"energy": 1}, stability=True)

    assert [1.0, 0.0] == score.table["probability_first"].tolist()
    assert "the chances say nothing" in score.stability.told()


def test_models_that_score_the_same_share_the_first_place():
    score = score_table(one_seed([0.8, 0.8], [1.0, 1.0], 0.0), {"energy": 1}, stability=True)

    assert [0.5, 0.5] == score.table["probability_first"].tolist()
    assert 0.5 == score.table["probability_beats_next"][0]


def test_a_reading_within_its_neighbours_bar_may_be_the_smaller():
    frame = one_seed([0.8, 0.8, 0.1], [10.0, 10.2, 20.0], [1.0, 1.0, 0.0])
    first = score_table(frame, {"energy": 1}, stability=True).table["probability_first"]

    # Of two even draws 0.2 apart and 2 wide, the smaller centre is the smaller draw in 1 - 0.9^2 / 2 of cases.
    assert first.tolist() == pytest.approx([0.595, 0.405, 0], abs=0.02)


def test_bounds_of_an_earlier_cohort_are_not_drawn_anew():
    score = score_table(one_seed([0.8, 0.7], [10.0, 20.0], 1.0), {"energy": 1})
    frame = one_seed([0.8, 0.8], [10.0, 10.0], [5.0, 0.0])
    drawn = score_table(frame, {"energy": 1}, bounds=score.bounds, stability=True).table

    assert drawn["probability_first"].tolist() == pytest.approx([0.5, 0.5], abs=0.02)


def test_a_row_without_a_score_has_no_chance():
    score = score_table(one_seed([0.8, 0.7], [1.0, float("nan")], 0.0), {"energy": 1}, stability=True)

    assert [1.0, None] == [row["probability_first"] for row in score.rows]


def test_the_table_says_it_in_words_a_person_can_read(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("model,accuracy,energy,energy_uncertainty\na,0.8,100,1\nb,0.8,100.2,1\nc,0.1,200,1\n")
    assert 0 == main(["score", str(table), "--stability"])
    out = capsys.readouterr().out

    assert "60 of 100" in out or "59 of 100" in out
    assert "one seed: of the readings only, not of what another seed would give" in out


def test_models_of_one_seed_among_others_are_told(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("model,seed,accuracy,energy\na,1,0.8,1\na,2,0.9,1.1\nb,1,0.85,2\nb,2,0.86,2.1\nc,1,0.7,3\n")
    assert 0 == main(["score", str(table), "--stability"])

    assert "; 1 of one seed, drawn as if every other gave the same" in capsys.readouterr().out


def test_a_store_brings_its_error_bars(tmp_path, capsys):
    ended = [
        finished(trial(model), 0.8, evolve(reading("time", seconds), uncertainty=2.0))
        for model, seconds in (("a", 10.0), ("b", 11.0))
    ]
    store = make_store(tmp_path / "s.sqlite", ended)
    assert 0 == main(["score", str(store), "--stability", "--format", "json"])
    document = json.loads(capsys.readouterr().out)

    assert {"draws": 10_000, "seeds": False, "readings": True}.items() <= document["stability"].items()
    assert 1 - 0.75**2 / 2 == pytest.approx(document["rows"][0]["probability_first"], abs=0.02)


def test_stability_goes_with_neither_a_curve_nor_a_score_of_a_plugin(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("model,energy,e_0,e_1\na,1,0.1,0.2\n")

    assert 2 == main(["score", str(table), "--curve", "e_0..e_1", "--stability"])
    assert "--stability does not go with --curve" in capsys.readouterr().err


@pytest.mark.parametrize(("seeds", "method"), [(1, None), (2, "t"), (4, "t"), (5, "bootstrap")])
def test_how_an_interval_is_made_follows_from_the_seeds(seeds, method):
    assert method == interval_method(seeds)


@pytest.mark.parametrize("seeds", [2, 4, 5, 6, 10])
def test_intervals_hold_the_truth_in_about_95_of_100(seeds):
    rng, rows = np.random.default_rng(3), 1000
    values, row = rng.normal(size=(rows, seeds)), np.arange(rows).repeat(seeds)
    low, high = mean_intervals(values.ravel(), row, np.ones(rows * seeds, dtype=bool), values.mean(axis=1))

    assert 0.915 <= np.mean((low <= 0) & (high >= 0)) <= 0.975


def test_rows_tell_how_their_intervals_were_made():
    rng = np.random.default_rng(1)
    sizes = {"a": 5, "b": 2, "c": 1}
    frame = pandas.DataFrame([(model, seed) for model, size in sizes.items() for seed in range(size)])
    frame = frame.set_axis(["model", "seed"], axis=1).assign(
        group="g", performance=0.5, energy=rng.uniform(1, 2, len(frame))
    )
    rows = {row["model"]: row for row in score_table(frame, {"energy": 1}).rows}

    assert {"a": "bootstrap", "b": "t", "c": None} == {model: row["interval"] for model, row in rows.items()}
    assert rows["a"]["resources"]["energy"]["low"] < rows["a"]["resources"]["energy"]["high"]
    assert rows["c"]["resources"]["energy"]["low"] is None
