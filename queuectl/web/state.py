"""state: the state of the queue, gathered for the snapshot, the health checks and the metrics.

Guarantees: what comes from the index is asked for once for each change of it, and the costly part of that no more often
            than every FAILURES_S, however many pages are open. A stopped supervisor, and an index that is missing or
            being built, are part of the picture.
"""

from __future__ import annotations

import time
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING

from queuectl.index.database import IndexUnavailable
from queuectl.index.query import Query
from queuectl.status import add_index_figures, read_overview
from queuectl.web.index_access import queue_for_reading
from queuectl.web.response import without_home

if TYPE_CHECKING:
    from typing import Any

    from queuectl.client.queue import Queue
    from queuectl.clock import Clock
    from queuectl.status import Overview
    from queuectl.web.index_access import Index

FAILURES_S = 5.0
FAILURES_WITHIN_S = 86400.0
GROUPS = 5
RUNNING = 50
KEPT_STATS = 16
OF_INDEX = ("counts", "dead_today", "oldest_waiting", "hour", "hour_from", "covered_s", "scheduled", "next_at")


class WriteCounter:
    """The number of changes that were made through this server."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.value = 0

    def note_write(self) -> None:
        """Count a change: what was read before it is out of date."""
        self.value = next(self._numbers)


class IndexState:
    """What the index says.

    Attributes:
        failures: of the last day, see Reader.failures.
    """

    def __init__(self) -> None:
        self.queues: dict[str, dict[str, int]] = {}
        self.oldest: dict[str, float] = {}
        self.failures: list[dict[str, Any]] = []
        self.running: list[dict[str, Any]] = []


class QueueState:
    """How things stand at one moment; `indexed` is None when the index cannot be read."""

    def __init__(self, queue: Queue, overview: Overview, changes: str, index_state: IndexState | None) -> None:
        self.queue = queue
        self.overview = overview
        self.changes = changes
        self.index_state = index_state


class StatusCache:
    """Makes pictures, one at a time."""

    def __init__(self, home: str, index: Index, writes: WriteCounter, clock: Clock) -> None:
        self._home = home
        self._index = index
        self._writes = writes
        self._clock = clock
        self._lock = Lock()
        self._key: tuple[Any, ...] | None = None
        self._overview: Overview | None = None
        self._index_state: IndexState | None = None
        self._failures_at = -FAILURES_S
        self._failures_writes = -1
        self._failures: list[dict[str, Any]] = []

    def current(self) -> QueueState:
        """Return the picture of now."""
        with self._lock:
            queue = queue_for_reading(self._home)
            self._index.catch_up()
            overview = read_overview(queue, patience_s=self._index.patience_s)
            if overview.supervisor is not None and overview.supervisor["degraded"]:
                overview.supervisor["degraded"] = without_home(overview.supervisor["degraded"], self._home)
            changes = self._index.changes()
            try:
                index_state: IndexState | None = self._look(overview, changes)
            except IndexUnavailable as error:
                index_state, self._key = None, None
                overview.unavailable = without_home(error, self._home)
            if overview.supervisor is None and self._index.syncing and not overview.silent:
                overview.syncing = self._index.syncing
            return QueueState(queue, overview, changes, index_state)

    def _look(self, overview: Overview, changes: str) -> IndexState:
        key = (changes, int(overview.now / 60), time.localtime(overview.now)[:3])
        if key != self._key or self._index_state is None or self._overview is None:
            made = IndexState()
            with self._index.reader() as reader:
                add_index_figures(overview, reader)
                made.queues = reader.by_queue()
                made.oldest = reader.oldest_by_queue(overview.now)
                made.running = reader.page(Query(("processing",), sort="-updated", limit=RUNNING)).rows
            self._key, self._index_state, self._overview = key, made, overview
        seen = self._overview
        for name in OF_INDEX:
            setattr(overview, name, getattr(seen, name))
        self._index_state.failures = self._groups(overview.now)
        return self._index_state

    def _groups(self, now: float) -> list[dict[str, Any]]:
        if self._clock.monotonic() - self._failures_at >= FAILURES_S or self._failures_writes != self._writes.value:
            with self._index.reader() as reader:
                self._failures = reader.failures(("failed", "dead"), now - FAILURES_WITHIN_S, GROUPS)
            self._failures_at, self._failures_writes = self._clock.monotonic(), self._writes.value
        return self._failures


class StatsCache:
    """What was answered for this state of the index, shared by all pages."""

    def __init__(self) -> None:
        self.lock = Lock()
        self._made: dict[tuple[Any, ...], dict[str, Any]] = {}

    def get(self, key: tuple[Any, ...]) -> dict[str, Any] | None:
        """Return what was answered for this key."""
        return self._made.get(key)

    def put(self, key: tuple[Any, ...], made: dict[str, Any]) -> None:
        """Keep an answer, and not many."""
        if len(self._made) >= KEPT_STATS:
            self._made.clear()
        self._made[key] = made
