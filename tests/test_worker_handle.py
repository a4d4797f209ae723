"""One worker: what it sends, how it ends, how the runner waits for it and ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launching import all_messages, first_message, methods, survivors

from harness.interruption import Stop, stop_on_signals
from harness.workers import handle
from harness.workers.launcher import Launcher
from harness.workers.process import END, describe_end, take_frame


@pytest.fixture(scope="module", params=methods)
def launcher(request):
    with Launcher(method=request.param) as launcher:
        yield launcher


@pytest.fixture
def launch(launcher):
    """Launch a target of launcher_targets and kill it after the test."""
    workers = []

    def launch(target, payload=b""):
        workers.append(launcher.launch(f"launcher_targets:{target}", payload))
        return workers[-1]

    yield launch
    for worker in workers:
        worker.kill()


# Messages


def test_messages_come_in_order(launch):
    lines = [str(number).encode() for number in range(1000)]

    assert all_messages(launch("echo", b"\n".join(lines))) == lines


def test_payload_larger_than_a_socket_holds_arrives(launch):
    line = bytes(3_000_000)

    assert all_messages(launch("echo", line)) == [line]


def test_message_cut_by_death_is_lost_and_none_before_it(launch):
    worker = launch("choke")
    first = first_message(worker)
    worker.kill()

    assert (first, all_messages(worker)) == (b"small", [])


def test_messages_before_a_kill_are_kept(launch, tmp_path):
    sent = tmp_path / "sent"
    worker = launch("send_and_touch", str(sent).encode())
    while not sent.exists():
        time.sleep(0.01)
    worker.kill()

    assert all_messages(worker) == [b"sent"]


@given(st.lists(st.binary(max_size=20)), st.integers(1, 30))
def test_frames_survive_any_cut(messages, size):
    stream = b"".join(len(message).to_bytes(4, "big") + message for message in messages)
    buffer, found = bytearray(), []
    for start in range(0, len(stream), size):
        buffer += stream[start : start + size]
        while (message := take_frame(buffer)) is not None:
            found.append(message)

    assert found == messages


# Ends


@pytest.mark.parametrize(
    ("code", "returncode"),
    [
        ("pass", 0),
        ("sys.exit()", 0),
        ("sys.exit(3)", 3),
        ("sys.exit('a reason')", 1),
        ("1 / 0", 1),
        ("os._exit(0)", 0),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -11),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("os.abort()", -6),
    ],
)
def test_end_is_reported_after_the_messages(launch, code, returncode):
    worker = launch("die", code.encode())

    assert (all_messages(worker), worker.returncode) == ([b"last words"], returncode)


def test_unknown_target_is_exit_code_1(launch):
    worker = launch("no_such_target")

    assert (all_messages(worker), worker.returncode) == ([], 1)


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (None, "still running"),
        (0, "ended without a result"),
        (3, "exit code 3"),
        (-9, "killed by SIGKILL"),
        (-63, "killed by signal 63"),
    ],
)
def test_words_for_an_end(returncode, words):
    assert describe_end(returncode) == words


# What a worker finds


def test_worker_leads_a_group_and_has_signals_of_its_own(launch):
    worker = launch("tell_facts")
    facts = json.loads(first_message(worker))

    assert (facts["pid"], facts["group"], facts["term"]) == (worker.pid, worker.pid, str(signal.SIG_DFL))
    assert facts["int"] == "CtrlC"  # raises KeyboardInterrupt as the default does
    assert facts["stdin"] == ""


# Blocking


def test_deadline_ends_the_wait(launch):
    worker = launch("hang")

    assert (list(worker.messages(deadline=time.monotonic() + 0.5))[1:], worker.returncode) == ([], None)


def test_deadline_ends_a_flood(launch):
    worker = launch("send_for_ever")

    assert set(worker.messages(deadline=time.monotonic() + 0.5)) <= {b"again"}
    assert worker.returncode is None


def test_wake_ends_the_wait(launch):
    worker, stop = launch("hang"), Stop()
    stop.ask(signal.SIGTERM)

    assert (list(worker.messages(wake=stop))[1:], worker.returncode) == ([], None)
    stop.close()


def test_signal_to_the_runner_ends_the_wait(launch):
    worker = launch("hang")
    with stop_on_signals() as stop:
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
        list(worker.messages(wake=stop))

        assert (stop.signum, worker.returncode) == (signal.SIGINT, None)


@pytest.mark.parametrize("target", ["hang", "close_channel"])
def test_runner_uses_no_processor_time_while_it_blocks(launch, target):
    worker = launch(target)
    list(worker.messages(deadline=time.monotonic() + 0.5))
    before = time.process_time()
    list(worker.messages(deadline=time.monotonic() + 1.0))

    assert time.process_time() - before < 0.1


# Killing


def test_terminate_is_a_sigterm(launch):
    worker = launch("hang")
    first_message(worker)
    worker.terminate()

    assert worker.returncode == -signal.SIGTERM


@pytest.mark.parametrize("target", ["hang_stubbornly", "stop_stubbornly"])
def test_who_does_not_heed_sigterm_is_killed(launch, target):
    worker = launch(target)
    first_message(worker)
    worker.terminate(grace=0.2)

    assert worker.returncode == -signal.SIGKILL


def test_wake_ends_the_grace(launch):
    worker, stop = launch("hang_stubbornly"), Stop()
    first_message(worker)
    stop.ask(signal.SIGINT)
    worker.terminate(grace=1000, wake=stop)
    stop.close()

    assert worker.returncode == -signal.SIGKILL


def test_stopped_worker_is_killed(launch):
    worker = launch("hang")
    first_message(worker)
    os.kill(worker.pid, signal.SIGSTOP)
    worker.kill()

    assert worker.returncode == -signal.SIGKILL


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_children_of_a_worker_die_with_it(launch, end):
    worker = launch("hang_with_child")
    child = int(first_message(worker))
    getattr(worker, end)()

    assert survivors(lambda: [child, worker.pid]) == []


def test_children_left_behind_are_killed_and_told_of(launch):
    worker = launch("leave_child")
    (child,) = all_messages(worker)

    assert (worker.left_behind, survivors(lambda: [int(child)])) == (True, [])


def test_worker_that_leaves_nothing_behind_is_not_told_of(launch):
    worker = launch("echo")
    all_messages(worker)

    assert not worker.left_behind


def test_kill_waits_for_the_word_of_an_end_that_is_still_on_the_way(monkeypatch):
    pairs = [socket.socketpair() for _ in range(3)]
    (channel, its_channel), (status, its_status), (lifeline, its_lifeline) = pairs
    # The server has reaped the worker, so that no process is left to signal, and is about to tell.
    monkeypatch.setattr(handle, "signal_group", lambda group, signum: False)
    threading.Timer(0.1, lambda: its_status.send(END.pack(0, False))).start()
    worker = handle.Worker(123456, channel, status, lifeline)
    worker.kill()

    assert worker.returncode == 0
    assert -1 == channel.fileno() == status.fileno() == lifeline.fileno()
    for end in (its_channel, its_status, its_lifeline):
        end.close()
