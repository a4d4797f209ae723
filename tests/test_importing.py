"""Others' files into a store: which trial each row is, in which units, from which source."""

from __future__ import annotations

import pytest

from harness.__main__ import main
from harness.errors import HarnessError
from harness.records import Setting, Trial
from harness.scoring.ranking import Request, score_source
from harness.sources.importing import Summary, Wanted, import_file
from harness.sources.source import read_source
from harness.sources.table import Query
from harness.store.reading import open_reader

PEPR_COLUMNS = (
    "model,num_param,memT,memR,memA,memM,energy,co2,train_time,infer_time,inf_time,tr_acc,"
    "test_00,test_01,test_02,test_03,test_04,test_05,test_06,test_07,test_08,test_09,type,efficient,dataset\n"
)
PEPR_CELLS = "25.4,9.1,0.4,7.9,0.05,20,45.5,0,3.2,0.71,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.6,0.75,CNN,0"
TIMM = """model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation
big.a_in1k,90.0,10.0,99.0,1.0,"1,014.45",448,1.000,bicubic
tiny.b_in1k,80.0,20.0,95.0,5.0,5.25,224,0.900,bicubic
"""
TIMM_SPEED = """\
model,infer_img_size,infer_samples_per_sec,infer_step_time,infer_batch_size,param_count,infer_gmacs,infer_macts
tiny,160,20000,51.2,1024,5.25,0.2,2.0
tiny,224,10000,102.4,1024,5.25,0.4,4.0
"""
CODECARBON = """\
timestamp,project_name,run_id,duration,emissions,cpu_energy,gpu_energy,ram_energy,energy_consumed,gpu_count
2026-01-01,alpha,r1,30,0.001,0.1,0.2,0.05,0.35,1
2026-01-01,alpha,r1,60,0.002,0.2,0.4,0.10,0.70,1
2026-01-01,alpha,r2,60,0.003,0.2,0.5,0.10,0.80,1
2026-01-01,beta,r3,60,0.004,0.0,0.0,0.10,0.10,
2026-01-01,gamma,r4,60,0.004,0.1,0.0,0.10,0.20,
"""
PERFORMANCES = "project_name,accuracy\nalpha,0.9\nbeta,0.8\n"


@pytest.fixture
def imported(tmp_path):
    """Import a file of this content, with a second one to join; return the store."""

    def imported(content, join=None, name="file.csv", **wanted):
        (tmp_path / name).write_text(content)
        if join is not None:
            (tmp_path / "join.csv").write_text(join)
            wanted["join"] = tmp_path / "join.csv"
        import_file(tmp_path / name, tmp_path / "store.sqlite", Wanted(**wanted))
        return tmp_path / "store.sqlite"

    return imported


def pepr_rows(*rows):
    return PEPR_COLUMNS + "".join(f"{model},1000,{PEPR_CELLS},{dataset}\n" for model, dataset in rows)


def rows_of(store, table, **wanted):
    with open_reader(store) as reader:
        rows = getattr(reader, table)()
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_a_pepr_row_is_a_trial_of_the_papers_protocol(imported):
    expected = Trial(
        "dla102x", "lidc", Setting(epochs=10, resize="not published", device="cuda", split="pepr"), 1, "binary"
    )

    assert [row["trial"] for row in rows_of(imported(pepr_rows(("dla102x", "lidc"))), "trials")] == [expected.key]


@pytest.mark.parametrize(
    ("name", "dataset", "weights", "fraction"),
    [
        ("derma", "derma", "scratch", 1.0),
        ("derma_pt", "derma", "pretrained", 1.0),
        ("lidc_small", "lidc", "not published", 0.1),
    ],
)
def test_pepr_datasets_become_settings(imported, name, dataset, weights, fraction):
    row = rows_of(imported(pepr_rows(("a", name))), "trials")[0]

    assert (row["dataset"], row["weights"], row["train_fraction"]) == (dataset, weights, fraction)


@pytest.mark.parametrize(
    ("resource", "value", "unit", "source"),
    [
        ("energy", 0.05 * 3.6e6, "J", "sampled"),
        ("carbon", 20, "g", "estimated"),
        ("memory_cuda", 7.9e9, "B", "counter"),
        ("memory_cuda_reserved", 9.1e9, "B", "counter"),
        ("time_last_epoch", 45.5, "s", "counter"),
    ],
)
def test_pepr_readings_are_brought_to_our_units(imported, resource, value, unit, source):
    row = rows_of(imported(pepr_rows(("a", "derma"))), "readings", resource=resource, epoch=None)[0]

    assert (row["value"], row["unit"], row["source"]) == (pytest.approx(value), unit, source)
    assert row["note"].endswith("uncertainty not published")


def test_the_time_of_one_epoch_is_not_called_that_of_ten(imported):
    store = imported(pepr_rows(("a", "derma")))

    assert rows_of(store, "readings", resource="time", phase="train", epoch=None) == []
    assert rows_of(store, "missing", resource="time")[0]["reason"].startswith("only the last epoch's was published")


