"""index_access: the index, read by the threads of the web server.

Guarantees: any number of threads read at the same time, one connection each. No request waits for a writer: what the
            index does not contain yet is reported in `syncing`. Of a home that cannot be written, job files that the index
            does not contain are read into an index that only this process sees.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock, RLock, Thread
from typing import TYPE_CHECKING

from queuectl import control_client
from queuectl.client.queue import Queue
from queuectl.errors import NoSupervisor, QueueError, TimedOut
from queuectl.index.database import IndexUnavailable
from queuectl.index.reader import Reader
from queuectl.web.response import without_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.clock import Clock
    from queuectl.spool.layout import Layout

KEPT_READERS = 8
REREAD_S = 10.0  # a home that cannot be written is read no more often
PATIENCE_S = 2.0  # for a busy supervisor, and for an index that is being updated
SILENT_S, SILENT_PATIENCE_S = 5.0, 0.2  # after a timeout, wait this much less for this long


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
        self._own: Reader | None = None  # of a home that cannot be written; one thread at a time
        self._own_lock = RLock()
        self._own_at = -REREAD_S
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
            if queue.layout.refuse_writing("", "run") is None:
                self._set_own(None)
                queue.catch_up(on_step=lambda words: setattr(self, "syncing", words))
            elif self._clock.monotonic() - self._own_at >= REREAD_S:
                self._set_own(queue.reader(on_step=lambda words: setattr(self, "syncing", words)))
                self._own_at = self._clock.monotonic()
            self.syncing = None
        except QueueError as error:
            self.syncing = without_home(error, self._home)
        finally:
            with self._lock:
                self._worker = None

    def _set_own(self, reader: Reader | None) -> None:
        with self._own_lock:
            former, self._own = self._own, reader
            if former is not None:
                former.close()
        if reader is not None:
            with self._lock:
                self._count += 1

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Lend a reader.

        Raises:
            IndexUnavailable: there is no index yet, or it is damaged.
        """
        with self._own_lock:
            if self._own is not None:
                yield self._own
                return
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        if reader is None:
            reader = self._open()
        try:
            yield reader
        except IndexUnavailable:
            reader.close()
            raise
        finally:
            self._keep(reader)

    def _open(self) -> Reader:
        try:
            return Reader(self._path)
        except IndexUnavailable as error:
            if error.is_lost and (self._worker is not None or self.syncing):
                progress = f": {self.syncing}" if self.syncing else ""
                error = IndexUnavailable(f"the index is being built from the job files{progress}")
                error.hint = "try again in a few seconds"
            raise error from None

    def _keep(self, reader: Reader) -> None:
        with self._lock:
            if len(self._idle) < KEPT_READERS and reader.is_open:
                self._idle.append(reader)
                return
        reader.close()

    def close(self) -> None:
        """Give up what is open; only when nobody asks any more."""
        self._set_own(None)
        with self._lock:
            for reader in [*self._idle, *([self._judge] if self._judge else [])]:
                reader.close()
            self._idle, self._judge = [], None

    def changes(self) -> str:
        """Return what is another text whenever the index has changed. Cost: microseconds."""
        with self._lock:
            if self._own is not None:
                return f"{self._boot}.{self._count}"
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
