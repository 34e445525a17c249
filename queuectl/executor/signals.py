"""signals: handlers that only wake the loop, which does the work; and a time limit for an operation.

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
ON_A_SCREEN = {  # signals that a full-screen program handles, and what they mean there
    **{signal.SIGCHLD: "child", signal.SIGWINCH: "resize", signal.SIGINT: "end"},
    **{signal.SIGTERM: "end", signal.SIGHUP: "end"},
}


class Inbox:
    """Signals as bytes in a pipe.

    Args:
        wanted: these are received, others of HANDLED are ignored.
    """

    def __init__(self, wanted: Iterable[signal.Signals]) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        wanted = set(wanted)
        self._before = {
            number: signal.signal(number, _note if number in wanted else signal.SIG_IGN)
            for number in {*HANDLED, *wanted}
        }
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the parent may have blocked some of them

    def close(self) -> None:
        """Restore the handlers that were there before."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        """Readable when a signal has arrived."""
        return self._read

    def take(self) -> bytes:
        """Return the numbers of the signals that arrived since the last call, one byte each."""
        try:
            return os.read(self._read, 4096)
        except BlockingIOError:
            return b""


def _note(_number: int, _frame: object) -> None:
    """Do nothing: Python writes the number to the wake-up descriptor."""


def meaning(number: int) -> str | None:
    """Return what a signal means to a full-screen program (ON_A_SCREEN)."""
    return ON_A_SCREEN.get(signal.Signals(number))


def reset_for_child() -> None:
    """Reset in a forked child the handlers of its parent, before the child sets its own."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)


def sleep_until_interrupted() -> None:
    """Sleep until Ctrl-C; in the main thread only.

    It waits for the byte that the interpreter writes for a signal. A signal that another thread gets, or that comes just
    before this thread sleeps, wakes nothing else.

    Raises:
        KeyboardInterrupt.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        while os.read(read, 1):
            pass  # the handler of the signal raises here
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


@contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """Interrupt the block when it takes longer than `seconds`; in the main thread only.

    Raises:
        TimedOut: it took longer; `what` describes it.
    """

    def ring(_number: int, _frame: object) -> None:
        raise TimedOut(f"{what} within {seconds:g}s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)  # other code may swallow the first exception
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