def test_pepr_epochs_are_kept(imported):
    epochs = rows_of(imported(pepr_rows(("a", "derma"))), "epochs")

    assert [row["performance"] for row in epochs] == [0.5] * 8 + [0.6, 0.75]
    assert [row["train_performance"] for row in epochs] == [None] * 9 + [0.71]


def test_the_origin_is_told(imported):
    store = imported(pepr_rows(("a", "derma")), name="all_results.csv")

    assert rows_of(store, "trials")[0]["origin"] == "import"
    assert rows_of(store, "studies")[0]["settings"]["file"] == "all_results.csv"


def test_what_is_in_the_store_already_stays(imported, tmp_path):
    store = imported(pepr_rows(("a", "derma"), ("b", "derma")))
    again = import_file(tmp_path / "file.csv", store)

    assert again == Summary("pepr", added=0, known=2, left_out=0)
    assert [row["attempt"] for row in rows_of(store, "trials")] == [1, 1]


def test_energy_that_includes_the_pue_is_told(imported):
    store = imported(pepr_rows(("a", "derma"), ("b", "derma")))
    request = Request(Query(carbon_intensity=30, pue=1.5), {"C": 1})

    assert any("include the PUE already" in text for text in score_source(store, request).warnings)


def test_timm_results_are_shares_of_one(imported):
    row = rows_of(imported(TIMM, name="results-imagenet.csv"), "trials", model="big.a_in1k")[0]

    assert (row["dataset"], row["performance"], row["metrics"]["top5"]) == ("imagenet", 0.9, 0.99)
    assert row["facts"]["parameters"] == 1_014_450_000


def test_timm_results_score_by_parameters(imported):
    score = score_source(imported(TIMM), Request(Query(group=("dataset",)), {"parameters": 1}))

    assert score.rows[0]["model"].startswith("tiny.b_in1k")
    assert score.rows[0]["pepr"] == 0.8


def test_a_timm_benchmark_is_joined_at_the_same_image_size(imported):
    store = imported(TIMM, TIMM_SPEED)
    query = Query(phase="infer_batch", group=("dataset",))
    frame = read_source(store, query).frame.set_index(read_source(store, query).frame["model"].str.partition(".")[0])

    assert frame.loc["tiny", ["time_per_image", "macs"]].tolist() == [pytest.approx(1e-4), 4e8]
    assert frame["time_per_image"].isna().tolist() == [True, False]


def test_codecarbons_last_row_of_a_run_counts_and_runs_are_seeds(imported):
    rows = rows_of(imported(CODECARBON, PERFORMANCES), "readings", resource="energy_gpu")

    assert [row["value"] for row in rows] == [pytest.approx(0.4 * 3.6e6), pytest.approx(0.5 * 3.6e6)]


def test_codecarbons_parts_are_told_for_what_they_are(imported):
    rows = rows_of(imported(CODECARBON, PERFORMANCES), "readings")

    assert {row["resource"]: row["source"] for row in rows} == {
        "energy_gpu": "sampled",
        "energy_cpu": "estimated",
        "energy_dram": "estimated",
        "carbon": "estimated",
        "time": "counter",
    }


def test_codecarbons_zero_is_missing(imported):
    store = imported(CODECARBON, PERFORMANCES)
    row = score_source(store, Request(Query(group=("dataset",)), {"E": 1})).rows[-1]

    assert row["model"].startswith("beta")
    assert row["reason"] == "energy_cpu is missing: CodeCarbon gives it as 0"


@pytest.mark.parametrize(
    ("content", "join", "problem"),
    [
        ("model,accuracy\na,0.5\n", None, "is none of the files that can be imported"),
        (pepr_rows(("a", "cifar")), None, "row 1: dataset 'cifar' is none of the paper's"),
        (pepr_rows(("a", "derma")).replace("0.05", "five"), None, "row 1: 'five' in column 'energy' is no number"),
        (pepr_rows(("a", "derma")).replace("0.75", ""), None, "row 1: column 'test_09' is empty"),
        (CODECARBON, None, "tells costs but no performance; add --join FILE"),
        (CODECARBON, "project_name,accuracy\nomega,0.5\n", "no project of .* has a performance"),
        (CODECARBON, "project_name,accuracy\nalpha,90\n", "performance 90 of 'alpha' is outside 0 to 1"),
    ],
)
def test_bad_input_is_refused(imported, tmp_path, content, join, problem):
    with pytest.raises(HarnessError, match=problem):
        imported(content, join)

    assert not (tmp_path / "store.sqlite").exists()


def test_the_command_tells_what_it_did(tmp_path, capsys):
    (tmp_path / "emissions.csv").write_text(CODECARBON)
    (tmp_path / "acc.csv").write_text(PERFORMANCES.replace("0.9", "90").replace("0.8", "80"))
    store = str(tmp_path / "mine.sqlite")
    options = ["--join", str(tmp_path / "acc.csv"), "--performance-range", "0..100", "--store", store]
    code = main(["import", str(tmp_path / "emissions.csv"), *options])

    assert code == 0
    assert capsys.readouterr().err == (
        f"harness: {store}: 3 trials added from emissions.csv (codecarbon), 2 rows left out\n"
    )
