"""`harness run` from the command line: real workers, real store; trials of the plugin `chaos` end as they are told."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.store.reading import open_reader

BARE = ("--plugin", "chaos", "--executor", "bare", "--dataset", "nothing", "--device", "cpu")


@pytest.fixture(autouse=True)
def _chaos_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "harness", *arguments]


def harness(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, check=False, **options)


def run(*models: str, extra: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return harness("run", *BARE, *[word for model in models for word in ("--model", model)], *extra)


def rows(store: str = "harness.sqlite", accepted: bool = False) -> list[dict[str, Any]]:
    with open_reader(Path(store)) as reader:
        return reader.trials(accepted)


def test_trials_run_are_stored_and_ranked() -> None:
    done = run("done", "bright")

    assert 0 == done.returncode, done.stderr
    ended = [(row["model"], row["status"], row["performance"]) for row in rows()]
    assert [("done", "done", 0.5), ("bright", "done", 0.9)] == ended
    assert "PePR-T" in done.stdout
    assert "[2/2] bright on nothing" in done.stderr


def test_second_run_does_nothing_new_and_prints_the_same_table() -> None:
    first, second = run("done", "bright"), run("done", "bright")

    assert first.stdout == second.stdout
    assert "2 trials: all finished before" in second.stderr
    assert 2 == len(rows())


def test_more_seeds_run_only_what_is_new() -> None:
    run("done")
    again = run("done", extra=["--seed", "1", "--seed", "2"])

    assert "2 trials: 1 to run, 1 finished before" in again.stderr
    assert [1, 2] == [row["seed"] for row in rows()]


def test_force_runs_again_and_counts_attempts() -> None:
    run("done")
    run("done", extra=["--force"])

    assert [(1, False), (2, True)] == [(row["attempt"], row["accepted"]) for row in rows()]


def test_reading_that_is_asked_for_now_and_lacks_is_metered() -> None:
    run("done", extra=["--meter", "time"])
    again = run("done", extra=["--meter", "time", "--meter", "memory"])

    assert "again: done on nothing: lacks memory_host" in again.stderr
    assert [False, True] == [row["accepted"] for row in rows()]


@pytest.mark.parametrize(
    ("model", "status", "reason"),
    [
        ("raise", "failed", "ValueError: no good, in plugin 'chaos' (module ?)"),
        ("exit", "failed", "SystemExit: 3"),
        ("base", "failed", "_Odd: odd"),
        ("nonsense", "failed", "TypeError: 'chaos' gave {'accuracy': 3}"),
        ("nan", "diverged", "the performance is nan"),
        ("seven", "failed", "performance must be from 0 to 1, is 7"),
        ("object", "failed", "not JSON serializable"),
        ("zero", "failed", "counted from 1"),
        ("foreign", "failed", "epochs of this trial"),
        ("text", "failed", "report() takes an EpochDone, not 'hello'"),
        ("early", "failed", "report() takes an EpochDone, not Finished"),
        ("memory", "oom", "MemoryError"),
        ("allocator", "oom", "RuntimeError: DefaultCPUAllocator"),
        ("diverge", "diverged", "the training loss is nan"),
        ("kill", "crashed", "SIGKILL"),
        ("segfault", "crashed", "SIGSEGV"),
        ("vanish", "crashed", "without a result"),
    ],
)
def test_every_end_is_a_row_with_a_status_and_a_reason_and_the_next_trial_runs(
    model: str, status: str, reason: str
) -> None:
    ended = run(model, "done")

    bad, good = rows()
    assert 1 == ended.returncode
    assert (status, "done") == (bad["status"], good["status"])
    assert reason in bad["reason"]
    assert f"{model} on nothing: {status}:" in ended.stderr


def test_trial_that_takes_too_long_is_ended_and_the_next_one_runs() -> None:
    ended = run("sleep", "done", extra=["--timeout", "0.5s"])

    assert 1 == ended.returncode
    assert [("timeout", "took longer than the 0.5 s of --timeout"), ("done", None)] == [
        (row["status"], row["reason"]) for row in rows()
    ]


def test_meter_that_raises_loses_its_reading_and_the_trial_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_METERS", "1")
    ended = run("done", extra=["--meter", "broken", "--meter", "time"])

    assert 0 == ended.returncode, ended.stderr
    with open_reader(Path("harness.sqlite")) as reader:
        assert {"time"} == {row["resource"] for row in reader.readings()}
        assert {"mark() raised SystemExit: the device is gone"} == {row["reason"] for row in reader.missing()}


def test_meter_that_gives_nonsense_loses_its_reading_and_the_trial_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_METERS", "1")
    ended = run("done", extra=["--meter", "odd", "--meter", "time"])

    assert 0 == ended.returncode, ended.stderr
    with open_reader(Path("harness.sqlite")) as reader:
        assert {"time"} == {row["resource"] for row in reader.readings()}


def test_meter_that_hangs_is_named_and_the_next_trial_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_METERS", "1")
    ended = run("done", extra=["--meter", "slow"])

    assert 1 == ended.returncode
    assert "meter 'slow' in mark() has not returned" in rows()[0]["reason"]


def test_epoch_and_whole_readings_are_kept_apart() -> None:
    run("done")

    with open_reader(Path("harness.sqlite")) as reader:
        times = [row for row in reader.readings() if row["resource"] == "time"]
    assert [("train", None), ("train", 1)] == [(row["phase"], row["epoch"]) for row in times]


def test_ranking_follows_by_hand_from_the_exported_readings(tmp_path: Path) -> None:
    told = run("wait-00", "done", "bright", extra=["--meter", "time", "--format", "json", "--seed", "3"])
    harness("export", "harness.sqlite", "--table", "readings", "-o", "readings.csv")
    harness("export", "harness.sqlite", "--table", "trials", "-o", "trials.csv")

    with Path("readings.csv").open(newline="") as readings, Path("trials.csv").open(newline="") as trials:
        whole = [r for r in csv.DictReader(readings) if r["epoch"] == "" and r["resource"] == "time"]
        seconds = {row["trial"]: float(row["value"]) for row in whole}
        performance = {row["trial"]: float(row["performance"]) for row in csv.DictReader(trials)}
    low, high = min(seconds.values()), max(seconds.values())
    expected = sorted(p / (1 + (seconds[key] - low) / (high - low)) for key, p in performance.items())
    document = json.loads(told.stdout)
    assert expected == pytest.approx(sorted(_pepr(document)))


def _pepr(document: Any) -> list[float]:
    """The scores by time, wherever the document says them."""
    return [row["resources"]["time"].get("pepr", row["pepr"]) for row in document["rows"]]


def test_dry_run_prints_the_plan_and_writes_nothing() -> None:
    plan = run("done", "bright", extra=["--dry-run", "--format", "json"])

    assert ["done", "bright"] == [row["model"] for row in json.loads(plan.stdout)]
    assert not Path("harness.sqlite").exists()


def test_study_file_environment_and_option_go_before_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = 'plugin = "chaos"\nexecutor = "bare"\nmodel = "done"\ndataset = "nothing"\ndevice = "cpu"\n'
    Path("study.toml").write_text(plain + "epochs = 3\nlr = 0.3\nbatch-size = 3\n")
    monkeypatch.setenv("HARNESS_LR", "0.2")
    monkeypatch.setenv("HARNESS_BATCH_SIZE", "2")

    done = harness("run", "study.toml", "--batch-size", "1")
    assert 0 == done.returncode, done.stderr
    assert (3, 0.2, 1) == tuple(rows()[0][name] for name in ("epochs", "lr", "batch_size"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "don"], "unknown model 'don'; did you mean 'done'"),
        (["--model", "done", "--dataset", "nothin"], "unknown dataset 'nothin'; did you mean 'nothing'"),
        (["--model", "done", "--meter", "tme"], "unknown meter 'tme'; did you mean 'time'?"),
        (
            ["--model", "done", "--meter", "absent"],
            "meter 'absent' does not work here: no such device; plug it in; these",
        ),
        (["--model", "done", "--executor", "rey"], "unknown executor 'rey'"),
        (["--model", "done", "--store", "no/such/folder/s.sqlite"], "no/such/folder"),
        (["--model", "done", "--store", "."], "folder"),
        (["--model", "done", "--epochs", "0"], "Invalid value for '--epochs'"),
        (["--model", "done", "--timeout", "soon"], "'soon' is no duration; write 90s, 30m or 2h"),
        (["--model", "done", "--seed", "-1"], "Invalid value for '--seed'"),
        (["missing.toml"], "cannot read 'missing.toml'"),
        (["--model", "done", "--lr", "nan"], "lr must be above 0"),
        (["--model", "done", "--timeout", "99999999999999999999h"], "is no duration"),
        (["--model", "done", "--seed", "4294967296"], "seed must be a whole number"),
        (["--model", "done", "--no-plugin", "tiem"], "unknown plugin 'tiem'; did you mean"),
        ([], "name at least one --model"),
    ],
)
def test_bad_request_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    refused = harness("run", *BARE, *arguments)

    choosing = ("meters left out: ", " is estimated by ")
    lines = [line for line in refused.stderr.splitlines() if not any(words in line for words in choosing)]
    assert 2 == refused.returncode
    assert 1 == len(lines), refused.stderr
    assert message in lines[0]
    assert "" == refused.stdout


def test_store_of_another_kind_is_refused_and_left_alone() -> None:
    Path("notes.txt").write_text("my notes\n" * 200)
    refused = run("done", extra=["--store", "notes.txt"])

    assert 2 == refused.returncode
    assert "'notes.txt'" in refused.stderr
    assert "my notes\n" * 200 == Path("notes.txt").read_text()


@pytest.mark.parametrize("place", [0, 1, -1])
def test_debug_shows_the_traceback_wherever_it_stands(place: int) -> None:
    words = ["run", *BARE, "--model", "don"]
    words.insert(len(words) if place < 0 else place, "--debug")

    assert "Traceback" in harness(*words).stderr


def start(*models: str, extra: Sequence[str] = ()) -> subprocess.Popen[str]:
    arguments = [word for model in models for word in ("--model", model)]
    return subprocess.Popen(
        command("run", *BARE, *arguments, *extra), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_row(status: str, model: str, seconds: float = 60) -> dict[str, Any]:
    """Wait until the store has a row of *model* in *status*."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if Path("harness.sqlite").exists() and Path("harness.sqlite").stat().st_size:
            for row in rows():
                if (row["status"], row["model"]) == (status, model):
                    return row
        time.sleep(0.05)
    raise AssertionError(f"no {status} row of {model}")


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_signal_stops_cleanly_with_everything_finished_kept(signum: signal.Signals, code: int) -> None:
    runner = start("done", "sleep", "bright")
    wait_for_row("running", "sleep")
    runner.send_signal(signum)
    out, err = runner.communicate(timeout=60)

    assert code == runner.returncode, err
    assert [("done", "done"), ("sleep", "interrupted")] == [(row["model"], row["status"]) for row in rows()]
    assert "Traceback" not in err
    assert "done" in out


