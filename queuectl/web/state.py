"""picture: how things stand, gathered for the snapshot, the health checks and the metrics.

Guarantees: what comes from the index is asked for once for each change of it, and the costly part of that no more often
            than every FAILURES_S, however many pages are open. A stopped supervisor, and an index that is missing or
            being built, are part of the picture.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

from queuectl.index.database import IndexUnavailable
from queuectl.index.query import Query
from queuectl.status import add_index_figures, read_overview
from queuectl.web.app import queue_for_reading
from queuectl.web.response import without_home

if TYPE_CHECKING:
    from typing import Any

    from queuectl.client.queue import Queue
    from queuectl.status import Overview
    from queuectl.web.app import App

FAILURES_S = 5.0
FAILURES_WITHIN_S = 86400.0
GROUPS = 5
RUNNING = 50
OF_INDEX = ("counts", "dead_today", "oldest_waiting", "hour", "hour_from", "covered_s", "scheduled", "next_at")


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

    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = Lock()
        self._key: tuple[Any, ...] | None = None
        self._overview: Overview | None = None
        self._index_state: IndexState | None = None
        self._failures_at = -FAILURES_S
        self._failures_writes = -1
        self._failures: list[dict[str, Any]] = []

    def current(self) -> QueueState:
        """Return the picture of now."""
        app = self._app
        with self._lock:
            queue = queue_for_reading(app.home)
            app.index.catch_up()
            overview = read_overview(queue, patience_s=app.index.patience_s)
            if overview.supervisor is not None and overview.supervisor["degraded"]:
                overview.supervisor["degraded"] = without_home(overview.supervisor["degraded"], app.home)
            changes = app.index.changes()
            try:
                index_state: IndexState | None = self._look(overview, changes)
            except IndexUnavailable as error:
                index_state, self._key = None, None
                overview.unavailable = without_home(error, app.home)
            if overview.supervisor is None and app.index.syncing and not overview.silent:
                overview.syncing = app.index.syncing
            return QueueState(queue, overview, changes, index_state)

    def _look(self, overview: Overview, changes: str) -> IndexState:
        key = (changes, int(overview.now / 60), time.localtime(overview.now)[:3])
        if key != self._key or self._index_state is None or self._overview is None:
            made = IndexState()
            with self._app.index.reader() as reader:
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
        app = self._app
        if app.clock.monotonic() - self._failures_at >= FAILURES_S or self._failures_writes != app.writes:
            with app.index.reader() as reader:
                self._failures = reader.failures(("failed", "dead"), now - FAILURES_WITHIN_S, GROUPS)
            self._failures_at, self._failures_writes = app.clock.monotonic(), app.writes
        return self._failures
