"""`harness measure` passes on signals and lends the terminal to its command."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from metering import FAULTY, measure, python, value, words


def test_meter_that_hangs_can_be_interrupted_and_the_command_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", "hang 1")
    Path("faulty.py").write_text(FAULTY)
    options = ["--plugin", "faulty", "--meter", "faulty", "--output", "cost.json"]
    process = subprocess.Popen(words(["touch", "ran"], *options))
    while not Path("hangs").exists():
        assert process.poll() is None
        time.sleep(0.01)
    for _ in range(20):  # two are needed; those that come at once are one, and one that comes at the very end kills
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
            break

    assert 143 == process.returncode == json.loads(Path("cost.json").read_text())["exit_code"]
    assert not Path("ran").exists()


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


class OnTerminal:
    """The shell's *script* on a terminal of its own."""

    def __init__(self, script: str) -> None:
        self.shown = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execvp("sh", ["sh", "-c", script])

    def wait_for(self, text: str) -> None:
        while text not in self.shown:
            assert self._read(), f"{text!r} is not in {self.shown!r}"

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def has_ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def has_ended_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self.has_ended() and time.monotonic() < end:
            time.sleep(0.01)
        return self.has_ended()

    def end(self) -> int:
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        """Hang up, which ends what still runs."""
        os.close(self._terminal)

    def _read(self) -> bool:
        """Say whether there was more to be shown within a while."""
        ready, _, _ = select.select([self._terminal], [], [], 20)
        with contextlib.suppress(OSError):  # nobody has the terminal any more
            more = os.read(self._terminal, 1024).decode() if ready else ""
            self.shown += more
            return bool(more)
        return False


@pytest.fixture
def on_terminal() -> Iterator[Callable[[str], OnTerminal]]:
    with ExitStack() as stack:

        def start(script: str) -> OnTerminal:
            return stack.enter_context(contextlib.closing(OnTerminal(script)))

        yield start


def harness(code: str) -> str:
    """Return how a shell is told to meter the Python program *code*."""
    return shlex.join(words(python(code), "--meter", "time", "--output", "cost.json"))


Start = Callable[[str], OnTerminal]


@pytest.mark.parametrize("script", ["exec {}", "{}; exit $?"], ids=["alone", "in a script that waits"])
def test_terminal_belongs_to_the_command_and_ctrl_c_ends_it(script: str, on_terminal: Start) -> None:
    code = "import os; print(os.tcgetpgrp(0) == os.getpgrp(), flush=True); import time; time.sleep(60)"
    terminal = on_terminal(script.format(harness(code)))
    terminal.wait_for("True")
    terminal.type("\x03")

    assert 130 == terminal.end()
    assert 130 == json.loads(Path("cost.json").read_text())["exit_code"]


@pytest.mark.parametrize("edge", ["1", "2"], ids=["before the command", "after it"])
def test_ctrl_c_reaches_a_meter_that_hangs(edge: str, monkeypatch: pytest.MonkeyPatch, on_terminal: Start) -> None:
    monkeypatch.setenv("FAULT", f"hang {edge}")
    Path("faulty.py").write_text(FAULTY)
    command = words(["touch", "ran"], "--plugin", "faulty", "--meter", "faulty")
    terminal = on_terminal(f"exec {shlex.join(command)}")
    while not Path("hangs").exists():
        assert not terminal.has_ended()
        time.sleep(0.01)
    for _ in range(20):
        terminal.type("\x03")
        if terminal.has_ended_within(2):
            break

    assert terminal.has_ended()
    assert 130 == terminal.end()
    assert (edge == "2") == Path("ran").exists()


READ = "x = open('/dev/tty').readline(); print('got', x, flush=True)"


def test_command_with_its_input_from_a_pipe_can_read_from_the_terminal(on_terminal: Start) -> None:
    terminal = on_terminal(f"true | {harness('print(1, flush=True); ' + READ)}")
    terminal.wait_for("1")
    terminal.type("hello\n")

    terminal.wait_for("got hello")
    assert 0 == terminal.end()


def test_rest_of_a_pipeline_can_read_from_the_terminal(on_terminal: Start) -> None:
    code = "import os, time; print('up', flush=True)\nwhile not os.path.exists('done'): time.sleep(0.01)"
    terminal = on_terminal(f"{harness(code)} | sh -c 'read up; echo $up; read x </dev/tty; echo got $x; touch done'")
    terminal.wait_for("up")
    terminal.type("hello\n")

    terminal.wait_for("got hello")
    assert 0 == terminal.end()


def test_command_that_reads_from_the_terminal_in_a_pipeline_gets_it(on_terminal: Start) -> None:
    terminal = on_terminal(f"{harness(READ)} | cat")
    terminal.type("hello\n")

    terminal.wait_for("got hello")
    assert 0 == terminal.end()
