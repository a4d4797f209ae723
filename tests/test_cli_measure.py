"""`harness measure` from the command line: commands of all kinds, and how they and the harness end."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

CHAOS = ("--plugin", "chaos")


@pytest.fixture(autouse=True)
def _chaos_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(Path(__file__).parent), before])))


def words(command: Sequence[str], *options: str) -> list[str]:
    return [sys.executable, "-m", "harness", "measure", *options, "--", *command]


def measure(*command: str, options: Sequence[str] = (), **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(command, *options), capture_output=True, text=True, timeout=120, check=False, **{"input": "", **how}
    )


def documented(*command: str, options: Sequence[str] = ()) -> dict[str, Any]:
    """Measure *command* and return what was written."""
    done = measure(*command, options=[*options, "--output", "cost.json"])
    written: dict[str, Any] = json.loads(Path("cost.json").read_text())
    assert done.returncode == written["exit_code"], done.stderr
    return written


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def value(document: dict[str, Any], resource: str) -> float:
    (reading,) = [r for r in document["readings"] if r["resource"] == resource and r["device"] is None]
    return float(reading["value"])


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


FAULTY = """
import os, signal, time
from harness.hookspecs import hookimpl
from harness.records import Reading

class Meter:
    def __init__(self, options): self.marks, self.pid = 0, options["pid"]; self.at("make")
    def at(self, edge):
        if os.environ["FAULT"] == f"kill at {edge}": os.kill(self.pid, signal.SIGKILL)
        if os.environ["FAULT"] == edge: raise OSError(f"lost at {edge}")
    def unavailable(self): self.at("unavailable")
    def open(self): self.at("open")
    def mark(self):
        self.marks += 1
        self.at(f"mark {self.marks}")
        if os.environ["FAULT"] == "hang":
            open("hangs", "w").close()
            time.sleep(600)
        return self.marks
    def between(self, start, stop):
        self.at("between")
        return [Reading("lost", 1, "1", 0, "counter")]
    def close(self): self.at("close")

@hookimpl
def harness_register_meters(register): register("faulty", Meter, resources=("lost",))
"""


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


def test_meter_that_hangs_can_be_interrupted_and_the_command_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", "hang")
    Path("faulty.py").write_text(FAULTY)
    options = ["--plugin", "faulty", "--meter", "faulty", "--output", "cost.json"]
    process = subprocess.Popen(words(["touch", "ran"], *options))
    while not Path("hangs").exists():
        assert process.poll() is None
        time.sleep(0.01)
    while process.poll() is None:  # signals that come at once are one
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)

    assert 143 == process.returncode == json.loads(Path("cost.json").read_text())["exit_code"]
    assert not Path("ran").exists()


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


def signal_sets(status: str) -> list[int]:
    """Return the sets of signals that *status* tells; 32 and 33 are the C library's own, which it sets itself."""
    return [int(line.split()[1], 16) & 0x7FFFFFFF for line in status.splitlines()]


def test_signals_are_at_their_defaults_in_the_command() -> None:
    show = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]

    plain = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert signal_sets(plain) == signal_sets(measure(*show).stdout)


def test_harness_that_ignores_what_becomes_of_children_meters_all_the_same() -> None:
    """As a parent may have left it; the command inherits it."""
    show = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]
    code = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])"
    ignoring = [sys.executable, "-c", code]
    plain, metered = (
        subprocess.run([*ignoring, *command], capture_output=True, text=True, check=True, restore_signals=False)
        for command in (show, words(show, "--meter", "time"))
    )

    chld = 1 << signal.SIGCHLD - 1
    assert chld == signal_sets(metered.stdout)[1] == signal_sets(plain.stdout)[1] & chld
    assert 1 == len(metered.stderr.splitlines())


def test_command_is_in_a_process_group_of_its_own_and_leads_it() -> None:
    group, own = measure(*python("import os; print(os.getpgrp(), os.getpid())")).stdout.split()

    assert group == own


def test_nothing_is_printed_with_an_output_file() -> None:
    done = measure("echo", "hello", options=["--meter", "time", "--output", "cost.json"])

    assert ("hello\n", "") == (done.stdout, done.stderr)
    assert ["cost.json"] == [file.name for file in Path().iterdir()]


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


class Running:
    """A harness that measures *code*, which has said that it is ready."""

    def __init__(self, code: str, **how: Any) -> None:
        self.process = subprocess.Popen(
            words(python(code), "--meter", "time", "--output", "cost.json"), stdout=subprocess.PIPE, text=True, **how
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str, dict[str, Any]]:
        rest, _ = self.process.communicate(timeout=60)
        return self.process.returncode, rest.strip(), json.loads(Path("cost.json").read_text())


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_signal_is_passed_on_and_the_document_written(name: str) -> None:
    signum = signal.Signals[name]
    running = Running(
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print(1, flush=True); time.sleep(60)"
    )
    running.process.send_signal(signum)

    code, _, document = running.end()
    assert 128 + signum == code == document["exit_code"]
    assert value(document, "time") > 0


def test_command_that_handles_a_signal_ends_as_it_likes() -> None:
    running = Running(
        "import signal, time\n"
        "def stop(*_): print('bye', flush=True); raise SystemExit(5)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print(1, flush=True); time.sleep(60)"
    )
    running.process.terminate()

    code, rest, document = running.end()
    assert (5, "bye", 5) == (code, rest, document["exit_code"])


def test_signal_reaches_a_command_that_left_its_group() -> None:
    running = Running(
        "import os, time; os.setpgid(0, os.getpgid(os.getppid())); print(1, flush=True); time.sleep(60)",
        start_new_session=True,
    )
    running.process.terminate()

    assert 143 == running.end()[0]


