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
from queuectl.status import look, look_into_index
from queuectl.web.app import quiet_queue
from queuectl.web.response import without_home

if TYPE_CHECKING:
    from typing import Any

    from queuectl.client.queue import Queue
    from queuectl.status import Overview
    from queuectl.web.app import Site

FAILURES_S = 5.0
FAILURES_WITHIN_S = 86400.0
GROUPS = 5
RUNNING = 50
OF_INDEX = ("counts", "dead_today", "oldest_waiting", "hour", "hour_from", "covered_s", "scheduled", "next_at")


class Indexed:
    """What the index says.

    Attributes:
        failures: of the last day, see Reader.failures.
    """

    def __init__(self) -> None:
        self.queues: dict[str, dict[str, int]] = {}
        self.oldest: dict[str, float] = {}
        self.failures: list[dict[str, Any]] = []
        self.running: list[dict[str, Any]] = []


class Picture:
    """How things stand at one moment; `indexed` is None when the index cannot be read."""

    def __init__(self, queue: Queue, overview: Overview, changes: str, indexed: Indexed | None) -> None:
        self.queue = queue
        self.overview = overview
        self.changes = changes
        self.indexed = indexed


class Painter:
    """Makes pictures, one at a time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = Lock()
        self._key: tuple[Any, ...] | None = None
        self._overview: Overview | None = None
        self._indexed: Indexed | None = None
        self._failures_at = -FAILURES_S
        self._failures_writes = -1
        self._failures: list[dict[str, Any]] = []

    def paint(self) -> Picture:
        """Return the picture of now."""
        site = self._site
        with self._lock:
            queue = quiet_queue(site.home)
            site.index.catch_up()
            overview = look(queue, patience_s=site.index.patience_s)
            if overview.supervisor is not None and overview.supervisor["degraded"]:
                overview.supervisor["degraded"] = without_home(overview.supervisor["degraded"], site.home)
            changes = site.index.changes()
            try:
                indexed: Indexed | None = self._look(overview, changes)
            except IndexUnavailable as error:
                indexed, self._key = None, None
                overview.unavailable = without_home(error, site.home)
            if overview.supervisor is None and site.index.syncing and not overview.silent:
                overview.syncing = site.index.syncing
            return Picture(queue, overview, changes, indexed)

    def _look(self, overview: Overview, changes: str) -> Indexed:
        key = (changes, int(overview.now / 60), time.localtime(overview.now)[:3])
        if key != self._key or self._indexed is None or self._overview is None:
            made = Indexed()
            with self._site.index.reader() as reader:
                look_into_index(overview, reader)
                made.queues = reader.by_queue()
                made.oldest = reader.oldest_by_queue(overview.now)
                made.running = reader.page(Query(("processing",), sort="-updated", limit=RUNNING)).rows
            self._key, self._indexed, self._overview = key, made, overview
        seen = self._overview
        for name in OF_INDEX:
            setattr(overview, name, getattr(seen, name))
        self._indexed.failures = self._groups(overview.now)
        return self._indexed

    def _groups(self, now: float) -> list[dict[str, Any]]:
        site = self._site
        if site.clock.monotonic() - self._failures_at >= FAILURES_S or self._failures_writes != site.writes:
            with site.index.reader() as reader:
                self._failures = reader.failures(("failed", "dead"), now - FAILURES_WITHIN_S, GROUPS)
            self._failures_at, self._failures_writes = site.clock.monotonic(), site.writes
        return self._failures
