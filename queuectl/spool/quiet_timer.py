"""quiet_timer: how long a file that another program may still write has not changed.

Source:     spool/FORMAT.md § Foreign files.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.clock import Clock

SEEN_MAX = 10_000


class QuietTimer:
    """Measures how long files have not changed: by the wall clock where that is certain, else by observation."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[tuple[int, ...], float]] = {}

    def seconds_until_quiet(
        self, job_id: str, changed_at: float, mark: tuple[int, ...], clock: Clock, grace: float
    ) -> float:
        """Return the seconds until a file has not changed for `grace` seconds; 0 when that is so now.

        Args:
            changed_at: the time of the last change by its inode; in the future when the clock was set back.
            mark: a value that differs after every change.
        """
        age = clock.now() - changed_at
        if age >= grace:
            return 0.0
        monotonic = clock.monotonic()
        before = self._seen.get(job_id)
        if before is None or before[0] != mark:
            if len(self._seen) >= SEEN_MAX:
                self._seen.clear()
            self._seen[job_id] = (mark, monotonic)
            return grace - max(0.0, age)
        return max(0.0, before[1] + grace - monotonic)

    def forget(self, job_id: str) -> None:
        """Forget what was observed of a file."""
        self._seen.pop(job_id, None)
