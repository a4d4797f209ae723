"""`harness measure` from the command line: commands of all kinds, and how they and the harness end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from metering import FAULTY, documented, measure, value, words

CHAOS = ("--plugin", "chaos")


@pytest.fixture(autouse=True)
def _chaos_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(Path(__file__).parent), before])))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["sh", "-c", "kill -SEGV $$"], 139),
        (["no-such-command"], 127),
        ([""], 127),
        (["./not-executable"], 126),
        (["./no-such-interpreter"], 127),
        (["./without-first-line"], 7),
    ],
)
def test_exit_code_is_the_commands_own(command: list[str], code: int) -> None:
    for name, text in (("not-executable", ""), ("no-such-interpreter", "#!/none\n"), ("without-first-line", "exit 7")):
        Path(name).write_text(text)
        Path(name).chmod(0o644 if name == "not-executable" else 0o755)

    assert code == measure(*command).returncode
    assert code == documented(*command)["exit_code"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-command", "command 'no-such-command' is not found"),
        ("", "command '' is not found"),
        ("./plain", "command './plain' cannot be executed: Permission denied"),
        (
            "./odd",
            "command './odd' cannot be executed: the interpreter that its first line names is not found",
        ),
    ],
)
def test_command_that_cannot_be_run_is_told_in_a_line(command: str, said: str) -> None:
    Path("plain").touch()
    Path("odd").write_text("#!/none\n")
    Path("odd").chmod(0o755)

    assert [f"harness: {said}"] == measure(command, options=["--meter", "time"]).stderr.splitlines()[:1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--meter", "tim"], "unknown meter 'tim'; did you mean 'time'?"),
        (["--output", "missing/cost.json"], "cannot write"),
        (["--output", "."], "it is a folder"),
        (["--pue", "0.5"], "0.5"),
        (["--bogus"], "No such option '--bogus'"),
        (["--plugin", "no_such_module"], "plugin 'no_such_module' cannot be used"),
    ],
)
def test_failure_of_the_harness_is_125_and_told_before_the_command_runs(options: list[str], said: str) -> None:
    refused = measure("touch", "ran", options=options)

    assert 125 == refused.returncode
    assert said in refused.stderr
    assert 1 == len(refused.stderr.splitlines())
    assert not Path("ran").exists()


def test_command_wants_two_dashes_before_it() -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "harness", "measure", "git", "log", "--", "x"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 125 == refused.returncode
    assert "write -- before the command: harness measure -- git ..." in refused.stderr


def test_document_is_as_promised() -> None:
    document = documented("sleep", "0.1", options=["--meter", "time", "--meter", "memory"])

    assert "harness.measure/1" == document["schema"]
    assert ["sleep", "0.1"] == document["command"]
    window = document["window"]
    seconds = (window["stop_monotonic_ns"] - window["start_monotonic_ns"]) / 1e9
    assert value(document, "time") == pytest.approx(seconds, abs=0.05)
    fields = {"meter", "resource", "device", "value", "unit", "uncertainty", "source", "note"}
    assert all(fields == reading.keys() for reading in document["readings"])
    assert {"time", "memory_host", "memory"} == {reading["resource"] for reading in document["readings"]}
    assert {"memory_cuda", "memory_cuda_reserved"} == {gap["resource"] for gap in document["missing"]}
    assert all({"meter", "resource", "reason"} == gap.keys() for gap in document["missing"])


def test_meter_that_does_not_work_here_is_missing_and_stops_nothing() -> None:
    document = documented("true", options=[*CHAOS, "--meter", "absent", "--meter", "time"])

    (gap,) = document["missing"]
    assert ("absent", "nothing_a") == (gap["meter"], gap["resource"])
    assert value(document, "time") > 0


def test_meter_that_raises_loses_only_its_own_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_METERS", "1")
    document = documented("sh", "-c", "exit 3", options=[*CHAOS, "--meter", "broken", "--meter", "time"])

    assert 3 == document["exit_code"]
    assert ["nothing_c"] == [gap["resource"] for gap in document["missing"]]
    assert "mark() raised SystemExit: the device is gone" == document["missing"][0]["reason"]
    assert value(document, "time") > 0


@pytest.mark.parametrize("edge", ["make", "unavailable", "open", "mark 1", "mark 2", "between"])
def test_meter_that_is_lost_at_any_edge_loses_only_its_own(edge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", edge)
    Path("faulty.py").write_text(FAULTY)
    document = documented("sh", "-c", "exit 3", options=["--plugin", "faulty", "--meter", "faulty", "--meter", "time"])

    assert 3 == document["exit_code"]
    (gap,) = document["missing"]
    assert ("faulty", "lost") == (gap["meter"], gap["resource"])
    assert f"OSError: lost at {edge}" in gap["reason"]
    assert value(document, "time") > 0


@pytest.mark.parametrize("edge", ["open", "mark 1"])
def test_command_that_is_killed_while_it_is_held_is_told_in_a_line(edge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", f"kill at {edge}")
    Path("faulty.py").write_text(FAULTY)
    done = measure("touch", "ran", options=["--plugin", "faulty", "--meter", "faulty", "-o", "cost.json"])

    assert (137, "harness: command 'touch' was ended before it was executed\n") == (done.returncode, done.stderr)
    assert 137 == json.loads(Path("cost.json").read_text())["exit_code"]
    assert not Path("ran").exists()


def test_estimate_is_said_aloud_and_counts_in_energy() -> None:
    done = measure("true", options=["--output", "cost.json"])

    assert "energy_cpu is estimated by 'cpu-estimate'" in done.stderr
    sources = {r["resource"]: r["source"] for r in json.loads(Path("cost.json").read_text())["readings"]}
    assert "estimated" == sources["energy_cpu"] == sources["energy"]


def test_input_output_and_arguments_are_the_commands_own() -> None:
    done = measure("sh", "-c", 'cat; printf "%s|" "$0" "$@"; echo err >&2', "a b", "", "--debug", "*", input="in\n")

    assert "in\na b||--debug|*|" == done.stdout
    assert "err" == done.stderr.splitlines()[1]


def environment_of(*words: str, **given: str) -> list[str]:
    """Return what *words*, which are to print the environment, have when started with *given* and nothing else."""
    command = ["env", "-i", *(f"{name}={value}" for name, value in given.items()), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("given", [{}, {"odd.name": "kept", "LC_ALL": "C"}, {"LC_CTYPE": "C.UTF-8", "EMPTY": ""}])
def test_environment_is_the_commands_own(given: dict[str, str]) -> None:
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ["PYTHONPATH"], **given}

    assert environment_of("env", **given) == environment_of(*words(["env"], "--meter", "time"), **given)


def test_nothing_is_printed_with_an_output_file() -> None:
    done = measure("echo", "hello", options=["--meter", "time", "--output", "cost.json"])

    assert ("hello\n", "") == (done.stdout, done.stderr)
    assert ["cost.json"] == [file.name for file in Path().iterdir()]


def broken_stderr(kind: str) -> int:
    """Return a descriptor to which nothing can be written."""
    if kind == "full":
        return os.open("/dev/full", os.O_WRONLY)
    reads, writes = os.pipe()
    os.close(reads)
    return writes


@pytest.mark.parametrize("kind", ["full", "reader gone"])
@pytest.mark.parametrize(
    ("command", "options", "code"),
    [
        (["sh", "-c", "echo ran; exit 3"], [], 3),
        (["sh", "-c", "echo ran; exit 3"], ["--plugin", "faulty", "--meter", "faulty"], 3),
        (["no-such-command"], [], 127),
        (["true"], ["--meter", "tim"], 125),
        (["true"], ["--bogus"], 125),
    ],
    ids=["an estimate to tell", "a meter that logs", "a command to tell of", "an error", "a usage error"],
)
def test_stderr_that_cannot_be_written_changes_nothing(
    kind: str, command: list[str], options: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", "none")
    Path("faulty.py").write_text(FAULTY.replace("def open(self): ", "def open(self): logging.warning('lost'); "))
    stderr = broken_stderr(kind)
    done = subprocess.run(
        words(command, *options), stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60, check=False
    )
    os.close(stderr)

    assert (code, "ran\n" if code == 3 else "") == (done.returncode, done.stdout)


def test_device_files_are_written_to_and_not_replaced() -> None:
    assert 0 == measure("true", options=["--meter", "time", "--output", "/dev/null"]).returncode

    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("output", ["/dev/full", "pipe"])
def test_output_that_fails_in_the_end_is_125_and_one_line(output: str) -> None:
    os.mkfifo("pipe")
    done = measure("echo", "ran", options=["--meter", "time", "--output", output])

    assert (125, "ran\n") == (done.returncode, done.stdout)
    assert 1 == len(done.stderr.splitlines())
    assert f"cannot write '{output}'" in done.stderr


def test_output_on_stdout_follows_the_commands_own() -> None:
    with Path("shown").open("w") as shown:
        subprocess.run(words(["echo", "hello"], "--meter", "time", "-o", "/dev/stdout"), stdout=shown, check=True)
    first, rest = Path("shown").read_text().split("\n", 1)

    assert "hello" == first
    assert 0 == json.loads(rest)["exit_code"]


def test_start_imports_nothing_heavy() -> None:
    code = (
        "import sys; from harness.__main__ import main; assert main(['measure', '--', 'true']) == 0\n"
        "print(*{'torch', 'numpy', 'pandas', 'scipy', 'rich', 'timm', 'sqlite3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "" == done.stdout.strip()


def test_help_shows_how_to_use_it() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "harness", "measure", "--help"], capture_output=True, text=True, check=True
    ).stdout

    assert "harness measure -- python train.py" in shown
