"""How workers begin, by either method, and that none outlives the runner."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from launching import HERE, all_messages, both, first_message, linux, marked, survivors

from harness.workers.launcher import Launcher


@both
def test_ignored_signals_of_the_runner_are_not_inherited(method):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Launcher(method=method) as launcher:
            facts = json.loads(first_message(launcher.launch("launcher_targets:tell_facts", b"")))
    finally:
        signal.signal(signal.SIGTERM, before)

    assert facts["term"] == str(signal.SIG_DFL)


@both
def test_traceback_of_an_error_goes_to_stderr(method, capfd):
    with Launcher(method=method) as launcher:
        all_messages(launcher.launch("launcher_targets:die", b"raise KeyError('what was wrong')"))

    assert "KeyError: 'what was wrong'" in capfd.readouterr().err


@both
def test_what_a_worker_prints_is_not_on_stdout(method, capfd):
    with Launcher(method=method) as launcher:
        all_messages(launcher.launch("launcher_targets:shout", b""))
    printed = capfd.readouterr()

    assert (printed.out, printed.err) == ("", "this is no result\n")


@both
def test_setup_has_run_before_the_target(method):
    with Launcher(setup=("launcher_targets:remember", b"set up"), method=method) as launcher:
        assert all_messages(launcher.launch("launcher_targets:tell_known", b"")) == [b"set up"]


@both
def test_modules_on_the_runners_path_are_found(method, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def run(payload, send): send(b'found')")
    monkeypatch.syspath_prepend(tmp_path)
    with Launcher(method=method) as launcher:
        assert all_messages(launcher.launch("only_here:run", b"")) == [b"found"]


@both
def test_folder_named_as_the_package_is_not_taken_for_it(method, tmp_path, monkeypatch):
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry or str(HERE) for entry in sys.path])
    with Launcher(method=method) as launcher:
        assert all_messages(launcher.launch("launcher_targets:echo", b"right")) == [b"right"]


@both
def test_script_without_a_main_guard_runs_once(method, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "print('run', flush=True)\n"
        "from harness.workers.launcher import Launcher\n"
        f"with Launcher(method={method!r}) as launcher:\n"
        "    print(list(launcher.launch('launcher_targets:echo', b'hello').messages()))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout, done.stderr) == ("run\n[b'hello']\n", "")


@both
def test_close_kills_what_still_runs(method):
    with Launcher(method=method) as launcher:
        worker = launcher.launch("launcher_targets:hang_with_child", b"")
        child = int(first_message(worker))

    assert (worker.returncode, survivors(lambda: [worker.pid, child])) == (-signal.SIGKILL, [])


@pytest.mark.slow
@linux
@pytest.mark.parametrize(("method", "rounds"), [("forkserver", 15), ("spawn", 8)])
def test_nothing_survives_a_runner_killed_at_any_moment(method, rounds, tmp_path):
    (tmp_path / "slow_import.py").write_text("import time; time.sleep(0.2)")
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(HERE)!r}]\n"
        "from harness.workers.launcher import Launcher\n"
        f"launcher = Launcher(preload=['slow_import'], method={method!r})\n"
        "while True:\n"
        "    worker = launcher.launch('launcher_targets:hang_with_child', b'')\n"
        "    next(worker.messages())\n"
    )
    moments = random.Random(method)
    left = []
    for turn in range(rounds):
        mark = f"LAUNCHER_TEST_MARK={os.getpid()}-{method}-{turn}-"
        name, value = mark.split("=")
        runner = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, name: value})
        time.sleep(moments.uniform(0.05, 1.0))
        runner.kill()
        runner.wait()
        left += survivors(lambda mark=mark: marked(mark))

    assert left == []
