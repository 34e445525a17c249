"""timers: one time for each id, in order of time."""

from __future__ import annotations

import heapq
import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Set

NEVER = math.inf


class Timers:
    """One time for each id, the earliest that was set. Times are monotonic seconds."""

    __slots__ = ("_at", "_order")

    def __init__(self) -> None:
        self._order: list[tuple[float, str]] = []
        self._at: dict[str, float] = {}

    @property
    def ids(self) -> Set[str]:
        """The ids that have a time."""
        return self._at.keys()

    @property
    def first(self) -> float:
        """The earliest time; NEVER if there is none."""
        return self._order[0][0] if self._order else NEVER

    def set(self, job_id: str, at: float) -> None:
        """Let `due` yield this id at `at`, or earlier if an earlier time is set."""
        if at < self._at.get(job_id, NEVER):
            self._at[job_id] = at
            heapq.heappush(self._order, (at, job_id))

    def cancel(self, job_id: str) -> None:
        """Remove the time of an id, if it has one."""
        self._at.pop(job_id, None)

    def due(self, now: float) -> Iterator[str]:
        """Yield and remove the ids whose time has come."""
        while self._order and self._order[0][0] <= now:
            at, job_id = heapq.heappop(self._order)
            if self._at.get(job_id) == at:
                del self._at[job_id]
                yield job_id