def test_signal_reaches_the_commands_children_too() -> None:
    running = Running(
        "import os, signal, time\n"
        "if os.fork() == 0:\n"
        "    signal.signal(signal.SIGUSR1, lambda *_: (print('child', flush=True), os._exit(0)))\n"
        "    print(1, flush=True); time.sleep(60)\n"
        "signal.signal(signal.SIGUSR1, lambda *_: None)\n"
        "os.wait()"
    )
    running.process.send_signal(signal.SIGUSR1)

    assert (0, "child") == running.end()[:2]


def test_stopped_and_continued_with_its_command() -> None:
    running = Running("import os, time; print(os.getpid(), flush=True); time.sleep(0.5)")
    running.process.send_signal(signal.SIGTSTP)
    _, status = os.waitpid(running.process.pid, os.WUNTRACED)
    state = Path(f"/proc/{running.said}/stat").read_text().rpartition(")")[2].split()[0]
    running.process.send_signal(signal.SIGCONT)

    assert os.WIFSTOPPED(status)
    assert "T" == state
    assert 0 == running.end()[0]


def test_terminal_belongs_to_the_command_and_ctrl_c_ends_it() -> None:
    code = "import os; print(os.tcgetpgrp(0) == os.getpgrp(), flush=True); import time; time.sleep(60)"
    pid, terminal = pty.fork()
    if pid == 0:
        command = words(python(code), "--meter", "time", "--output", "cost.json")
        os.execv(command[0], command)
    shown = b""
    while b"\n" not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)

    assert b"True" in shown
    assert 130 in (os.waitstatus_to_exitcode(status), json.loads(Path("cost.json").read_text())["exit_code"])


def test_processes_that_the_command_leaves_run_on() -> None:
    done = measure("sh", "-c", "sleep 30 >/dev/null 2>&1 & echo $!")
    left = int(done.stdout)

    os.kill(left, signal.SIGKILL)  # raises if there is none
    assert 0 == done.returncode


# Takes half a second of CPU time in a process that nobody waits for, and ends when that has been taken.
LEFT = """
import os, subprocess, sys, time
def burn(then):
    while time.process_time() < 0.5: pass
    os.write(tells, b"%d" % os.getpid())
    then()
    os._exit(0)
done, tells = os.pipe()
null = os.open("/dev/null", os.O_WRONLY)
KIND
pid = int(os.read(done, 16))
"""
LEAVING = {
    "ended": "if not os.fork(): burn(lambda: 0)",
    "running": "if not os.fork():\n for out in (1, 2): os.dup2(null, out)\n burn(lambda: time.sleep(60))\nleft = True",
    "grandchild": "if not os.fork():\n if os.fork(): os._exit(0)\n burn(lambda: 0)",
    "daemon": "if not os.fork():\n os.setsid()\n if os.fork(): os._exit(0)\n burn(lambda: 0)",
}


@pytest.mark.parametrize("kind", LEAVING)
def test_cpu_time_of_what_nobody_waits_for_counts_once(kind: str) -> None:
    code = LEFT.replace("KIND", LEAVING[kind]) + "print(pid if 'left' in dir() else '', flush=True)"
    options = ["--meter", "cpu-estimate", "--cpu-watts", "1", "--output", "cost.json"]
    done = measure(*python(code), options=options)
    if done.stdout.strip():
        os.kill(int(done.stdout), signal.SIGKILL)

    (reading,) = [r for r in json.loads(Path("cost.json").read_text())["readings"] if r["resource"] == "energy_cpu"]
    assert 0.5 <= reading["value"] + reading["uncertainty"]
    assert reading["value"] - reading["uncertainty"] < 0.9


def test_orphan_that_ended_is_gone_while_the_command_runs() -> None:
    code = LEFT.replace("KIND", LEAVING["daemon"]) + "while os.path.exists(f'/proc/{pid}'): time.sleep(0.01)"

    assert 0 == measure(*python(code), options=["--meter", "time"]).returncode


def test_memory_is_that_of_all_processes_together() -> None:
    code = "import subprocess, sys; a = bytearray(150 << 20); subprocess.run([sys.executable, '-S', '-c', sys.argv[1]])"
    grandchild = "import time; b = bytearray(100 << 20); time.sleep(0.5)"
    document = documented(*python(code), grandchild, options=["--meter", "memory"])

    assert 250 << 20 < value(document, "memory_host") < 320 << 20


def test_page_that_processes_share_counts_once() -> None:
    code = "import os, time; a = bytearray(200 << 20)\nif os.fork() == 0: time.sleep(0.3); os._exit(0)\nos.wait()"
    document = documented(*python(code), options=["--meter", "memory"])

    assert 200 << 20 < value(document, "memory_host") < 300 << 20


def test_peak_of_a_short_command_is_known() -> None:
    document = documented(*python("bytearray(300 << 20)"), options=["--meter", "memory"])

    (reading,) = [r for r in document["readings"] if r["resource"] == "memory_host"]
    assert 300 << 20 < reading["value"] < 330 << 20
    assert "sampled" == reading["source"]


def test_size_of_the_process_that_meters_is_not_in_it() -> None:
    code = f"""
import sys
from harness.measuring.commands import Metering, meter_command
from harness.measuring.passing_on import PassingOn
from harness.plugins_loader import load_plugins
ballast = bytearray(300 << 20)
ballast[::4096] = b"x" * len(ballast[::4096])
registry = load_plugins().registry
with PassingOn() as passing:
    for command in (["true"], {python("pass")!r}):
        metered = meter_command(command, Metering(["memory"], {{}}), registry, passing, print)
        print(int(metered.window["memory_host"].value + metered.window["memory_host"].uncertainty))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    sizes = [int(line) for line in done.stdout.split()]
    assert 2 == len(sizes)
    assert max(sizes) < 40 << 20


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
