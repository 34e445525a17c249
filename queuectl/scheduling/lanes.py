"""lanes: the waiting jobs that are due, in the order in which they start, with those left out that a limit blocks.

Guarantees: order is `priority DESC, run_at, id` over all jobs whose limits have room; inside a lane it holds always. A
            job that is blocked costs nothing: its lane is looked at again when a limit that blocked it gets room.
            Memory is bounded by WINDOW jobs, and OWN_WINDOW for each blocked lane; the index has the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.scheduling.order import WINDOW, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from queuectl.scheduling.order import Key

OWN_WINDOW = 64
MANY_OPEN = 256  # more lanes than these are not looked at one by one


class Lanes:
    """One window for the lanes that were never found blocked, and one for each that was.

    Args:
        blocking: returns the limit that keeps the jobs of a lane from starting now, or None.
        refill: returns up to `limit` of the first due jobs: of one lane, or, with None, of all lanes but some.
    """

    def __init__(
        self,
        blocking: Callable[[str], str | None],
        refill: Callable[[str | None, Collection[str], int], list[Key]],
    ) -> None:
        self._blocking = blocking
        self._refill = refill
        self._shared = Window(WINDOW)
        self._shared.complete = False  # the index has the jobs that waited at the last stop
        self._own: dict[str, Window] = {}
        self._open: set[str] = set()  # lanes of `_own` that no limit is known to block
        self._blocked: dict[str, set[str]] = {}  # limit -> lanes of `_own`

    def __len__(self) -> int:
        return len(self._shared) + sum(len(self._own[lane]) for lane in self._open)

    @property
    def may_have_more(self) -> bool:
        """Jobs may be due that are in no window."""
        return not self._shared.complete or any(not self._own[lane].complete for lane in self._open)

    @property
    def blocked_by(self) -> dict[str, set[str]]:
        """The limits that block lanes, each with its lanes."""
        return self._blocked

    def offer(self, key: Key) -> None:
        """Put a job that is due in its place."""
        window = self._own.get(key[3])
        (self._shared if window is None else window).offer(key)

    def take(self, unwanted: Callable[[str], bool] | None = None) -> Key | None:
        """Remove and return the first job that may start; None when there is none.

        Args:
            unwanted: lanes of which none is to be taken; when the first job is of such a lane, there is none.
        """
        while True:
            window = self._first()
            key = None if window is None else window.first
            if window is None or key is None:
                return None
            limit = self._blocking(key[3])
            if limit is None:
                return None if unwanted is not None and unwanted(key[3]) else window.take()
            if window is self._shared:
                self._move_blocked()
            else:
                self._block(key[3], limit)

    def freed(self, limits: Iterable[str]) -> None:
        """These limits have more room, or another capacity."""
        for limit in limits:
            lanes = self._blocked.pop(limit, None)
            if lanes is not None:
                self._open |= lanes
        if len(self._open) > MANY_OPEN:
            self._join_open()

    def forget(self, job_id: str) -> None:
        """Remove a job that may have changed."""
        for window in (self._shared, *self._own.values()):
            window.forget(job_id)

    def reset(self) -> None:
        """Forget all jobs; the next `take` reads them again. For capacities that changed."""
        self._own.clear()
        self._open.clear()
        self._blocked.clear()
        self._shared.refill((), complete=False)

    def _first(self) -> Window | None:
        """Return the window with the first job of those that are not known to be blocked."""
        if self._shared.must_refill:
            found = self._refill(None, self._own, WINDOW)
            self._shared.refill(found, complete=len(found) < WINDOW)
        first, key = self._shared, self._shared.first
        for lane in [*self._open]:
            window = self._own[lane]
            if window.must_refill:
                found = self._refill(lane, (), OWN_WINDOW)
                window.refill(found, complete=len(found) < OWN_WINDOW)
            if window.first is None:
                del self._own[lane]
                self._open.discard(lane)
            elif key is None or window.first < key:
                first, key = window, window.first
        return None if key is None else first

    def _move_blocked(self) -> None:
        """Move the jobs of all blocked lanes out of the shared window."""
        limits: dict[str, str | None] = {}
        kept: list[Key] = []
        complete = self._shared.complete
        moved: dict[str, list[Key]] = {}
        for key in self._shared:
            lane = key[3]
            if lane not in limits:
                limits[lane] = self._blocking(lane)
            if limits[lane] is None:
                kept.append(key)
            else:
                moved.setdefault(lane, []).append(key)
        self._shared.refill(kept, complete=complete)
        for lane, keys in moved.items():
            window = self._own[lane] = Window(OWN_WINDOW)
            window.refill(keys, complete=complete and len(keys) <= OWN_WINDOW)
            self._block(lane, str(limits[lane]))

    def _join_open(self) -> None:
        """Move the jobs of open lanes of which all are known back to the shared window."""
        for lane in [*self._open]:
            if self._own[lane].complete:
                self._open.discard(lane)
                for key in self._own.pop(lane):
                    self._shared.offer(key)

    def _block(self, lane: str, limit: str) -> None:
        self._open.discard(lane)
        self._blocked.setdefault(limit, set()).add(lane)
