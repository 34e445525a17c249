"""jobs: what `top` finds out: how things stand, which jobs run and which wait, what one of them writes.

Guarantees: with nothing new, a look costs some milliseconds; lists are short however many jobs wait.
"""

from __future__ import annotations

from queuectl import status
from queuectl.cli.progress import open_index
from queuectl.cli.text import safe_output
from queuectl.cli.top.view import Snapshot
from queuectl.errors import QueueError
from queuectl.growing_file import GrowingFile
from queuectl.index.database import IndexUnavailable
from queuectl.index.reader import Query
from queuectl.job.attempts import max_retries_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.cli.terminal import Screen
    from queuectl.cli.top.state import State
    from queuectl.client.queue import Queue
    from queuectl.index.reader import Page, Reader
    from queuectl.status import Overview

MOST_RUNNING, MOST_WAITING = 50, 200
MANY = 20_000  # so many are not put in order every two seconds unless somebody asks for it
WAITING = ("pending", "failed", "held")
LOG_LINES = 1000
LOG_CHARS = 1 << 20


def look(queue: Queue, screen: Screen, state: State) -> Snapshot:
    """Find out how things stand."""
    made = status.read_overview(queue)
    rows: list[dict[str, Any]] = []
    total, order, is_exact = 0, state.order, True
    try:
        with open_index(queue, screen) as reader:
            status.add_index_figures(made, reader)
            order = _order(state.order, made)
            for page in _pages(reader, order, state.search):
                rows += page.rows
                total += page.total
                is_exact = is_exact and page.is_exact
    except IndexUnavailable as error:
        made.unavailable = str(error)
    most = queue.settings.max_retries_default
    jobs = [{**row, "max_retries": max_retries_of(row, most)} for row in rows]
    return Snapshot(made, jobs, total, order, is_exact=is_exact)


def _order(wanted: str, made: Overview) -> str:
    if wanted != "auto":
        return wanted
    return "priority" if made.count(*WAITING) <= MANY else "updated"


def _pages(reader: Reader, order: str, search: str) -> list[Page]:
    return [
        reader.page(Query(("processing",), sort="-updated", search=search, limit=MOST_RUNNING)),
        reader.page(Query(WAITING, sort=order, search=search, limit=MOST_WAITING)),
    ]


class Log:
    """What one job writes, its newest attempt, as far as the last LOG_LINES lines."""

    def __init__(self, queue: Queue, job_id: str) -> None:
        """Raises NotFound when it has not run yet."""
        self._queue = queue
        self._id = job_id
        self._attempt = -1
        self._source: GrowingFile | None = None
        self.title = ""
        self.lines: list[str] = []
        self._text = ""
        self.read()

    def read(self) -> bool:
        """Read what was added; True when something was, or another attempt has begun."""
        try:
            job = self._queue.get(self._id)
            path = self._queue.output(self._id)
        except QueueError:
            if self._source is None:
                raise
            return False  # deleted meanwhile: what was read stays
        title = f"{self._id}   attempt {job.attempts}   {job.state}"
        is_new = title != self.title
        self.title = title
        if job.attempts != self._attempt:
            self.close()
            self._attempt, self._text = job.attempts, ""
            self._source = GrowingFile(path)
            self._source.skip_to_last(LOG_LINES)
        added = ""
        while self._source is not None and (data := self._source.read()):
            added += data.decode("utf-8", "backslashreplace")
        if added:
            self._text = "\n".join((self._text + added)[-LOG_CHARS:].split("\n")[-LOG_LINES - 1 :])
            self.lines = safe_output(self._text).expandtabs().rstrip("\n").split("\n")
        return is_new or bool(added)

    def close(self) -> None:
        """Give the file up."""
        if self._source is not None:
            self._source.close()
