"""lock: locks under run/, and the lock for writing the index.

Owns:       run/index.lock: the supervisor holds it while it runs, else the process that updates the index.
Guarantees: the kernel releases it when its holder dies. A forked worker closes its copy with all it inherits, which
            unlocks nothing.
Fails with: Busy.
Cost:       microseconds if it is free; the library for such locks takes 30 ms to import, a third of `list`, and 5 MB.
"""

from __future__ import annotations

import os
import time

from queuectl.clock import Clock
from queuectl.errors import Busy
from queuectl.spool.fs import APPEND, Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.spool.layout import Layout

PATIENCE_S = 60.0
LOOK_AGAIN_S = 0.05


class Lock:
    """Held from a successful `try_take` to `release`."""

    def __init__(self, path: str) -> None:
        self._files = Files()
        self._path = path
        self._fd = -1

    def try_take(self, patience_s: float = 0.0, look_again_s: float = LOOK_AGAIN_S) -> bool:
        """Wait for it at most `patience_s`; False when another process still has it."""
        monotonic = Clock().monotonic
        fd, deadline = self._files.open(self._path, APPEND), monotonic() + patience_s
        try:
            while not self._files.try_lock(fd):
                if monotonic() >= deadline:
                    return False
                time.sleep(look_again_s)
            self._fd, fd = fd, -1
        finally:
            if fd >= 0:
                self._files.close(fd)
        return True

    def inherit(self, fd: int) -> bool:
        """Hold the lock by a descriptor of its file that this process was started with; False when it is none."""
        try:
            ours, file = os.fstat(fd), os.stat(self._path)
            if (ours.st_dev, ours.st_ino) != (file.st_dev, file.st_ino) or not self._files.try_lock(fd):
                return False
            os.set_inheritable(fd, False)
        except OSError:
            return False
        self._fd = fd
        return True

    def release_to_exec(self) -> int:
        """Keep the lock held over execve; return the descriptor that the new program has to `inherit`."""
        os.set_inheritable(self._fd, True)
        fd, self._fd = self._fd, -1
        return fd

    def release(self) -> None:
        """Let it go."""
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1


class IndexLock(Lock):
    """Held between `take` and `release`, or as a context manager."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(f"{layout.run}/index.lock")

    def take(self) -> None:
        """Wait for it.

        Raises:
            Busy: another process holds it for longer than PATIENCE_S.
        """
        if not self.try_take(PATIENCE_S):
            raise Busy(f"another process has been updating the index for {PATIENCE_S:g}s", "try again")

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.release()
