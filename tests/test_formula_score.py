"""A score that a plugin gives as a formula: computed per row, missing with a reason, named where its plugin fails."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas
import pytest
from stores import failed, finished, make_store, missing, reading, trial

from harness import FormulaScore
from harness.__main__ import main
from harness.errors import HarnessError

PLUGIN = """
from harness import FormulaScore, hookimpl
from harness.scoring.score import Score

@hookimpl
def harness_register_scores(register):
    register("edp", FormulaScore("edp", lambda energy, time: energy * time, unit="J s", smaller_is_better=True))
    register("rude", FormulaScore("rude", lambda time: {}["no"]))
    register("odd", lambda frame, resources: "a score")
    register("bare", lambda frame, resources: Score(frame, {}, {}, None, None, "train", name="bare"))
"""
EDP = FormulaScore("edp", lambda energy, time: energy * time, unit="J s", smaller_is_better=True)


def table(**columns: Any) -> pandas.DataFrame:
    size = len(columns["performance"])
    return pandas.DataFrame({"model": list("abcdefgh")[:size], "group": "g", **columns})


def test_smallest_product_ranks_first_and_what_lacks_a_reading_last() -> None:
    score = EDP(table(performance=[0.5, 0.9, 0.7], energy=[4.0, 1.0, math.nan], time=[2.0, 3.0, 1.0]))

    assert ["b", "a", "c"] == score.table["model"].tolist()
    assert [3.0, 8.0, None] == [row["edp"] for row in score.flat_rows]
    assert [None, None, "no reading of energy"] == [row["reason"] for row in score.flat_rows]


def test_largest_ranks_first_unless_told_otherwise() -> None:
    per_joule = FormulaScore("per_joule", lambda performance, energy: performance / energy)

    score = per_joule(table(performance=[0.5, 0.9, 0.2], energy=[1.0, 1.0, 0.0]))
    assert ["b", "a", "c"] == score.table["model"].tolist()
    assert "per_joule is no finite number" == score.flat_rows[2]["reason"]


def test_seeds_are_scored_each_and_their_mean_is_the_rows() -> None:
    frame = table(performance=[0.5, 0.5], energy=[1.0, 3.0], time=[1.0, 3.0], seed=[1, 2]).assign(model="a")

    (row,) = EDP(frame).flat_rows
    assert (5.0, 2) == (row["edp"], row["seeds"])  # not 2 J x 2 s
    assert row["edp_low"] < 5 < row["edp_high"]


def test_document_names_the_score_its_unit_and_direction() -> None:
    document = EDP(table(performance=[0.5], energy=[4.0], time=[2.0]), units={"energy": "J"}).document()

    assert ("harness.score/1", "edp", "J s", True) == tuple(
        document[name] for name in ("schema", "score", "unit", "smaller_is_better")
    )
    assert {"value": 4.0} == document["rows"][0]["resources"]["energy"]
    assert 8.0 == document["rows"][0]["edp"]
    assert not {"alpha", "normalize"} & document.keys()


@pytest.mark.parametrize("wrong", [lambda time: 3.0, lambda time: time.astype(str), lambda time: time[:1]])
def test_formula_that_gives_no_number_for_each_line_is_refused(wrong: Any) -> None:
    with pytest.raises(HarnessError, match="the formula of score 'wrong' gave .*not a number for each of 2 lines"):
        FormulaScore("wrong", wrong)(table(performance=[0.5, 0.6], time=[1.0, 2.0]))


@pytest.mark.parametrize("name", ["pepr", "model", "time"])
def test_score_that_is_called_like_another_column_is_refused(name: str) -> None:
    with pytest.raises(HarnessError, match=f"cannot be called '{name}'"):
        FormulaScore(name, lambda time: time)(table(performance=[0.5], time=[1.0]))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of four models, and a module of scores on the path."""
    (tmp_path / "own_scores.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    costs = {"dear": (9.0, 3.0), "cheap": (2.0, 1.0)}
    done = [
        finished(trial(name), 0.9, reading("energy_cpu", energy), reading("time", time))
        for name, (energy, time) in costs.items()
    ]
    lacking = finished(trial("lacking"), 0.8, missing("energy_cpu", "no counter"), reading("time", 1.0))
    return str(make_store(tmp_path / "s.sqlite", [*done, lacking, failed(trial("broken"), "oom", "no memory")]))


def test_store_is_scored_by_a_plugins_score(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["score", store, "--plugin", "own_scores", "--score", "edp", "--format", "json"])

    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [("cheap", 2.0), ("dear", 27.0)] == [(row["model"], row["edp"]) for row in rows[:2]]
    assert {"lacking": "energy_cpu is missing: no counter", "broken": "oom: no memory"} == {
        row["model"]: row["reason"] for row in rows[2:]
    }


def test_table_for_people_shows_the_score_with_its_unit(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["score", store, "--plugin", "own_scores", "--score", "edp"])

    assert "edp [J s]" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--score", "edb"], 2, "unknown score 'edb'; did you mean 'edp'"),
        (["--score", "edp", "--resource", "time"], 2, "--score edp is made of energy, time; leave --resource out"),
        (["--score", "edp", "--alpha", "2"], 2, "--alpha does not go with --score edp"),
        (["--score", "edp", "--normalize", "max"], 2, "--normalize does not go with --score edp"),
        (["--score", "edp", "--pareto"], 2, "--pareto does not go with --score edp"),
        (["--score", "edp", "--curve"], 2, "--score does not go with --curve"),
        (["--score", "rude"], 1, "score 'rude' of plugin 'own_scores' (module ?) raised KeyError: 'no'"),
        (["--score", "odd"], 1, "score 'odd' of plugin 'own_scores' (module ?) gave 'a score', which is no Score"),
        (
            ["--score", "bare"],
            1,
            "score 'bare' of plugin 'own_scores' (module ?) gave a Score without the columns bare",
        ),
    ],
)
def test_what_does_not_go_is_one_line(
    store: str, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code == main(["score", store, "--plugin", "own_scores", *arguments])

    told = capsys.readouterr().err.splitlines()
    assert 1 == len(told)
    assert message in told[0]


def test_pepr_by_name_is_pepr(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["score", store, "--format", "json"])
    unnamed = capsys.readouterr().out
    assert 0 == main(["score", store, "--score", "pepr", "--format", "json"])

    assert unnamed == capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--score", "edb"], "unknown score 'edb'; did you mean 'edp'"),
        (["--score", "edp", "--budget", "time=1s"], "--budget does not go with --score"),
        (["study.toml"], "unknown score 'of_the_file'"),
    ],
)
def test_run_refuses_a_score_before_anything_has_run(
    store: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("study.toml").write_text('score = "of_the_file"\n')
    words = ("--plugin", "own_scores", "--model", "resnet18d", "--dataset", "digits")

    assert 2 == main(["run", *words, *arguments])
    assert message in capsys.readouterr().err
    assert not Path("harness.sqlite").exists()
