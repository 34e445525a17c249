"""signals: handlers that only note and wake; the loop does the work. And a limit to the time that something may take.

Owns:       every signal disposition of supervisor and workers, and the wake-up descriptor.
Source:     gunicorn's arbiter (handlers only enqueue); signal.set_wakeup_fd.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from queuectl.errors import TimedOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HANDLED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
AGAIN_S = 0.5
ON_A_SCREEN = {  # what a program on a full screen hears, and what it means there
    **{signal.SIGCHLD: "child", signal.SIGWINCH: "resize", signal.SIGINT: "leave"},
    **{signal.SIGTERM: "end", signal.SIGHUP: "end"},
}


class Inbox:
    """Signals as bytes in a pipe.

    Args:
        wanted: these are noted, others of HANDLED are ignored.
    """

    def __init__(self, wanted: Iterable[signal.Signals]) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        wanted = set(wanted)
        for number in {*HANDLED, *wanted}:
            signal.signal(number, _note if number in wanted else signal.SIG_IGN)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a parent may have started us with some of them blocked

    def fileno(self) -> int:
        """Readable when a signal has come."""
        return self._read

    def take(self) -> bytes:
        """Return the numbers of the signals that came since the last call, one byte each."""
        try:
            return os.read(self._read, 4096)
        except BlockingIOError:
            return b""


def _note(_number: int, _frame: object) -> None:
    """Python writes the number to the wake-up descriptor; nothing else may happen here."""


def meaning(number: int) -> str | None:
    """Return what a signal that an Inbox for ON_A_SCREEN has taken means there."""
    return ON_A_SCREEN.get(signal.Signals(number))


def reset_for_child() -> None:
    """Undo in a forked child what its parent had set up, before the child sets up its own."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """Interrupt what is done here, whatever it waits for, once it takes longer; in the main thread only.

    Raises:
        TimedOut: it did; `what` tells of it.
    """

    def ring(_number: int, _frame: object) -> None:
        raise TimedOut(f"{what} within {seconds:g}s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)  # somebody may take the first for an error of his
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
