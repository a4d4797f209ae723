"""The one background thread: jobs at their times, none while nothing is due, and quick turns while it samples."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest

from harness.measuring.sampler import Sampler, quick_turns
from harness.measuring.watchdog import Watchdog


@pytest.fixture
def sampler() -> Iterator[Sampler]:
    made = Sampler()
    yield made
    made.close()


def counting(times: int, done: threading.Event, every: float = 0.001) -> Callable[[], float | None]:
    """Return a job that wants to be called so many times and then sets *done*."""
    calls: list[int] = []

    def job() -> float | None:
        calls.append(1)
        if len(calls) < times:
            return every
        done.set()
        return None

    return job


def threads() -> int:
    return sum(thread.name == "harness-sampler" for thread in threading.enumerate())


def test_job_is_called_until_it_wants_no_more(sampler: Sampler) -> None:
    done = threading.Event()
    sampler.add("m", counting(5, done))

    assert done.wait(30)


def test_job_waits_for_its_time(sampler: Sampler) -> None:
    order: list[str] = []
    done = threading.Event()
    sampler.add("m", lambda: order.append("late") or done.set(), delay=0.2)
    sampler.add("m", lambda: order.append("early"))

    assert done.wait(30)
    assert ["early", "late"] == order


def test_no_thread_before_the_first_job_and_one_for_all(sampler: Sampler) -> None:
    assert 0 == threads()
    done = [threading.Event() for _ in range(3)]
    for event in done:
        sampler.add("m", counting(3, event))
    assert 1 == threads()

    assert all(event.wait(30) for event in done)


def test_job_that_raises_is_dropped_and_the_others_go_on(sampler: Sampler, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    sampler.add("bad", lambda: 1 / 0)
    sampler.add("good", counting(3, done))

    assert done.wait(30)
    assert "meter 'bad' raised in its sampling" in caplog.text


def test_time_of_jobs_is_counted(sampler: Sampler) -> None:
    done = threading.Event()

    def work() -> None:
        sum(range(10**6))

    sampler.add("m", work)
    sampler.add("m", counting(1, done))
    assert done.wait(30)

    assert sampler.busy_seconds > 0


def test_nothing_is_called_after_the_end() -> None:
    sampler = Sampler()
    called = threading.Event()
    sampler.add("m", called.set, delay=0.1)
    sampler.close()
    sampler.add("m", called.set)

    assert not called.wait(0.3)
    assert 0 == threads()


def test_threads_take_quick_turns_only_while_a_dense_job_is_there(sampler: Sampler) -> None:
    before = sys.getswitchinterval()
    seen: list[float] = []
    ended = threading.Event()
    sampler.add("m", lambda: seen.append(sys.getswitchinterval()), dense=True)
    sampler.add("m", ended.set, delay=0.05)

    assert ended.wait(30)
    assert seen[0] < before
    assert before == sys.getswitchinterval()


@pytest.mark.parametrize("end", ["raises", "closed"])
def test_quick_turns_end_with_a_dense_job_however_it_ends(end: str) -> None:
    before = sys.getswitchinterval()
    sampler = Sampler()
    if end == "raises":
        after = threading.Event()
        sampler.add("m", lambda: 1 / 0, dense=True)
        sampler.add("m", after.set, delay=0.05)
        assert after.wait(30)
        assert before == sys.getswitchinterval()
    else:
        sampler.add("m", lambda: None, 60, dense=True)
        assert before > sys.getswitchinterval()
    sampler.close()

    assert before == sys.getswitchinterval()


def test_quick_turns_nest() -> None:
    before = sys.getswitchinterval()
    with quick_turns:
        with quick_turns:
            inside = sys.getswitchinterval()
        assert inside == sys.getswitchinterval() < before

    assert before == sys.getswitchinterval()


def test_job_that_hangs_is_named_by_the_watchdog() -> None:
    heard: list[str] = []
    told, release = threading.Event(), threading.Event()
    dog = Watchdog(lambda what, seconds: (heard.append(what), told.set()), period=0.02)
    dog.open()
    sampler = Sampler(dog)
    dog_limit = "harness.measuring.sampler.HANG_SECONDS"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dog_limit, 0.02)
        sampler.add("slow", lambda: release.wait(30) and None)
        assert told.wait(30)
    release.set()
    sampler.close()
    dog.close()

    assert ["meter 'slow' in its sampling"] == heard


def test_child_after_a_fork_has_neither_quick_turns_nor_jobs() -> None:
    before = sys.getswitchinterval()
    sampler = Sampler()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads are what this is about
        with quick_turns:
            pid = os.fork()
    if pid == 0:
        sampler.add("m", lambda: None, dense=True)
        os._exit(0 if sys.getswitchinterval() == before else 1)
    sampler.close()

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_sampler_that_got_no_thread_tries_again(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    before, done = sys.getswitchinterval(), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sampler.add("m", done.set, dense=True)
    assert before == sys.getswitchinterval()

    sampler.add("m", done.set)
    assert done.wait(30)
