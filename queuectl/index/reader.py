"""reader: the queries of the index that any process may run.

Guarantees: reads only; every answer is of one moment. A file that was replaced meanwhile (a rebuild) is noticed at the
            next question. Whether the index shows the spool as it is now is another question: ask the supervisor to
            flush, or sync.catch_up.
Fails with: IndexUnavailable: there is no index yet, it is damaged, or another version's.
"""

from __future__ import annotations

import json

from queuectl.index import query as queries
from queuectl.index import statistics
from queuectl.index.database import Database
from queuectl.index.database import IndexUnavailable as IndexUnavailable
from queuectl.index.query import Page as Page
from queuectl.index.query import Query as Query
from queuectl.index.rows import STATES_IN, as_dict
from queuectl.job.job import PROCESSING, STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from queuectl.index.selection import Selection

NEIGHBOURS = 20
NEWEST = 200
PIECE = 1000
BEFORE_ALL = float("-inf")
ABOVE_ALL = 1 << 62


class Reader:
    """The index, open for reading. Use it in the process that opened it, and in one thread at a time.

    Args:
        database: that of a temporary index, which no other process sees.
    """

    def __init__(self, path: str, database: Database | None = None) -> None:
        self.path = path
        self.openings = 1  # one more whenever the file was replaced
        self._open = database or Database(path, for_writing=False)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; closing twice is harmless."""
        self._open.close()

    @property
    def is_open(self) -> bool:
        """It has not been closed."""
        return self._open.is_open

    @property
    def _database(self) -> Database:
        if not self._open.is_in_place:
            self._open.is_lost = True  # also where the next file gets the inode number of this one
            self._open.close()
            self._open = Database(self.path, for_writing=False)
            self.openings += 1
        return self._open

    def changes(self) -> tuple[int, int]:
        """Return what differs from the answer before when the index has changed in between. Cost: microseconds."""
        row = self._database.one("PRAGMA data_version")
        return self.openings, 0 if row is None else row[0]

    def invalid(self) -> int:
        """Return how many files in pending/ are not valid jobs and will be rejected once a supervisor runs."""
        return int(self.meta("invalid") or 0)

    # --- how many

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in each state, also where there are none."""
        return {**dict.fromkeys(STATES, 0), **dict(self._database.all("counts"))}

    def by_queue(self) -> dict[str, dict[str, int]]:
        """Return the same for each queue that has jobs."""
        found: dict[str, dict[str, int]] = {}
        for queue, state, n in self._database.all("counts_by_queue"):
            found.setdefault(queue, dict.fromkeys(STATES, 0))[state] = n
        return found

    def demanding_lanes(self) -> dict[str, tuple[int, str]]:
        """Return how many waiting jobs each lane has that is not only a queue, and one of them. Cost: one pass over all rows."""
        return {lane: (count, job_id) for lane, count, job_id in self._database.all("demanding_lanes")}

    def names(self, kind: str, name: str) -> list[str]:
        """Return `name` if it is the batch or the tag of a job, else some of the names that are; `kind` is batch or tag."""
        if self._database.one(f"has_{kind}", (name,)) is not None:
            return [name]
        return [found for (found,) in self._database.all(f"names_of_{kind}", (PIECE,))]

    def batches(self) -> dict[str, dict[str, int]]:
        """Return how many jobs each batch has in each state. Cost: one pass over the index of batches."""
        found: dict[str, dict[str, int]] = {}
        for batch, state, n in self._database.all("batches"):
            found.setdefault(batch, {})[state] = n
        return found

    def unfinished_batches(self, most: int) -> dict[str, dict[str, int]]:
        """Return the same for the first batches with jobs that have not ended. Cost: some steps for each batch."""
        return {name: self.batch_counts(name) for (name,) in self._database.all("unfinished_batches", (most,))}

    def batch_counts(self, batch: str) -> dict[str, int]:
        """Return how many jobs of a batch are in each state in which there are any."""
        return dict(self._database.all("batch_counts", (batch,)))

    def batch_times(self, batch: str) -> tuple[float | None, float | None, float | None]:
        """Return when the first job of a batch was created, when the first was started and when the last ended."""
        created_at, started_at, finished_at = self._database.one("batch_times", (batch,)) or (None, None, None)
        return created_at, started_at, finished_at

    def ids_of_batch(self, batch: str) -> list[str]:
        """Return the jobs of a batch, the newest first."""
        return [job_id for (job_id,) in self._database.all("ids_of_batch", (batch,))]

    def told_of(self, job_ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """Return the state and batch of those of these jobs that the index knows."""
        rows = self._database.all("told_of", (json.dumps([*job_ids]),))
        return {job_id: (state, batch) for job_id, state, batch in rows}

    def page(self, query: Query) -> Page:
        """Return one page of the jobs that match; see pages."""
        return queries.fetch(self._database, query)

    def select(self, query: Query, states: Sequence[str] = STATES) -> Selection:
        """Return all jobs in `states` that match now, whatever the limit and the cursor of `query`."""
        return queries.select(self._database, query, states)

    def rows(self, query: Query) -> Iterator[dict[str, Any]]:
        """Yield all jobs that match behind the cursor, fetched `query.limit` at a time; the cursor moves on with them."""
        if query.is_sorted:
            yield from self.in_order(query)[1]
            query.cursor = None
            return
        while True:
            page = self.page(query)
            yield from page.rows
            query.cursor = page.cursor
            if query.cursor is None:
                return

    def in_order(self, query: Query) -> tuple[int, Iterator[dict[str, Any]]]:
        """Return how many jobs match behind the cursor, and their rows, which are sorted once: see query.in_order."""
        return queries.in_order(self._database, query)

    def not_changed_since(self, state: str, instant: float) -> Iterator[tuple[float, str]]:
        """Yield when each job of a state last changed, and its id, of those that have not since; the oldest first.

        Cost: some 2 µs a job; bounded memory, in pieces of one moment each.
        """
        last, last_id = BEFORE_ALL, "\x7f"
        while rows := self._database.all("not_changed_since", (state, last, instant, last, last_id, PIECE)):
            yield from rows
            last, last_id = rows[-1]

    def get(self, job_id: str) -> dict[str, Any] | None:
        """Return a job's row by column."""
        row = self._database.one("get", (job_id,))
        return None if row is None else as_dict(row)

    def waiting_children(self, job_id: str, most: int) -> list[str]:
        """Return the first jobs that wait for a job."""
        return [child for (child,) in self._database.all("waiting_children", (job_id, most))]

    def unique_holder(self, key: str) -> str | None:
        """Return the job that waits or runs with this `unique_key`."""
        row = self._database.one("unique_holder", (key,))
        return None if row is None else row[0]

    def children(self, job_id: str, limit: int) -> tuple[int, list[str]]:
        """Return how many jobs come after this one and have not been started, and the first of them."""
        first = [row[0] for row in self._database.all("children", (job_id, limit))]
        count = self._database.one("children_count", (job_id,)) if len(first) == limit else None
        return (len(first) if count is None else count[0]), first

    def ids_with_prefix(self, prefix: str, limit: int) -> list[str]:
        """Return the first ids that begin so, in order."""
        return [job_id for job_id, _ in self._database.all("ids_between", (prefix, f"{prefix}\x7f", limit))]

    def near(self, text: str) -> list[tuple[str, str]]:
        """Return up to three jobs whose ids are similar to `text`, each with its state."""
        from difflib import SequenceMatcher

        database = self._database
        found = {
            **dict(database.all("ids_between", (text, "\x7f", NEIGHBOURS))),
            **dict(database.all("ids_before", (text, NEIGHBOURS))),
            **{row["id"]: row["state"] for row in self.page(Query(limit=NEWEST)).rows},
        }
        scores = []
        for job_id in found:
            common = next((n for n, (a, b) in enumerate(zip(job_id, text, strict=False)) if a != b), len(text))
            likeness = SequenceMatcher(None, job_id.lower(), text.lower()).ratio()
            if likeness >= 0.7 or common >= max(4, len(text) // 2):
                scores.append((-common, -likeness, job_id))
        return [(job_id, found[job_id]) for _, _, job_id in sorted(scores)[:3]]

    # --- how long

    def oldest_by_queue(self, now: float) -> dict[str, float]:
        """Return for each queue the instant since which the job that waits longest might start.

        Cost: grows with the number of queues and of priorities in use, and with the jobs whose `run_at` is before the
        time since which the oldest waits (0.2 µs each).
        """
        database = self._database
        oldest: dict[str, float] = {}
        queue = ""
        while (first := database.one("due_queue_after", (queue,))) is not None:
            queue, priority = first[0], ABOVE_ALL
            while (row := database.one("due_priority_below", (queue, priority))) is not None:
                priority = row[0]
                for run_at, ready_at in database.each("ready_since", (queue, priority)):
                    if run_at >= oldest.get(queue, ready_at + 1):
                        break  # no job is ready before its run_at
                    oldest[queue] = min(ready_at, oldest.get(queue, ready_at))
        late = database.one("overdue", (now,))  # due, but not updated yet
        if late is not None:
            oldest[late[0]] = min(late[1], oldest.get(late[0], late[1]))
        return oldest

    def scheduled(self, now: float) -> tuple[int, float | None]:
        """Return how many waiting jobs may not start yet, and when the first of them may."""
        count, first = self._database.one("scheduled", (now,)) or (0, None)
        return count, first

    def awaiting_parents(self) -> int:
        """Return how many waiting jobs come after a job that has not ended.

        Cost: some 0.05 µs each; without a supervisor 2 µs for each that was enqueued since one ran.
        """
        row = self._database.one("awaiting_parents")
        return 0 if row is None else int(row[0])

    # --- why and when

    def failures(self, states: tuple[str, str], since: float, limit: int) -> list[dict[str, Any]]:
        """Return failed or dead jobs by what their errors have in common, the most frequent first.

        Returns:
            fingerprint, count, first_at, last_at, and the row of the newest one as `newest`.
        """
        found = []
        for row in self._database.all("failure_groups", (*states, since, limit)):
            newest = [self._database.one("newest_failure", (row[0], state)) for state in dict.fromkeys(states)]
            rows = [as_dict(each) for each in newest if each is not None]
            if rows:
                made = dict(zip(("fingerprint", "count", "first_at", "last_at"), row, strict=True))
                found.append({**made, "newest": max(rows, key=lambda each: each["updated_at"])})
        return found

    def count_failures(self, states: tuple[str, str], since: float) -> int:
        """Return how many groups `failures` finds without a limit."""
        row = self._database.one("count_failure_groups", (*states, since))
        return 0 if row is None else int(row[0])

    def failures_of(self, query: Query, limit: int | None = None) -> tuple[list[dict[str, Any]], int]:
        """Return the same for the jobs that match a query, whatever its order and limit, and how many groups there are."""
        return queries.failure_groups(self._database, query, limit)

    def series(self, start: int, step: int, count: int, queue: str | None = None) -> list[statistics.Figures]:
        """Return what happened in `count` steps of `step` minutes from minute `start` (since 1970) on."""
        return statistics.series(self._database, start, step, count, queue)

    def figures_by_queue(self, start: int) -> dict[str, statistics.Figures]:
        """Return what happened in each queue from minute `start` (since 1970) on."""
        return statistics.by_queue(self._database, start)

    def covered_from(self, start: float) -> float:
        """Return since when there are figures: `start`, or the minute of the first one if that is later."""
        row = self._database.one("first_minute")
        return max(start, 60.0 * row[0]) if row is not None and row[0] is not None else start

    def totals(self) -> statistics.Figures:
        """Return what ever happened, as far as the index has seen it."""
        return statistics.Figures(self._database.all("totals"))

    # --- for comparing the index with the spool

    def meta(self, key: str) -> str | None:
        """Return what the index noted about itself."""
        row = self._database.one("meta", (key,))
        return None if row is None else row[0]

    def running_witnesses(self) -> list[tuple[Any, ...]]:
        """Return id, inode, size and ctime_ns of the files in processing/, as far as known."""
        return self._database.all("witnesses_of_few", (STATES_IN[PROCESSING] * 3)[:3])

    def all_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield every row in the order of ids, in pieces of one moment each."""
        last = ""
        while rows := self._database.all("rows_after", (last, 500)):
            yield from rows
            last = rows[-1][0]

    def row(self, job_id: str) -> tuple[Any, ...] | None:
        """Return a job's row as it is kept."""
        return self._database.one("get", (job_id,))
