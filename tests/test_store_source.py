"""Stores to tables: groups, names, phases, derived resources, gaps and warnings."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from stores import failed, finished, make_store, missing, reading, trial

from harness.errors import HarnessError
from harness.records import EpochDone, Started, StudyRecord
from harness.scoring.ranking import Request, score_source
from harness.sources.curve_source import read_curves
from harness.sources.source import read_source
from harness.sources.table import Query
from harness.store.reading import open_reader
from harness.store.store import Store


@pytest.fixture
def store(tmp_path):
    """Make a store of what ended."""
    return lambda *ended, **more: make_store(tmp_path / "study.sqlite", ended, **more)


def energies(*joules, **setting):
    """Trials of models a, b, c, ... with half of all answers right."""
    return [
        finished(trial(name, **setting), 0.5, reading("energy_gpu", value))
        for name, value in zip("abcdef", joules, strict=False)
    ]


def test_a_group_is_named_by_its_dataset(store):
    assert read_source(store(*energies(1, 2))).frame["group"].tolist() == ["digits", "digits"]


def test_settings_that_differ_within_a_dataset_make_groups(store):
    path = store(*energies(1), *energies(2, train_fraction=0.1))

    assert read_source(path).frame["group"].tolist() == ["digits, train_fraction=1.0", "digits, train_fraction=0.1"]


def test_settings_that_go_with_the_dataset_are_not_told(store):
    path = store(*energies(1), *energies(2, dataset="derma", image_size=64))

    assert read_source(path).frame["group"].tolist() == ["digits", "derma"]


def test_grouped_by_dataset_the_setting_belongs_to_the_name(store):
    path = store(*energies(1), *energies(2, weights="scratch"))
    frame = read_source(path, Query(group=("dataset",))).frame

    assert frame["group"].tolist() == ["digits", "digits"]
    assert frame["model"].tolist() == ["a pretrained", "a scratch"]


def test_a_group_that_trials_have_not_is_refused(store):
    with pytest.raises(HarnessError, match="unknown group 'datset'; did you mean 'dataset'"):
        read_source(store(*energies(1)), Query(group=("datset",)))


def test_energy_memory_and_carbon_are_derived(store):
    taken = [reading("energy_gpu", 3e6), reading("energy_cpu", 6e5), reading("memory_host", 100)]
    path = store(finished(trial("a"), 0.5, *taken, reading("carbon_intensity", 30)))
    table = read_source(path, Query(pue=1.5))

    assert table.frame[["energy", "memory", "carbon"]].iloc[0].tolist() == [3.6e6, 100.0, pytest.approx(45)]
    assert [table.units[name] for name in ("energy", "memory", "carbon")] == ["J", "B", "g"]


def test_on_cuda_memory_is_that_of_cuda(store):
    taken = [reading("memory_cuda", 7), reading("memory_host", 100)]

    assert read_source(store(finished(trial("a", device="cuda"), 0.5, *taken))).frame["memory"].tolist() == [7]


def test_grams_are_recomputed_from_stored_joules(store):
    path = store(finished(trial("a"), 0.5, reading("energy_gpu", 3.6e6), reading("carbon_intensity", 400)))

    assert read_source(path, Query(carbon_intensity=30, pue=1.2)).frame["carbon"].tolist() == [pytest.approx(36)]


def test_grams_can_be_computed_where_no_intensity_was_stored(store):
    score = score_source(store(*energies(3.6e6, 7.2e6)), Request(Query(carbon_intensity=30), {"C": 1}))

    assert score.table["carbon"].tolist() == [pytest.approx(30), pytest.approx(60)]


def test_data_is_what_the_trial_was_trained_on(store):
    path = store(finished(trial("a"), 0.5, facts={"data": 1078}), finished(trial("b"), 0.5, facts={"data": 107}))

    assert read_source(path).frame["data"].tolist() == [1078, 107]


def test_phases_are_kept_apart(store):
    taken = [reading("time", 60), reading("time", 2, phase="infer_batch"), reading("time", 6, epoch=1)]
    path = store(finished(trial("a"), 0.5, *taken))

    assert read_source(path, Query(phase="infer_batch")).frame["time"].tolist() == [2]
    assert read_source(path).frame["time"].tolist() == [60]


def test_readings_of_single_devices_do_not_count(store):
    path = store(finished(trial("a"), 0.5, reading("energy_gpu", 1, device="GPU-1"), reading("energy_gpu", 3)))

    assert read_source(path).frame["energy_gpu"].tolist() == [3]


def test_of_two_meters_the_first_counts(store):
    path = store(finished(trial("a"), 0.5, reading("time", 1, meter="x"), reading("time", 9, meter="y")))

    assert read_source(path).frame["time"].tolist() == [1]


def test_a_missing_part_leaves_no_energy_but_the_reason(store):
    gap = missing("energy_cpu", "no permission")
    path = store(*energies(1), finished(trial("b"), 0.5, reading("energy_gpu", 3), gap))
    row = score_source(path, Request(weights={"E": 1})).rows[1]

    assert (row["pepr"], row["reason"]) == (None, "energy_cpu is missing: no permission")


def test_a_failed_trial_is_a_row_with_its_reason(store):
    path = store(*energies(1, 2), failed(trial("c"), "oom", "CUDA out of memory"))
    row = score_source(path).rows[-1]

    assert (row["model"], row["pepr"], row["reason"]) == ("c", None, "oom: CUDA out of memory")


def test_an_accepted_attempt_stands_though_a_later_one_failed(store):
    path = store(*energies(5))
    store(failed(trial("a"), "timeout", "after 30 min"))

    assert read_source(path).frame["energy"].tolist() == [5]


def test_a_trial_that_runs_still_is_a_row_without_a_score(tmp_path):
    with Store.open(tmp_path / "study.sqlite") as writer:
        study = writer.begin_study(StudyRecord("2026-01-01T00:00:00Z"))
        writer.add_trials(study, [trial("a")])
        writer.record(study, Started(trial("a").key, 1, "spawn"))

        assert read_source(tmp_path / "study.sqlite").frame["reason"].tolist() == ["running"]


def test_seeds_are_one_row(store):
    one, other = (finished(trial("a", seed=seed), 0.4 + seed / 10, reading("energy_gpu", seed)) for seed in (1, 2))
    score = score_source(store(one, other, *energies(0, 9)[1:]), Request(weights={"E": 1}))

    assert dict(zip(score.table["model"], score.table["seeds"], strict=True)) == {"a": 2, "b": 1}


def test_only_the_trials_asked_for_are_taken(store):
    path = store(*energies(1, 2, 3))

    assert read_source(path, Query(trials={trial("b").key})).frame["model"].tolist() == ["b"]


def test_another_metric_can_be_the_performance(store):
    path = store(finished(trial("a"), 0.5, metrics={"auc": 0.75}))

    assert read_source(path, Query(performance="auc")).frame["performance"].tolist() == [0.75]


def test_a_metric_that_was_not_stored_is_refused(store):
    with pytest.raises(
        HarnessError, match=r"unknown performance 'auk'; did you mean 'auc'\? available: auc, performance"
    ):
        read_source(store(finished(trial("a"), 0.5, metrics={"auc": 0.75})), Query(performance="auk"))


def test_a_metric_that_is_undefined_is_missing_with_its_reason(store):
    undefined = {"undefined_metrics": {"auroc": "the test split has no image of class 3"}}
    path = store(
        finished(trial("a"), 0.5, metrics={"accuracy": 0.5}, facts=undefined),
        finished(trial("b"), 0.5, metrics={"auroc": 0.75}),
        finished(trial("c"), 0.5, metrics={}),
    )
    frame = read_source(path, Query(performance="auroc")).frame.set_index("model")

    assert [True, False, True] == frame["performance"].isna().tolist()
    assert "auroc: the test split has no image of class 3" == frame["reason"]["a"]
    assert "auroc: was not stored with this trial" == frame["reason"]["c"]


def test_a_field_that_came_after_a_trial_was_stored_is_at_its_default_and_makes_no_other_group(store, tmp_path):
    path = store(*energies(1, 2))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE trials SET setting = json_remove(setting, '$.stratified') WHERE model = ?", [trial("a").model]
        )

    with open_reader(path) as reader:
        assert [False, False] == [row["stratified"] for row in reader.trials()]
    assert ["digits", "digits"] == read_source(path).frame["group"].tolist()


def test_estimated_and_measured_energy_in_one_group_are_told(store):
    path = store(*energies(1), finished(trial("b"), 0.5, reading("energy_gpu", 3, "estimated")))

    assert score_source(path).warnings == (
        "energy of digits: some rows are estimated, others measured; they do not compare",
    )


def test_estimated_energy_in_another_group_is_not_told(store):
    other = finished(trial("a", dataset="derma"), 0.5, reading("energy_gpu", 3, "estimated"))

    assert score_source(store(*energies(1), other)).warnings == ()


def test_host_memory_under_different_start_methods_is_told(store):
    store(finished(trial("a"), 0.5, reading("memory_host", 1)))
    path = store(finished(trial("b"), 0.5, reading("memory_host", 2)), start_method="spawn")

    assert score_source(path, Request(weights={"M": 1})).warnings == (
        "memory of digits: processes were started by forkserver and spawn, whose memory does not compare",
    )


def test_a_resource_that_was_never_read_is_refused_with_those_that_were(store):
    with pytest.raises(HarnessError, match="unknown resource 'time'; available: E, energy, energy_gpu"):
        score_source(store(*energies(1)), Request(weights={"time": 1}))


def test_a_store_without_trials_is_refused(tmp_path):
    Store.open(tmp_path / "study.sqlite").close()

    with pytest.raises(HarnessError, match="holds no trials"):
        read_source(tmp_path / "study.sqlite")


def test_a_store_of_a_newer_harness_is_refused(store):
    path = store(*energies(1))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(HarnessError, match=r"99.*upgrade"):
        read_source(path)


def test_trials_that_all_failed_are_shown_where_that_is_wanted(store):
    path = store(failed(trial("a"), "oom", "CUDA out of memory"))
    score = score_source(path, strict=False)

    assert score.rows[0]["reason"] == "oom: CUDA out of memory"


def epochs_of(name, *performances):
    return [EpochDone(trial(name).key, epoch, None, value) for epoch, value in enumerate(performances, start=1)]


def test_epochs_make_a_curve_over_what_they_cost_so_far(store):
    laps = [reading("energy_gpu", 10, epoch=1), reading("energy_gpu", 30, epoch=2)]
    curves = read_curves(store(finished(trial("a"), 0.8, *laps), epochs=epochs_of("a", 0.6, 0.8)), Query())
    row = curves.rows(points=True)[0]

    assert (curves.resource, row["pepr"], row["at"]) == ("energy", 0.6, 1)
    assert [point["value"] for point in row["points"]] == [10, 40]


def test_memory_along_a_curve_is_the_peak_so_far(store):
    laps = [reading("memory_host", value, epoch=epoch) for epoch, value in enumerate((5, 9, 7), start=1)]
    path = store(finished(trial("a"), 0.8, *laps), epochs=epochs_of("a", 0.6, 0.7, 0.8))
    row = read_curves(path, Query(resources=("M",))).rows(points=True)[0]

    assert [point["value"] for point in row["points"]] == [5, 9, 9]


def test_epochs_without_readings_are_counted(store):
    curves = read_curves(store(finished(trial("a"), 0.8), epochs=epochs_of("a", 0.6, 0.8)), Query())

    assert (curves.resource, curves.document()["resource"]["bounds"]) == ("epoch", {"digits": [1.0, 2.0]})


def test_a_curve_over_a_resource_that_no_epoch_has_is_refused(store):
    path = store(finished(trial("a"), 0.8, reading("time", 60)), epochs=epochs_of("a", 0.8))

    with pytest.raises(HarnessError, match="unknown resource of epochs 'T'; available: epoch"):
        read_curves(path, Query(resources=("T",)))


def test_a_curve_over_two_resources_is_refused(store):
    with pytest.raises(HarnessError, match="a curve goes over one resource, not 2"):
        read_curves(store(finished(trial("a"), 0.8), epochs=epochs_of("a", 0.8)), Query(resources=("T", "E")))


def test_trials_without_a_curve_come_last_with_their_reasons(store):
    ended = failed(trial("a"), "oom", "CUDA out of memory"), finished(trial("b"), 0.8), finished(trial("c"), 0.8)
    path = store(*ended, epochs=[*epochs_of("a", 0.5), *epochs_of("c", 0.6, None), *epochs_of("b", 0.8)])
    rows = read_curves(path, Query()).rows()

    assert [(row["model"], row["reason"]) for row in rows] == [
        ("b", None),
        ("a", "CUDA out of memory"),
        ("c", "no performance after epoch 2"),
    ]
