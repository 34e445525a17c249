"""writer: writes the index: buffers rows and writes them together.

Owns:       the buffer between reports and disk, and what becomes due.
Guarantees: only the last row of an id in a batch is written; what `due` answers includes everything put before; memory
            is bounded whatever the number of jobs. There is one writer at a time: the caller holds run/index.lock.
Fails with: IndexUnavailable. Nothing is lost by it, for the index is derived. The caller says that it is degraded,
            goes on with its jobs and with `put`, calls `reopen` now and then, and once that works goes through `sync`
            if `needs_sync` says so.
Source:     spool/FORMAT.md § Index; schema.sql.
"""

from __future__ import annotations

import json

from queuectl.clock import Clock
from queuectl.index.database import TEMPORARY, Database, IndexUnavailable, discard
from queuectl.index.reader import Reader
from queuectl.index.rows import COLUMNS, DIRECTORY_OF, ID, READY, RUN_AT, STATES_IN, WIDTH, earlier_of
from queuectl.index.statistics import ROLL_S, rolling
from queuectl.scheduling.dependencies import MISSING
from queuectl.scheduling.order import order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import Any

    from queuectl.index.clean_shutdown import CleanShutdown
    from queuectl.index.rows import Row
    from queuectl.scheduling.order import Key


BUFFER_ROWS = 20_000  # more is not kept while the index cannot be written
UNSETTLED_NAMES = 1000
INVALID_NAMES = 10_000
PROMOTE_ROWS = 1000  # at most so many become due in one step, the soonest first
FEW_ROWS = 5000  # so many are fetched at once
PIECE_ROWS = 2000
LAST = "\x7f"  # sorts behind every id


class Due:
    """A job that may start, or will be allowed to at `run_at`."""

    __slots__ = ("id", "lane", "priority", "queue", "run_at")

    def __init__(self, queue: str, priority: int, run_at: float, job_id: str, lane: str) -> None:
        self.queue = queue
        self.priority = priority
        self.run_at = run_at
        self.id = job_id
        self.lane = lane

    @property
    def key(self) -> Key:
        """What jobs that may start are ordered by."""
        return order(self.priority, self.run_at, self.id, self.lane)


class Undecided:
    """A job with parents about which something has changed.

    Attributes:
        state, dead_reason, policy: of the job; `state` is None when it has no parents to wait for any more.
        may_start: `let_start` was called for it.
        parents: which kinds of parents it has, as `dependencies.decide` takes them.
    """

    __slots__ = ("dead_reason", "id", "may_start", "parents", "policy", "state")

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.id, self.state, self.dead_reason, self.policy, self.may_start, *has = row
        kinds = (MISSING, "pending", "completed", "dead")
        self.parents = {str(kind): kind for kind, is_there in zip(kinds, has, strict=True) if is_there}


class Window:
    """What is known about the files of one directory whose ids are above `first`, up to `last`.

    Attributes:
        rows: for each job the inode of its file, or the text that rows.witness makes of its status; None: not known.
    """

    __slots__ = ("first", "last", "rows")

    def __init__(self, first: str, last: str, rows: Iterable[Any] = ()) -> None:
        self.first = first
        self.last = last
        self.rows: dict[str, int | str | None] = dict(rows)


