"""lock: the right to write the index.

Owns:       run/index.lock: the supervisor holds it while it runs, else whoever brings the index up to date.
Guarantees: it is the kernel's: free the moment its holder dies, and never held by a forked worker, which closes its copy
            without unlocking.
Fails with: Busy.
"""

from __future__ import annotations

from queuectl.errors import Busy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.spool.layout import Layout

PATIENCE_S = 60.0


class IndexLock:
    """Held between `take` and `release`, or as a context manager."""

    def __init__(self, layout: Layout) -> None:
        from filelock import FileLock

        self._lock = FileLock(f"{layout.run}/index.lock", timeout=PATIENCE_S, mode=0o600)

    def take(self) -> None:
        """Wait for it.

        Raises:
            Busy: somebody holds it for longer than PATIENCE_S.
        """
        from filelock import Timeout

        try:
            self._lock.acquire()
        except Timeout:
            raise Busy(f"another process has been updating the index for {PATIENCE_S:g}s", "try again") from None

    def release(self) -> None:
        """Let it go."""
        self._lock.release()

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.release()
