"""What a terminal and others send to the harness, passed on to the command that it runs; job control among it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from harness.measuring.held_command import HeldCommand

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
        self._terminal: int | None = None
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
        """Give *held* the terminal, if this process has it, and all signals, those that came before too."""
        self._held = held
        self._give_terminal()
        for signum in self._early:
            held.signal(signum)
        try:
            yield
        finally:
            self._take_terminal()

    def wait(self) -> None:
        """Block until the command has ended. Stopped from the terminal (Ctrl-Z), stop too, and go on with it."""
        assert self._held is not None
        self._running = True
        self._idle_signals = 0
        while (signum := self._held.wait(os.WSTOPPED)) is not None:
            if signum in _BY_TERMINAL:
                self._stop_with_it(signum)
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
            self._give_terminal()  # `fg` gave it to this process's group
        self._asked_to_stop |= signum == signal.SIGTSTP
        self._held.signal(signum)

    def _stop_with_it(self, signum: int) -> None:
        """Stop this process's group, as the terminal would have, so that the shell takes over; then both go on.

        The kernel lets nobody be stopped so who has no shell to take over: the command goes on at once then.
        """
        had_terminal = self._terminal is not None
        self._take_terminal()
        if had_terminal:
            handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.killpg(os.getpgrp(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, handler)
        elif not self._asked_to_stop and signum == signal.SIGTSTP:
            return  # somebody stopped the command alone, and will have it go on
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        self._asked_to_stop = False
        self._pass_on(signal.SIGCONT, None)

    def _give_terminal(self) -> None:
        """Make the command's group the foreground one of the terminal on stdin, if this process's is."""
        terminal = _own_terminal()
        if terminal is not None and self._held is not None and self._set_foreground(terminal, self._held.pid):
            self._terminal = terminal

    def _take_terminal(self) -> None:
        if self._terminal is not None:
            self._set_foreground(self._terminal, os.getpgrp())
            self._terminal = None

    @staticmethod
    def _set_foreground(terminal: int, group: int) -> bool:
        """Say whether it worked; a process in the background is stopped for trying unless it blocks SIGTTOU."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            os.tcsetpgrp(terminal, group)
        except OSError:  # the terminal has gone
            return False
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return True


def _own_terminal() -> int | None:
    """Return the descriptor of the terminal on stdin if this process's group is the one in its foreground."""
    try:
        descriptor = sys.__stdin__.fileno() if sys.__stdin__ is not None else -1
        return descriptor if os.tcgetpgrp(descriptor) == os.getpgrp() else None
    except (OSError, ValueError):
        return None
