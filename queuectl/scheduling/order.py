"""policy: what may start next. The one place that decides it.

Guarantees: order is `priority DESC, run_at, id` over all waiting jobs, however many; memory is bounded. What does not
            fit is left out and `complete` becomes False: the index knows the rest, in the same order.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WINDOW = 1024

Key = tuple[float, float, str, str]  # minus the priority, run_at, id, lane


class Window:
    """The first entries of a long ordered list, of which the index holds the rest.

    Invariant: whatever is left out sorts behind everything that is in.
    """

    def __init__(self, limit: int = WINDOW) -> None:
        self._limit = limit
        self._keys: list[Key] = []
        self.complete = True

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    @property
    def must_refill(self) -> bool:
        """Nothing is in, but something may have been left out."""
        return not self._keys and not self.complete

    @property
    def first(self) -> Key | None:
        """The first key, left in."""
        return self._keys[0] if self._keys else None

    def offer(self, key: Key) -> None:
        """Put a key in its place; it, or the last one, is left out when there is no room."""
        if not self.complete and (not self._keys or key > self._keys[-1]):
            return
        at = bisect_left(self._keys, key)
        if at < len(self._keys) and self._keys[at] == key:
            return
        insort(self._keys, key)
        if len(self._keys) > self._limit:
            self._keys.pop()
            self.complete = False

    def forget(self, job_id: str) -> None:
        """Remove the keys of a job."""
        self._keys = [key for key in self._keys if key[2] != job_id]

    def refill(self, keys: Iterable[Key], *, complete: bool) -> None:
        """Start anew with the first keys of the list; `complete` when these are all."""
        self._keys = sorted(keys)[: self._limit]
        self.complete = complete

    def take(self) -> Key | None:
        """Remove and return the first key."""
        return self._keys.pop(0) if self._keys else None


def order(priority: int, run_at: float, job_id: str, lane: str) -> Key:
    """Return the key by which jobs that may start are ordered."""
    return (-float(priority), run_at, job_id, lane)


def is_due(run_at: float, now: float) -> bool:
    """Never before its time, at once when overdue."""
    return run_at <= now
