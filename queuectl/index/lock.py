"""lock: the right to write the index.

Owns:       run/index.lock: the supervisor holds it while it runs, else whoever brings the index up to date.
Guarantees: it is the kernel's: free the moment its holder dies. A forked worker closes its copy with all it inherits, which
            unlocks nothing.
Fails with: Busy.
Cost:       microseconds where nobody holds it; the library for such locks takes 30 ms to import, a third of `list`.
"""

from __future__ import annotations

import time

from queuectl.clock import Clock
from queuectl.errors import Busy
from queuectl.spool.files import APPEND, Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.spool.layout import Layout

PATIENCE_S = 60.0
LOOK_AGAIN_S = 0.05


class IndexLock:
    """Held between `take` and `release`, or as a context manager."""

    def __init__(self, layout: Layout) -> None:
        self._files = Files()
        self._path = f"{layout.run}/index.lock"
        self._fd = -1

    def take(self) -> None:
        """Wait for it.

        Raises:
            Busy: somebody holds it for longer than PATIENCE_S.
        """
        monotonic = Clock().monotonic
        fd, deadline = self._files.open(self._path, APPEND), monotonic() + PATIENCE_S
        try:
            while not self._files.try_lock(fd):
                if monotonic() >= deadline:
                    raise Busy(f"another process has been updating the index for {PATIENCE_S:g}s", "try again")
                time.sleep(LOOK_AGAIN_S)
            self._fd, fd = fd, -1
        finally:
            if fd >= 0:
                self._files.close(fd)

    def release(self) -> None:
        """Let it go."""
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.release()
