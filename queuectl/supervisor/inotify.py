"""inotify: reports at once that a file arrived or left, the configuration changed, or the clock was set.

Owns:       inotify and timerfd, through the C library.
Guarantees: the descriptor is not readable while nothing happens, so an idle supervisor sleeps. An overflow is reported
            as such, and the caller then compares directories.
Fails with: OSError where inotify is missing, or no instance or watch of it is left.
Source:     inotify(7), timerfd_create(2) § TFD_TIMER_CANCEL_ON_SET. docs/DECISIONS.md says why this is not a dependency.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import NamedTuple

IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE, IN_MODIFY, IN_MOVED_FROM, IN_DELETE = 0x8, 0x80, 0x100, 0x2, 0x40, 0x200
IN_MOVE_SELF, IN_Q_OVERFLOW = 0x800, 0x4000
IN_NONBLOCK, IN_CLOEXEC = 0o4000, 0o2000000
CLOCK_REALTIME, TIMER_ABSOLUTE, TIMER_CANCEL_ON_SET = 0, 1, 2
GONE = IN_MOVE_SELF | 0x8000  # IN_IGNORED: no longer watched, because it was removed
HEADER = struct.Struct("iIII")
ARRIVALS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
DEPARTURES = IN_MOVED_FROM | IN_DELETE
ITSELF = IN_MOVE_SELF  # the directory gets another name
CHANGES = ARRIVALS | IN_MODIFY | IN_DELETE


class Change(NamedTuple):
    """Something appeared, changed or left in a watched directory; `directory` is None after an overflow.

    Without a name, the directory itself has left.
    """

    directory: str | None
    name: str
    has_left: bool = False


class Watch:
    """Watches a few directories for names that appear, are written or leave."""

    def __init__(self, fd: int, libc: ctypes.CDLL) -> None:
        self._fd = fd
        self._libc = libc
        self._directories: dict[int, str] = {}

    def fileno(self) -> int:
        """Readable when something happened."""
        return self._fd

    def add(self, directory: str, mask: int = ARRIVALS) -> None:
        """Watch one more directory.

        Raises:
            OSError: ENOSPC when the system's limit on watches is reached.
        """
        number = self._libc.inotify_add_watch(self._fd, os.fsencode(directory), mask)
        if number < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), directory)
        self._directories[number] = directory

    def read(self) -> list[Change]:
        """Return what happened since the last call, each name once; never blocks."""
        found: dict[Change, None] = {}
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return list(found)
            at = 0
            while at < len(data):
                number, mask, _, length = HEADER.unpack_from(data, at)
                name = data[at + HEADER.size : at + HEADER.size + length].rstrip(b"\0")
                at += HEADER.size + length
                if mask & IN_Q_OVERFLOW:
                    found[Change(None, "")] = None
                elif number in self._directories:
                    change = Change(self._directories[number], os.fsdecode(name), bool(mask & (DEPARTURES | GONE)))
                    found[change] = None

    def close(self) -> None:
        """Stop watching."""
        os.close(self._fd)


def open_watch() -> Watch:
    """Return a new watch.

    Raises:
        OSError: ENOSYS where the system has no inotify, EMFILE when its limit on instances is reached.
    """
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return Watch(fd, libc)


def why_not_watching(error: OSError) -> str:
    """Return why there are no events, with the system setting that limits them."""
    name = {errno.EMFILE: "max_user_instances", errno.ENOSPC: "max_user_watches"}.get(error.errno or 0)
    if name is None:
        return "this system has no inotify" if error.errno == errno.ENOSYS else str(error.strerror)
    return f"the limit fs.inotify.{name} is reached"


class ClockWatch:
    """Readable after the wall clock was set, which cancels a timer in the far future."""

    def __init__(self, fd: int, libc: ctypes.CDLL) -> None:
        self._fd = fd
        self._libc = libc
        self._arm()

    def _arm(self) -> None:
        never = (ctypes.c_long * 4)(0, 0, (1 << 62) // 10**9, 0)
        self._libc.timerfd_settime(self._fd, TIMER_ABSOLUTE | TIMER_CANCEL_ON_SET, never, None)

    def fileno(self) -> int:
        """For selectors."""
        return self._fd

    def take(self) -> bool:
        """Tell whether the clock was set since the last call, and keep watching."""
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return False
        except OSError:  # ECANCELED
            self._arm()
            return True
        return False


def open_clock_watch() -> ClockWatch | None:
    """Return a new clock watch, or None where the system has no such timers."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(CLOCK_REALTIME, IN_NONBLOCK | IN_CLOEXEC)
    return ClockWatch(fd, libc) if fd >= 0 else None