def test_second_ctrl_c_does_not_wait_for_a_stubborn_worker() -> None:
    runner = start("stubborn")
    wait_for_row("running", "stubborn")
    time.sleep(0.5)
    runner.send_signal(signal.SIGINT)
    time.sleep(0.5)
    runner.send_signal(signal.SIGINT)
    _, err = runner.communicate(timeout=9)  # less than the ten seconds that a stubborn worker has

    assert 130 == runner.returncode, err
    assert "interrupted" == rows()[0]["status"]


def test_worker_killed_from_outside_is_a_crash_and_the_rest_goes_on() -> None:
    runner = start("sleep", "done")
    row = wait_for_row("running", "sleep")
    os.kill(_pid_of_attempt(row), signal.SIGKILL)
    runner.communicate(timeout=60)

    assert 1 == runner.returncode
    assert [("sleep", "crashed"), ("done", "done")] == [(row["model"], row["status"]) for row in rows()]


def _pid_of_attempt(row: dict[str, Any]) -> int:
    import sqlite3

    with sqlite3.connect("file:harness.sqlite?mode=ro", uri=True) as connection:
        (pid,) = connection.execute("SELECT pid FROM attempts WHERE status = 'running'").fetchone()
    return int(pid)


def test_second_runner_on_one_store_is_refused_with_the_firsts_pid() -> None:
    first = start("sleep")
    wait_for_row("running", "sleep")
    second = run("done")
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)

    assert 2 == second.returncode
    assert str(first.pid) in second.stderr