class Writer:
    """The index, open for writing.

    Attributes:
        was_rebuilt: the file was missing, damaged or another version's, so this began empty.
        needs_sync: rows may be missing; `sync` makes it False.
        epoch: counts reopenings, so that callers can discard older answers.
        unsettled: names in pending/ that are no jobs yet; the next `sync` looks at them whatever their directory says.
        is_unsettled: there are more of them than are remembered.
        invalid: those of them that will be rejected as soon as a supervisor runs.
        seal: what is written at a clean close so that the next opening need not compare everything (clean_shutdown.py).
    """

    def __init__(self, path: str, clock: Clock | None = None) -> None:
        self.path = path
        self._clock = clock or Clock()
        self._rows: dict[str, Row | None] = {}  # None: the job is gone
        self._dropped = False
        self._is_bulk = False
        self._roll_at = 0.0
        self.epoch = 0
        self.needs_sync = True
        self.clean_shutdown: CleanShutdown | None = None
        self.begin_unsettled()
        self._open()

    def _open(self) -> None:
        self._database = _open(self.path)
        if self._was_copied_while_open():
            self._database.close()
            discard(self.path)
            self._database = _open(self.path)
        self.was_rebuilt = self._database.was_created
        if not self.is_temporary and self.meta("inode") != str(self._database.inode):
            self.set_meta("inode", str(self._database.inode))
        # From here on the file may fall behind the spool at any instant, so the mark of a clean close goes now.
        self.found_clean_shutdown = self.meta("seal")
        if self.found_clean_shutdown is not None:
            self._database.change(("drop_meta", [("seal",)]))

    def _was_copied_while_open(self) -> bool:
        """Tell whether this is a copy of an index that was being written: its pages may be of different moments."""
        inode = self.meta("inode")
        return inode is not None and inode != str(self._database.inode) and self.meta("seal") is None

    def reopen(self, *, anew: bool = False) -> None:
        """Close and open again; start empty when the file is damaged or `anew` says so.

        Rows that wait to be written are kept, unless the index starts empty or they were too many.

        Raises:
            IndexUnavailable: still; try again later.
        """
        was_in_place = self._database.is_in_place
        self._database.close()
        if anew or self._database.is_lost:
            discard(self.path)
        self.epoch += 1
        self._open()
        if self.was_rebuilt or self._dropped or not was_in_place:
            self._rows.clear()
            self._dropped = False
            self.needs_sync = True
            self.clean_shutdown = None

    def close(self, *, clean: bool = True) -> None:
        """Write the rest and close; what cannot be written is found by the next `sync`.

        Args:
            clean: everything that happened until now has been put, or will be found in run/changes.

        Crash: without the mark of a clean close, so the next `sync` compares every file.
        """
        try:
            self.commit()
            if clean and self.clean_shutdown is not None and not self.needs_sync:
                self._database.change(("drop_empty_counts", [()]))
                self._note_how_many_are_invalid()
                self.clean_shutdown.write(self.set_meta, self.unsettled, is_pending_known=not self.is_unsettled)
        except IndexUnavailable:
            return
        finally:
            self._database.close()

    def _note_how_many_are_invalid(self) -> None:
        if self.invalid or self.meta("invalid") is not None:
            self.set_meta("invalid", str(len(self.invalid)))

    @property
    def is_temporary(self) -> bool:
        """It has no file of its own, and is gone when it is closed."""
        return self.path == TEMPORARY

    def as_reader(self) -> Reader:
        """Return what a temporary index is read by; the writer is not to be used any more."""
        self.commit()
        self._note_how_many_are_invalid()
        return Reader(self.path, self._database)

    @property
    def is_in_place(self) -> bool:
        """Return whether the path still names the open file; if not, call `reopen`, because no reader sees this file."""
        return self._database.is_in_place

    # --- writing

    def put(self, row: Row) -> None:
        """Take a row (rows.row_of); it belongs to the writer from now on. Written at the next `commit`."""
        self._keep(row[ID], row)

    def remove(self, job_id: str) -> None:
        """Forget a job."""
        self._keep(job_id, None)

    def begin_unsettled(self) -> None:
        """Forget what was unsettled: all of pending/ is looked at now."""
        self.unsettled: set[str] = set()
        self.invalid: set[str] = set()
        self.is_unsettled = False

    def note_unsettled(self, name: str, is_unsettled: bool) -> None:
        """Remember, or forget, that a name in pending/ is no job yet."""
        if not is_unsettled:
            self.unsettled.discard(name)
        elif len(self.unsettled) < UNSETTLED_NAMES:
            self.unsettled.add(name)
        else:
            self.is_unsettled = True

    def note_invalid(self, name: str, is_invalid: bool) -> None:
        """Remember, or forget, that a name in pending/ will be rejected; of very many only the first are remembered."""
        if not is_invalid:
            self.invalid.discard(name)
        elif len(self.invalid) < INVALID_NAMES:
            self.invalid.add(name)

    def _keep(self, job_id: str, row: Row | None) -> None:
        self._rows[job_id] = row
        if len(self._rows) > BUFFER_ROWS:
            self._drop_rows()

    def _drop_rows(self) -> None:
        self._rows.clear()
        self._dropped = self.needs_sync = True

    @property
    def waiting(self) -> int:
        """How many rows wait to be written."""
        return len(self._rows)

    def commit(self) -> None:
        """Write what waits, in one transaction; once an hour also see to the file.

        Raises:
            IndexUnavailable: nothing was written; what waits is kept for the next time, if time can help.

        Cost: some 15 µs a row at 100,000 jobs.
        """
        if self._dropped:
            raise IndexUnavailable("rows could not be written; the index must be opened again")
        if not self._rows:
            return
        now = self._clock.now()
        rows, gone, earlier = [], [], []
        for job_id, row in self._rows.items():
            if row is None:
                gone.append((job_id,))
                continue
            if row[READY] == 0 and row[RUN_AT] <= now:
                row[READY] = 1
            if len(row) > WIDTH:
                earlier += earlier_of(row)
                row = row[:WIDTH]
            rows.append(row)
        try:
            old = rolling(now) if now >= self._roll_at else ()
            # What was counted of earlier attempts is known by the rows that are replaced.
            before = (("count_earlier", earlier),) if earlier else ()
            self._database.change(*before, ("put", rows), ("remove", gone), *old)
        except IndexUnavailable as error:
            if not error.is_passing:  # perhaps it is these rows that cannot be written
                self._drop_rows()
            raise
        self._rows.clear()
        if old:
            self._roll_at = now + ROLL_S
            self._database.optimise()

    def roll(self) -> None:
        """Put old minutes together; `commit` does it once an hour."""
        self._database.change(*rolling(self._clock.now()))

    def optimise(self) -> None:
        """See to the file (Database.optimise); `commit` does it once an hour."""
        self._database.optimise()

    def promote(self, now: float, limit: int = PROMOTE_ROWS) -> int:
        """Let jobs start whose time has come, the soonest first; return how many, at most `limit`."""
        if self._database.one("overdue", (now,)) is None:
            return 0
        return self._database.change(("promote", [(now, limit)]))

    # --- what is next

    def due(
        self,
        now: float,
        limit: int,
        skip: Collection[str] = (),
        closed_queues: Collection[str] = (),
        closed_lanes: Collection[str] = (),
    ) -> list[Due]:
        """Return the first jobs that may start, in order: `priority DESC, run_at, id`; fewer than `limit` are all.

        Args:
            skip: ids to leave out, for instance because they are being started.
            closed_queues: queues from which nothing may start.
            closed_lanes: lanes from which nothing is wanted.

        Cost: independent of how many jobs wait; grows with the number of queues that have some, and by some 0.1 µs for
            each job of a closed lane in an open queue.
        """
        self.commit()
        self.promote(now, max(PROMOTE_ROWS, limit + len(skip)))
        lanes = json.dumps([*closed_lanes])
        found: list[Due] = []
        for first in sorted(self._first_of_queues(closed_queues), key=lambda due: due.key):
            if len(found) >= limit and found[-1].key <= first.key:
                break
            rows = self._database.each("due", (first.queue, lanes))
            found = sorted([*found, *_first(rows, limit, skip)], key=lambda due: due.key)[:limit]
        return found

    def due_in(self, lane: str, now: float, limit: int, skip: Collection[str] = ()) -> list[Due]:
        """The same for one lane."""
        self.commit()
        self.promote(now, max(PROMOTE_ROWS, limit + len(skip)))
        rows = self._database.each("due_in_lane" if " " in lane else "due_in_queue", (lane,))
        return [*_first(rows, limit, skip)]

    def _first_of_queues(self, closed: Collection[str]) -> Iterator[Due]:
        queue = ""
        while True:
            row = self._database.one("due_queue_after", (queue,))
            if row is None:
                return
            queue = row[0]
            if queue not in closed:
                yield Due(*row)

    def soon(self, limit: int) -> list[Due]:
        """Return the jobs that wait for their time, soonest first."""
        self.commit()
        return [Due(*row) for row in self._database.all("soon", (limit,))]

    # --- dependencies

    @property
    def has_dependents(self) -> bool:
        """Some jobs wait for others, of those that are committed."""
        return self._database.one("has_dependents") is not None

    @property
    def has_undecided(self) -> bool:
        """`undecided` would return some."""
        return self._database.one("has_undecided") is not None

    def undecided(self, limit: int, skip: Collection[str] = ()) -> list[Undecided]:
        """Return jobs with parents about which something has changed, of those that are committed."""
        return [Undecided(row) for row in self._database.all("undecided", (json.dumps([*skip]), limit))]

    def is_in_cycle(self, job_id: str, most: int) -> bool:
        """Tell whether a job comes after itself, through at most `most` jobs that wait."""
        return self._database.one("is_in_cycle", (job_id, most, job_id)) is not None

    def decided(self, job_ids: Iterable[str]) -> None:
        """Forget jobs that `undecided` returned."""
        self._database.change(("decided", [(job_id,) for job_id in job_ids]))

    def ask_about_missing(self) -> None:
        """Have `undecided` return the jobs with a parent that does not exist: all that do are known now."""
        self._database.change(("ask_about_missing", [()]))

    def let_start(self, job_ids: Iterable[str], now: float) -> None:
        """Let jobs start, at their time, whose parents have ended."""
        self._database.change(("may_start", [(now, job_id) for job_id in job_ids]))

    def let_wait(self, job_ids: Iterable[str]) -> None:
        """Take back what `let_start` did: a parent was revived, or a missing one has appeared, before the job started."""
        self._database.change(("must_wait", [(job_id,) for job_id in job_ids]))

    # --- looking

    def is_unfinished(self, batch: str) -> bool:
        """Tell whether a job of a batch has not ended."""
        return self._database.one("has_unfinished", (batch,)) is not None

    def has_work(self) -> bool:
        """Tell whether a job may start, or waits for a retry."""
        return self._database.one("has_work", ()) is not None

    def starts_since(self, queue: str, since: float, until: float, most: int) -> list[tuple[str, int, float]]:
        """Return the jobs of a queue whose newest attempts began in that time, the last `most`: id, attempts, when."""
        self.commit()
        return self._database.all("starts_since", (since, queue, since, until, most))

    def get(self, job_id: str) -> dict[str, Any] | None:
        """Return the row of a job by column, also one that waits to be written."""
        row = self._rows[job_id] if job_id in self._rows else self._database.one("get", (job_id,))
        return None if row is None else dict(zip(COLUMNS, row[:WIDTH], strict=True))

    def unique_holder(self, key: str) -> str | None:
        """Return the job that waits or runs with this `unique_key`."""
        self.commit()
        row = self._database.one("unique_holder", (key,))
        return None if row is None else row[0]

    def meta(self, key: str) -> str | None:
        """Return what the index noted about itself."""
        row = self._database.one("meta", (key,))
        return None if row is None else row[0]

    def set_meta(self, key: str, value: str) -> None:
        """Note something, at once."""
        self._database.change(("set_meta", [(key, value)]))

    def count(self, directory: str) -> int:
        """Return how many jobs of a directory the index knows, as of the last commit."""
        counts = {state: n for state, n in self._database.all("counts") if DIRECTORY_OF.get(state) == directory}
        return sum(counts.values())

    def windows(self, directory: str, most: int, *, exact: bool) -> Iterator[Window | None]:
        """Yield what is known about the files of a directory, up to `most` rows at a time.

        Together the windows cover all ids. Between them comes None, so that the caller can pause.
        """
        states = (STATES_IN[directory] * 3)[:3]
        kind = "witnesses" if exact else "inodes"
        self.commit()
        if self.count(directory) <= (FEW_ROWS if exact else most) and not self._is_bulk:
            yield Window("", LAST, self._database.all(f"{kind}_of_few", states))
            return
        window = Window("", "")
        while window.last < LAST:
            self.commit()
            end = self._database.one("window_end", (window.last, PIECE_ROWS - 1))
            until = end[0] if end is not None else LAST
            window.rows.update(self._database.all(kind, (window.last, until, *states)))
            window.last = until
            if len(window.rows) >= most:
                yield window
                window = Window(until, until)
            else:
                yield None
        yield window

    # --- building anew

    def begin_bulk(self) -> list[str]:
        """See Database.begin_bulk."""
        self._is_bulk = True
        return self._database.begin_bulk()

    def end_bulk(self, indexes: list[str]) -> Iterator[None]:
        """See Database.end_bulk."""
        return self._database.end_bulk(indexes)


def _first(rows: Iterable[tuple[Any, ...]], limit: int, skip: Collection[str]) -> Iterator[Due]:
    left = limit
    for row in rows:
        if left == 0:
            return
        if row[3] not in skip:
            left -= 1
            yield Due(*row)


def _open(path: str) -> Database:
    try:
        return Database(path, for_writing=True)
    except IndexUnavailable as error:
        if not error.is_lost:
            raise
    discard(path)
    return Database(path, for_writing=True)
