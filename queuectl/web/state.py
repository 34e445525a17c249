"""state: the state of the queue at one moment, read once for the snapshot, the health checks and the metrics.

Guarantees: the index is read once for each change of it, and its groups of failures at most every FAILURES_S, however
            many pages are open. A supervisor that does not run, and an index that is missing or being built, are states
            like any other.
"""

from __future__ import annotations

import time
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from queuectl.index.database import IndexUnavailable
from queuectl.index.query import Query
from queuectl.status import add_index_figures, read_overview
from queuectl.web.index_access import queue_for_reading
from queuectl.web.response import without_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.client.queue import Queue
    from queuectl.clock import Clock
    from queuectl.status import Overview
    from queuectl.web.index_access import Index

FAILURES_S = 5.0
FAILURES_WITHIN_S = 86400.0
GROUPS = 5
RUNNING = 50
BATCHES = 10
KEPT_STATS = 16
OF_INDEX = (
    "counts",
    "invalid",
    "dead_today",
    "oldest_waiting",
    "hour",
    "hour_from",
    "covered_s",
    "scheduled",
    "next_at",
    "awaiting_parents",
)


class WriteCounter:
    """The number of changes that were made through this server."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.value = 0

    def note_write(self) -> None:
        """Count a change: what was read before it is out of date."""
        self.value = next(self._numbers)


class IndexState(NamedTuple):
    """What the index says.

    Attributes:
        overview: the members OF_INDEX of an Overview.
        queues, oldest: Reader.by_queue and Reader.oldest_by_queue.
        running: rows of the jobs that run.
        batches: Reader.unfinished_batches.
    """

    overview: dict[str, Any]
    queues: dict[str, dict[str, int]]
    oldest: dict[str, float]
    running: list[dict[str, Any]]
    batches: dict[str, dict[str, int]]


class QueueState(NamedTuple):
    """The state at one moment.

    Attributes:
        changes: another text whenever the index has changed.
        index_state: None when the index cannot be read.
        failures: groups of failures of the last day, see Reader.failures.
        failure_groups: how many groups there are, also of those that are not among `failures`.
    """

    queue: Queue
    overview: Overview
    changes: str
    index_state: IndexState | None
    failures: list[dict[str, Any]]
    failure_groups: int


class StateCache:
    """Reads the state, for one request at a time."""

    def __init__(self, home: str, index: Index, writes: WriteCounter, clock: Clock) -> None:
        self._home = home
        self._index = index
        self._writes = writes
        self._clock = clock
        self._lock = Lock()
        self._key: tuple[Any, ...] | None = None
        self._index_state: IndexState | None = None
        self._failures: list[dict[str, Any]] = []
        self._failure_groups = 0
        self._failures_at = -FAILURES_S
        self._failures_writes = -1

    def current(self) -> QueueState:
        """Return the state of now."""
        with self._lock:
            queue = queue_for_reading(self._home)
            self._index.catch_up()
            overview = read_overview(queue, patience_s=self._index.patience_s)
            if overview.supervisor is not None and overview.supervisor["degraded"]:
                overview.supervisor["degraded"] = without_home(overview.supervisor["degraded"], self._home)
            if overview.supervisor is None and self._index.syncing and not overview.silent:
                overview.syncing = self._index.syncing
            changes, index_state = self._index.changes(), None
            failures: tuple[list[dict[str, Any]], int] = [], 0
            try:
                index_state = self._read_index(overview, changes)
                failures = self._read_failures(overview.now)
            except IndexUnavailable as error:
                index_state = None
                overview.unavailable = without_home(error, self._home)
            return QueueState(queue, overview, changes, index_state, *failures)

    def _read_index(self, overview: Overview, changes: str) -> IndexState:
        """Return what the index says, and add it to the overview; read again after a change, a pause, a minute or midnight."""
        day, paused = time.localtime(overview.now)[:3], sorted(overview.paused)
        key = (changes, int(overview.now / 60), day, paused, overview.supervisor is None)
        if key != self._key or self._index_state is None:
            self._key = self._index_state = None  # so also when it cannot be read
            with self._index.reader() as reader:
                add_index_figures(overview, reader)
                self._index_state = IndexState(
                    {name: getattr(overview, name) for name in OF_INDEX},
                    reader.by_queue(),
                    reader.oldest_by_queue(overview.now),
                    reader.page(Query(("processing",), sort="-updated", limit=RUNNING)).rows,
                    reader.unfinished_batches(BATCHES),
                )
            self._key = key
        for name, value in self._index_state.overview.items():
            setattr(overview, name, value)
        return self._index_state

    def _read_failures(self, now: float) -> tuple[list[dict[str, Any]], int]:
        if self._clock.monotonic() - self._failures_at >= FAILURES_S or self._failures_writes != self._writes.value:
            with self._index.reader() as reader:
                self._failures = reader.failures(("failed", "dead"), now - FAILURES_WITHIN_S, GROUPS)
                self._failure_groups = len(self._failures)
                if self._failure_groups == GROUPS:
                    self._failure_groups = reader.count_failures(("failed", "dead"), now - FAILURES_WITHIN_S)
            self._failures_at, self._failures_writes = self._clock.monotonic(), self._writes.value
        return self._failures, self._failure_groups


class StatsCache:
    """The last figures over time, shared by all pages."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made: dict[tuple[Any, ...], dict[str, Any]] = {}

    def get(self, key: tuple[Any, ...], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what was made for this key."""
        with self._lock:
            if key not in self._made:
                made = make()
                if len(self._made) >= KEPT_STATS:
                    self._made.clear()
                self._made[key] = made
            return self._made[key]
