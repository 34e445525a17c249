"""site: what all requests share: the queue's home, the index, the guard, the log; and one request with what it asks.

Guarantees: the index is read by any number of threads, a connection each at a time; a writer is never waited for: what
            the index does not show yet is said. The web process holds no lock of the queue while it answers.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from threading import Lock, Thread
from typing import TYPE_CHECKING

from queuectl import control_client
from queuectl.client.queue import Queue
from queuectl.clock import Clock
from queuectl.errors import NoSupervisor, QueueError, TimedOut
from queuectl.index.database import IndexUnavailable
from queuectl.index.reader import Reader
from queuectl.log import open_log
from queuectl.times import read_instant
from queuectl.web.response import Problem, without_home
from queuectl.web.selections import Selections

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from queuectl.spool.layout import Layout
    from queuectl.web.auth import AccessControl
    from queuectl.web.http_request import RequestHead
    from queuectl.web.routes import Operation, Routes
    from queuectl.web.snapshot import SnapshotCache
    from queuectl.web.state import StatusCache
    from queuectl.web.stats import StatsCache

KEPT_READERS = 8
PATIENCE_S = 2.0  # for a supervisor that is busy, and for an index that is being brought up to date
SILENT_S, SILENT_PATIENCE_S = 5.0, 0.2  # one that did not answer is not waited for again so soon
STREAMS = 32


class Streams:
    """How many answers without end there are, and may be."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.open = 0

    def acquire(self) -> None:
        """Be one more; raises Problem when there are too many."""
        with self._lock:
            if self.open >= STREAMS:
                hint = "ask again and again instead"
                raise Problem(503, f"there are {STREAMS} streams already", hint, title="streams full")
            self.open += 1

    def release(self) -> None:
        """Be one less."""
        with self._lock:
            self.open -= 1


class Index:
    """The index, read by many threads."""

    def __init__(self, layout: Layout, boot: str, clock: Clock) -> None:
        self._clock = clock
        self._silent_until = 0.0
        self._home = layout.home
        self._path = layout.index
        self._boot = boot
        self._lock = Lock()
        self._idle: list[Reader] = []
        self._judge: Reader | None = None
        self._seen: tuple[int, int] | None = None
        self._count = 0
        self._worker: Thread | None = None
        self.syncing: str | None = None

    @property
    def patience_s(self) -> float:
        """How long to wait for the supervisor; not long once it has let us wait."""
        return PATIENCE_S if self._clock.monotonic() >= self._silent_until else SILENT_PATIENCE_S

    def catch_up(self) -> None:
        """Let the index show what has happened until now, as far as that takes no longer than PATIENCE_S."""
        if self.patience_s < PATIENCE_S:
            return
        queue = queue_for_reading(self._home)
        try:
            reply = control_client.ask(queue.layout, {"do": "flush"}, timeout_s=PATIENCE_S)
            self.syncing = reply.get("degraded") or reply.get("syncing")
            return
        except TimedOut:
            self.syncing = "the supervisor does not answer"
            self._silent_until = self._clock.monotonic() + SILENT_S
            return
        except NoSupervisor:
            pass
        for _ in range(2):  # one that runs already may have looked before what is to be seen happened
            with self._lock:
                is_new = self._worker is None
                if self._worker is None:
                    self._worker = Thread(target=self._sync, args=(queue,), daemon=True)
                    self._worker.start()
                worker = self._worker
            worker.join(PATIENCE_S)
            if is_new or worker.is_alive():
                return

    def _sync(self, queue: Queue) -> None:
        """Bring it up to date here, while no supervisor does."""
        try:
            queue.catch_up(on_step=lambda words: setattr(self, "syncing", words))
            self.syncing = None
        except QueueError as error:
            self.syncing = without_home(error, self._home)
        finally:
            with self._lock:
                self._worker = None

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Lend a reader.

        Raises:
            IndexUnavailable: there is no index yet, or it is damaged.
        """
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        if reader is None:
            reader = Reader(self._path)
        try:
            yield reader
        except IndexUnavailable:
            reader.close()
            raise
        finally:
            self._keep(reader)

    def _keep(self, reader: Reader) -> None:
        with self._lock:
            if len(self._idle) < KEPT_READERS and reader.is_open:
                self._idle.append(reader)
                return
        reader.close()

    def close(self) -> None:
        """Give up what is open; only when nobody asks any more."""
        with self._lock:
            for reader in [*self._idle, *([self._judge] if self._judge else [])]:
                reader.close()
            self._idle, self._judge = [], None

    def changes(self) -> str:
        """Return what is another text whenever the index has changed. Cost: microseconds."""
        with self._lock:
            try:
                if self._judge is None:
                    self._judge = Reader(self._path)
                seen: tuple[int, int] | None = self._judge.changes()
            except IndexUnavailable:
                if self._judge is not None:
                    self._judge.close()
                self._judge = seen = None
            if seen != self._seen or seen is None:
                self._seen = seen
                self._count += 1
            return f"{self._boot}.{self._count}"


def queue_for_reading(home: str) -> Queue:
    """Return the queue of a home with the settings of this moment; a broken configuration hides nothing."""
    return Queue(home, warn=lambda _words: None)


class App:
    """What all requests share.

    Attributes:
        painter, snapshots, charts: set by serve, which knows all rooms.
        writes: another number after each change that was made through us, so that a page sees its own changes at once.
    """

    def __init__(self, queue: Queue, access: AccessControl, routes: Routes, boot: str) -> None:
        self.home = queue.layout.home
        self.layout = queue.layout
        self.clock = Clock()
        self.access = access
        self.routes = routes
        self.boot = boot
        self.index = Index(self.layout, boot, self.clock)
        self.streams = Streams()
        self.selections = Selections(self.clock)
        self._log = open_log(queue.layout, "web")
        self._log_lock = Lock()
        self.writes = 0
        self._turns = count(1)
        self.status_cache: StatusCache
        self.snapshot_cache: SnapshotCache
        self.stats_cache: StatsCache

    def note(self, level: str, sentence: str) -> None:
        """Write a line to logs/web.log; `level` is a method of Log."""
        with self._log_lock:
            getattr(self._log, level)(sentence)
            self._log.flush()

    def note_write(self) -> None:
        """Note that something may have changed: what was made before is out of date."""
        self.writes = next(self._turns)

    def close(self) -> None:
        """Give up what is open; only when nobody asks any more."""
        self.index.close()


class Request:
    """One request: checked, with what it asks for.

    Attributes:
        params: of path and query, by name, as their types; what was left out is not there.
        body: None where there is none.
        about: ids and the like for the line in the log.
    """

    def __init__(self, app: App, operation: Operation, head: RequestHead, params: dict[str, Any], body: Any) -> None:
        self.app = app
        self.operation = operation
        self.head = head
        self.params = params
        self.body = body
        self.log_fields: dict[str, object] = {}

    @property
    def queue(self) -> Queue:
        """The queue with the settings in force; for changes, a broken configuration is an error."""
        return Queue(self.app.home) if self.operation.is_write else queue_for_reading(self.app.home)

    def instant(self, name: str, given: object) -> float | None:
        """Read a point in time as the command line does: RFC 3339, how long ago, a day ..."""
        if given is None:
            return None
        try:
            return read_instant(str(given), self.app.clock.now(), past=True)
        except ValueError as error:
            words = f'"{name.strip("?/")}" must be {error}'
            raise Problem(400, words, 'in an address, write "+" as %2B', errors=[(name, words, None)]) from None
