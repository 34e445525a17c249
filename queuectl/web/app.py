"""app: what all requests share, and one request.

Owns:       the log of the server, and the caches of the index that all pages share.
Guarantees: the web process holds no lock of the queue while it answers.
"""

from __future__ import annotations

import re
import zlib
from threading import Lock
from typing import TYPE_CHECKING

from queuectl.client.queue import Queue
from queuectl.clock import Clock
from queuectl.log import open_log
from queuectl.times import read_instant
from queuectl.web.index_access import Index, queue_for_reading
from queuectl.web.response import Problem, Response, Streams, ok
from queuectl.web.selections import Selections
from queuectl.web.snapshot import SnapshotCache
from queuectl.web.state import StateCache, StatsCache, WriteCounter
from queuectl.web.tasks import Surroundings, Tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.web.auth import AccessControl
    from queuectl.web.http_request import RequestHead


class App:
    """What all requests share.

    Attributes:
        boot: a value that differs after each start of the server.
        writes: counts the changes made through this server, so that a page sees its own changes at once.
    """

    def __init__(self, queue: Queue, access: AccessControl, boot: str) -> None:
        self.home = queue.layout.home
        self.layout = queue.layout
        self.clock = Clock()
        self.access = access
        self.index = Index(self.layout, boot, self.clock)
        self.writes = WriteCounter()
        self.state_cache = StateCache(self.home, self.index, self.writes, self.clock)
        self.tasks = Tasks(Surroundings(self.home, self.clock, self.note, self.writes.note_write))
        self.snapshot_cache = SnapshotCache(
            self.state_cache, self.tasks, self.writes, boot, self.clock, read_only=access.read_only
        )
        self.stats_cache = StatsCache()
        self.streams = Streams()
        self.selections = Selections(self.clock)
        self._log = open_log(queue.layout, "web")
        self._log_lock = Lock()

    def note(self, level: str, sentence: str) -> None:
        """Write a line to logs/web.log; `level` is a method of Log."""
        with self._log_lock:
            getattr(self._log, level)(sentence)
            self._log.flush()

    def close(self) -> None:
        """Give up what is open; only when nobody asks any more."""
        self.index.close()


class Request:
    """One request: checked, with what it asks for.

    Attributes:
        params: of path and query, by name, as their types; what was left out is not there.
        body: None where there is none.
        log_fields: ids and the like for the line in the log.
    """

    def __init__(self, app: App, head: RequestHead, params: dict[str, Any], body: Any) -> None:
        self.app = app
        self.head = head
        self.params = params
        self.body = body
        self.log_fields: dict[str, object] = {}

    @property
    def queue(self) -> Queue:
        """The queue with the settings in force; for changes, a broken configuration is an error."""
        return Queue(self.app.home) if self.head.is_write else queue_for_reading(self.app.home)

    def unless_known(self, etag: str, make: Callable[[], Response]) -> Response:
        """Return 304 when the client has what this ETag stands for, else what `make` returns."""
        if self.head.headers.get("if-none-match") == etag:
            return Response(304, headers={"ETag": etag})
        return make()

    def conditional(self, key: object, make: Callable[[], Any]) -> Response:
        """Return 304 when the client has what `key` stands for, else the JSON of what `make` returns."""
        etag = f'"{zlib.crc32(repr(key).encode("utf-8", "replace")):08x}"'
        return self.unless_known(etag, lambda: ok(make(), headers={"ETag": etag}))

    def instant(self, name: str, given: object) -> float | None:
        """Read a point in time as the command line does: RFC 3339, how long ago, a day ...; `name` is a pointer."""
        if given is None:
            return None
        try:
            return read_instant(str(given), self.app.clock.now(), past=True)
        except ValueError as error:
            words = f'"{name.strip("?/")}" must be {error}'
            has_lost_plus = re.search(r":\d\d(\.\d+)? \d\d:?\d\d$", str(given))
            hint = 'in an address, write "+" as %2B' if has_lost_plus else None
            raise Problem(400, words, hint, errors=[(name, words, hint)]) from None
