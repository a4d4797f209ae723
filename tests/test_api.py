"""The Python API: a script without a main guard, real timm models, and the pytest fixture."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness import HarnessError, run
from harness.store.reading import open_reader

SCRIPT = """
import harness, pathlib
pathlib.Path("ran").open("a").write("x")
result = harness.run(
    ["timm:test_resnet.r160_in1k", "timm:test_vit"], "digits",
    epochs=2, weights="scratch", train_fraction=0.2, batch_size=64, device="cpu", store="s.sqlite",
)
print(result.exit_code, len(result.trials))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the script once: two small real models on real digits."""
    folder = tmp_path_factory.mktemp("script")
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert "0 2" == done.stdout.strip()
    return folder


def test_script_without_a_main_guard_runs_once(ran: Path) -> None:
    assert "x" == (ran / "ran").read_text()


def test_every_phase_of_every_trial_is_metered(ran: Path) -> None:
    with open_reader(ran / "s.sqlite") as reader:
        whole = {(r["trial"], r["phase"], r["resource"]) for r in reader.readings() if r["epoch"] is None}
        keys = {row["trial"] for row in reader.trials()}

    phases = ("train", "infer_batch", "infer_single")
    read = ("time", "memory_host", "energy_cpu")
    assert {(key, phase, name) for key in keys for phase in phases for name in read} == whole


def test_each_epoch_has_its_readings_and_its_accuracy(ran: Path) -> None:
    with open_reader(ran / "s.sqlite") as reader:
        metered = [(r["trial"], r["epoch"]) for r in reader.readings() if r["resource"] == "time" and r["epoch"]]
        epochs = [(row["trial"], row["epoch"]) for row in reader.epochs()]
        last = {row["trial"]: row["performance"] for row in reader.epochs() if row["epoch"] == 2}
        trials = {row["trial"]: row["performance"] for row in reader.trials()}

    assert sorted(epochs) == sorted(metered)
    assert last == trials


def test_every_test_image_counts(ran: Path) -> None:
    with open_reader(ran / "s.sqlite") as reader:
        for row in reader.trials():
            assert 360 == row["facts"]["test_images"]
            assert row["performance"] * 360 == pytest.approx(round(row["performance"] * 360))


def test_loss_falls(ran: Path) -> None:
    with open_reader(ran / "s.sqlite") as reader:
        losses = [row["loss"] for row in reader.epochs() if row["trial"] == reader.trials()[0]["trial"]]

    assert losses[1] < losses[0]


def test_start_method_and_facts_of_machine_and_software_are_stored(ran: Path) -> None:
    with open_reader(ran / "s.sqlite") as reader:
        study, trial = reader.studies()[0], reader.trials()[0]

    assert "forkserver" == trial["start_method"]
    assert {"torch", "timm", "pepr-harness"} <= study["packages"].keys()
    assert study["machine"]["processor"]
    assert 64 == len(trial["facts"]["dataset_digest"])
    assert 215 == trial["facts"]["data"]
    assert 430 == trial["facts"]["images_seen"]


def test_size_that_a_model_cannot_take_is_refused_with_those_that_work() -> None:
    refused = harness("run", "--model", "dla46_c", "--dataset", "digits", "--scratch", "--image-size", "16")

    assert 2 == refused.returncode
    assert "model 'dla46_c' cannot take images of 16 x 16 pixels" in refused.stderr
    assert "these work: multiples of 32. Give --resize-to-model" in refused.stderr


def test_resizing_to_the_model_is_told_and_planned() -> None:
    options = ("--dataset", "digits", "--scratch", "--image-size", "16", "--device", "cpu", "--format", "json")
    planned = harness("run", "--model", "dla46_c", *options, "--resize-to-model", "--dry-run")

    assert "images of 32 x 32 pixels instead of 16 x 16 for dla46_c" in planned.stderr
    assert [32] == [row["image_size"] for row in json.loads(planned.stdout)]


def test_weights_that_cannot_be_had_are_all_told_before_anything_runs(tmp_path: Path) -> None:
    refused = harness("run", "--model", "resnet18d", "--model", "dla46_c", "--dataset", "digits", "--device", "cpu")

    assert 2 == refused.returncode
    assert not Path("harness.sqlite").exists()
    told, *files, ways_out = refused.stderr.splitlines()[-4:]
    assert "the weights of 2 models are not in the cache, and cannot be had" in told
    for name, line in zip(("resnet18d.ra2_in1k", "dla46_c.in1k"), files, strict=True):
        assert f"timm/{name} model.safetensors -> FOLDER/{name}.safetensors" in line
    assert "--scratch" in ways_out


def test_weights_from_a_folder_are_where_training_starts(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("test_resnet", num_classes=1000).state_dict(), tmp_path / "test_resnet.safetensors")
    done = harness(
        *("run", "--model", "timm:test_resnet", "--dataset", "digits", "--weights-dir", str(tmp_path)),
        *("--epochs", "1", "--train-fraction", "0.1", "--device", "cpu"),
    )

    assert 0 == done.returncode, done.stderr
    with open_reader(Path("harness.sqlite")) as reader:
        row = reader.trials()[0]
    file = tmp_path / "test_resnet.safetensors"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == row["facts"]["weights_digest"]
    assert "pretrained" == row["weights"]


def test_unknown_option_is_one_line_with_the_nearest() -> None:
    with pytest.raises(HarnessError, match="unknown option of run\\(\\) 'epoch'; did you mean 'epochs'"):
        run("dla46_c", "digits", epoch=3)


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, timeout=240, check=False
    )


def test_fixture_meters_a_block_of_a_users_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_mine(harness_meter):
            with harness_meter("time", "memory") as m:
                sum(range(1000))
            assert m["time"].value > 0
            assert m["memory"].unit == "B"
        """
    )

    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_fixture_takes_the_meters_of_the_suite_where_none_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_mine(harness_meter):
            with harness_meter() as m:
                pass
            assert {"time"} == {reading.resource for reading in m.readings}
        """
    )

    pytester.runpytest_subprocess("--harness-meter", "time").assert_outcomes(passed=1)
