"""The forkserver: when it is used, when not, and what becomes of workers when it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launching import HERE, all_messages, first_message, linux, survivors

from harness.errors import HarnessError
from harness.interruption import Stop
from harness.workers.forkserver import QUIET_IMPORTS, quiet_imports, thread_names
from harness.workers.launcher import Launcher
from harness.workers.process import describe_end

# The forkserver


@linux
def test_auto_is_the_forkserver():
    with Launcher() as launcher:
        launcher.start()

        assert (launcher.start_method, launcher.notes) == ("forkserver", [])


@linux
def test_workers_share_one_server():
    with Launcher() as launcher:
        workers = [launcher.launch("launcher_targets:tell_parent", b"") for _ in range(3)]

        assert len({first_message(worker) for worker in workers}) == 1


@linux
def test_thread_started_by_the_setup_means_spawn():
    with Launcher(setup=("launcher_targets:start_thread", b"")) as launcher:
        worker = launcher.launch("launcher_targets:echo", b"works")

        assert all_messages(worker) == [b"works"]
        assert launcher.start_method == "spawn"
        assert "launcher_targets:start_thread started 1 thread" in launcher.notes[0]


@linux
def test_thread_started_by_an_import_names_the_module(tmp_path, monkeypatch):
    (tmp_path / "threaded.py").write_text("import launcher_targets; launcher_targets.start_thread(b'')")
    monkeypatch.syspath_prepend(tmp_path)
    with Launcher(preload=["json", "threaded"]) as launcher:
        launcher.start()

        assert "importing 'threaded' started 1 thread" in launcher.notes[0]


@linux
def test_forkserver_that_was_asked_for_is_not_replaced():
    setup = ("launcher_targets:start_thread", b"")
    with Launcher(setup=setup, method="forkserver") as launcher, pytest.raises(HarnessError, match="started 1 thread"):
        launcher.start()


@linux
def test_setup_that_fails_means_spawn():
    with Launcher(setup=("launcher_targets:fail_setup", b"")) as launcher:
        launcher.start()

        assert launcher.start_method == "spawn"
        assert "launcher_targets:fail_setup failed: ValueError: no such plugin" in launcher.notes[0]


@linux
def test_module_that_is_not_there_is_skipped_and_told_of():
    with Launcher(preload=["no_such_module", "json"]) as launcher:
        launcher.start()

        assert launcher.start_method == "forkserver"
        assert "'no_such_module' is not preloaded" in launcher.notes[0]


@linux
def test_modules_that_start_threads_unless_told_otherwise_can_be_preloaded():
    with Launcher(preload=["numpy", "pandas"]) as launcher:
        launcher.start()

        assert (launcher.start_method, launcher.notes) == ("forkserver", [])


@linux
def test_workers_see_the_environment_as_the_runner_has_it(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.delenv("JE_ARROW_MALLOC_CONF", raising=False)
    with Launcher() as launcher:
        facts = json.loads(first_message(launcher.launch("launcher_targets:tell_facts", b"")))

    assert facts["quiet"] == ["3", None]


@given(st.dictionaries(st.sampled_from(sorted(QUIET_IMPORTS)), st.sampled_from(["", "1", "8"])))
def test_environment_is_put_back_exactly(given_environment):
    with pytest.MonkeyPatch.context() as patch:
        for name in QUIET_IMPORTS:
            patch.delenv(name, raising=False)
        for name, value in given_environment.items():
            patch.setenv(name, value)
        before = dict(os.environ)
        with quiet_imports():
            assert QUIET_IMPORTS.items() <= os.environ.items()

        assert dict(os.environ) == before


@linux
def test_threads_of_this_process_are_counted():
    before = len(thread_names())
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    during = len(thread_names())
    event.set()
    thread.join()

    assert during == before + 1


@linux
def test_server_killed_between_launches_is_started_again():
    with Launcher() as launcher:
        kill_server(launcher)

        assert all_messages(launcher.launch("launcher_targets:echo", b"again")) == [b"again"]
        assert launcher.start_method == "forkserver"
        assert launcher.notes == ["the forkserver ended too early (killed by SIGKILL)"]


def kill_server(launcher):
    worker = launcher.launch("launcher_targets:tell_parent", b"")
    (parent,) = all_messages(worker)
    os.kill(int(parent), signal.SIGKILL)


@linux
def test_server_that_is_killed_again_and_again_is_given_up():
    with Launcher() as launcher:
        for _ in range(3):
            kill_server(launcher)
        worker = launcher.launch("launcher_targets:echo", b"works")

        assert (all_messages(worker), launcher.start_method) == ([b"works"], "spawn")
        assert "the forkserver ended 3 times" in launcher.notes[-1]


@linux
def test_worker_of_a_killed_server_has_crashed_with_its_children():
    with Launcher() as launcher:
        worker = launcher.launch("launcher_targets:hang_with_child", b"")
        child = int(first_message(worker))
        os.kill(parent_of(worker.pid), signal.SIGKILL)

        assert (all_messages(worker), describe_end(worker.returncode)) == ([], "killed by SIGKILL")
        assert survivors(lambda: [worker.pid, child]) == []


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@linux
def test_import_that_kills_the_server_means_spawn(tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.syspath_prepend(tmp_path)
    with Launcher(preload=["deadly"]) as launcher:
        launcher.start()

        assert launcher.start_method == "spawn"
        assert launcher.notes[0] == "the forkserver ended too early (killed by SIGSEGV)"


@linux
def test_exit_handlers_of_the_server_are_not_run_by_its_workers(tmp_path, monkeypatch):
    (tmp_path / "tidy.py").write_text(
        f"import atexit, pathlib; atexit.register(pathlib.Path({str(tmp_path / 'it')!r}).touch)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with Launcher(preload=["tidy"]) as launcher:
        all_messages(launcher.launch("launcher_targets:echo", b""))
        after_worker = (tmp_path / "it").exists()

    assert (after_worker, (tmp_path / "it").exists()) == (False, True)


@pytest.mark.slow
@linux
def test_torch_preloaded_convolves_with_threads_in_a_fork():
    pytest.importorskip("torch")
    with Launcher(preload=["torch", "numpy"]) as launcher:
        worker = launcher.launch("launcher_targets:convolve", b"")

        assert (all_messages(worker), launcher.start_method) == ([b"2 threads, 300"], "forkserver")


@linux
def test_wake_ends_the_wait_for_slow_imports(tmp_path, monkeypatch):
    (tmp_path / "endless_import.py").write_text("import time; time.sleep(1000)")
    monkeypatch.syspath_prepend(tmp_path)
    stop = Stop()
    stop.ask(signal.SIGINT)
    with Launcher(preload=["endless_import"]) as launcher, pytest.raises(InterruptedError):
        launcher.launch("launcher_targets:echo", b"", wake=stop)
    stop.close()


@linux
def test_children_of_workers_die_when_runner_and_server_are_killed_at_once():
    program = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from harness.workers.launcher import Launcher\n"
        "launcher = Launcher()\n"
        "worker = launcher.launch('launcher_targets:hang_with_child', b'')\n"
        "child = next(worker.messages()).decode()\n"
        "print(worker.pid, child, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as runner:
        worker, child = map(int, runner.stdout.readline().split())
        server = parent_of(worker)
        os.kill(runner.pid, signal.SIGKILL)
        os.kill(server, signal.SIGKILL)

    assert survivors(lambda: [worker, child, server]) == []