def test_closed_output_is_no_traceback() -> None:
    run("done")
    shell = f"{sys.executable} -m harness run {' '.join(BARE)} --model done | true"
    closed = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)

    assert "Traceback" not in closed.stderr


def test_processes_that_a_trial_leaves_behind_are_killed_and_told() -> None:
    ended = run("orphan", "done")

    assert 0 == ended.returncode, ended.stderr
    assert "orphan on nothing left processes behind; they were killed" in ended.stderr


def test_ctrl_c_ends_the_grandchildren_of_a_trial_too() -> None:
    import psutil

    runner = start("family")
    wait_for_row("running", "family")
    end = time.monotonic() + 30
    while not (family := _sleepers(runner.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=60)

    assert family
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in family)


def _sleepers(runner: int) -> list[int]:
    import psutil

    below = psutil.Process(runner).children(recursive=True)
    return [process.pid for process in below if "import time; time.sleep(600)" in " ".join(process.cmdline())]


def test_other_versions_than_those_of_the_finished_trials_are_a_warning() -> None:
    import sqlite3

    run("done")
    with sqlite3.connect("harness.sqlite") as connection:
        connection.execute("UPDATE studies SET packages = json_set(packages, '$.torch', '1.0')")

    again = run("done", "bright")
    assert "warning: finished trials ran with other versions: torch 1.0 -> " in again.stderr


def test_budget_shows_what_fits_and_the_best_of_it() -> None:
    told = run("done", "bright", extra=["--budget", "time=1h", "--budget", "M=100GiB"])

    assert 0 == told.returncode, told.stderr
    assert "best by performance: bright" in told.stdout


@pytest.mark.parametrize(
    ("budget", "message"),
    [("tme=1h", "unknown resource 'tme'; did you mean 'time'?"), ("time=1GiB", "GiB"), ("time", "must be NAME=VALUE")],
)
def test_wrong_budget_is_refused_before_anything_runs(budget: str, message: str) -> None:
    refused = run("done", extra=["--budget", budget])

    assert 2 == refused.returncode
    assert message in refused.stderr
    assert not Path("harness.sqlite").exists()
