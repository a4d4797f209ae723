"""What a terminal and others send to the harness, passed on to the command that it runs; job control among it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from harness.measuring.held_command import HeldCommand
from harness.measuring.terminal import Terminal

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTSTP", "SIGCONT")
_PASSED_ON = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_BY_TERMINAL = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


class PassingOn:
    """While entered, signals go on to the group of the command that is `attached`, and end nothing here.

    One that comes before there is a command is kept for it. While no command runs, because meters are being opened or
    read, a second one raises KeyboardInterrupt: a meter may hang. `signum` is the first that asked to end. Outside the
    main thread, where Python allows no handlers, signals do what they did.
    """

    def __init__(self) -> None:
        self._held: HeldCommand | None = None
        self._early: list[int] = []
        self._before: dict[int, Any] = {}
        self._terminal = Terminal()
        self._asked_to_stop = False
        self._running = False
        self._idle_signals = 0
        self.signum: int | None = None

    def __enter__(self) -> PassingOn:
        if threading.current_thread() is threading.main_thread():
            # What is ignored on purpose stays so, here and in the command (nohup ignores SIGHUP).
            heeded = [signum for signum in _PASSED_ON if signal.getsignal(signum) is not signal.SIG_IGN]
            self._before = {signum: signal.signal(signum, self._pass_on) for signum in heeded}
        return self

    def __exit__(self, *error: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    @contextmanager
    def attached(self, held: HeldCommand) -> Iterator[None]:
        """Pass all signals on to *held*, those that came before too."""
        self._held = held
        for signum in self._early:
            held.signal(signum)
        with self._terminal.opened():
            yield

    def run(self) -> None:
        """Let the command go, and block until it has ended. Only meanwhile the terminal is its own.

        Stopped from the terminal (Ctrl-Z), stop too, and go on with it.
        """
        assert self._held is not None
        self._running = True
        self._idle_signals = 0
        self._lend_terminal()
        self._held.release()
        while (signum := self._held.wait(os.WSTOPPED)) is not None:
            if signum in _BY_TERMINAL:
                self._stop_with_it(signum)
        self._terminal.take_back()
        self._running = False

    def _pass_on(self, signum: int, frame: FrameType | None) -> None:
        if signum in _ENDING:
            self.signum = self.signum or signum
            self._idle_signals += not self._running
            # Not at the third, which may come while the second is being heeded.
            if not self._running and self._idle_signals % 2 == 0:
                raise KeyboardInterrupt
        if self._held is None:
            self._early.append(signum)
            return
        if signum == signal.SIGCONT:
            self._lend_terminal()  # `fg` gave it to this process's group
        self._asked_to_stop |= signum == signal.SIGTSTP
        self._held.signal(signum)

    def _stop_with_it(self, signum: int) -> None:
        """Stop this process's group, as the terminal would have, so that the shell takes over; then both go on.

        The kernel lets nobody be stopped so who has no shell to take over: the command goes on at once then.
        """
        assert self._held is not None
        if self._terminal.lent:
            self._terminal.take_back()
            handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.killpg(os.getpgrp(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, handler)
        elif signum != signal.SIGTSTP and self._terminal.lend(self._held.pid):
            return self._held.signal(signal.SIGCONT)  # it wants the terminal, which the rest of a pipeline had
        elif not self._asked_to_stop and signum == signal.SIGTSTP:
            return None  # somebody stopped the command alone, and will have it go on
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        self._asked_to_stop = False
        return self._pass_on(signal.SIGCONT, None)

    def _lend_terminal(self) -> None:
        """Give the command the terminal while it runs. The rest of a pipeline keeps it until the command wants it."""
        if self._running and self._held is not None and not self._terminal.shared:
            self._terminal.lend(self._held.pid)
