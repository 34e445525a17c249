"""chronicle: what happened, told from the histories of the jobs that are still there.

Guarantees: pure but for reading; the newest come first into account, so that a million old jobs cost nothing; what was
            put together in a job's history, and jobs that were deleted, are not told of.
Source:     spool/FORMAT.md § History; the members are those that the supervisor tells of as it happens.
"""

from __future__ import annotations

import heapq
import json

from queuectl.clock import parse_instant, spell
from queuectl.errors import QueueError
from queuectl.history import LEADS_TO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Any

    from queuectl.client import Queue
    from queuectl.index.reader import Reader
    from queuectl.job import Job

    Happened = dict[str, Any]

PAGE = 500
STATE_AFTER = {
    **dict.fromkeys(LEADS_TO, "pending"),
    **{"started": "processing", "completed": "completed", "cancelled": "cancelled", "died": "dead", "expired": "dead"},
    **{"failed": "failed", "held": "held"},
}
TOLD = ("enqueued", *STATE_AFTER)
LEFT_OUT = ("event", "at", "created_at", "set")


def newest(
    queue: Queue, reader: Reader, since: float, limit: int, kinds: Collection[str] = ()
) -> tuple[list[Happened], bool]:
    """Return the newest events since then, oldest first, and whether there are more.

    Args:
        kinds: only these; empty for all.
    """
    from queuectl.index.reader import Query

    kept: list[tuple[float, int, Happened]] = []  # a heap, the oldest first
    count = 0
    for row in reader.rows(Query(since=since, limit=PAGE, is_counted=False)):
        if len(kept) >= limit and row["updated_at"] < kept[0][0]:
            break
        for at, happened in _since(queue, row["id"], since, kinds):
            count += 1
            (heapq.heappush if len(kept) < limit else heapq.heappushpop)(kept, (at, count, happened))
    return [happened for _, _, happened in sorted(kept)], count > limit


def all_since(queue: Queue, reader: Reader, since: float, kinds: Collection[str] = ()) -> Iterator[Happened]:
    """Yield all events since then, oldest first; beyond some thousand they are sorted on disk."""
    from queuectl.index.reader import Query
    from queuectl.index.sorting import Sorter

    sorter = Sorter(None)
    try:
        for row in reader.rows(Query(since=since, limit=PAGE, is_counted=False)):
            for at, happened in _since(queue, row["id"], since, kinds):
                sorter.add(f"{at:020.6f} {sorter.count:012d} {json.dumps(happened)}")
        for line in sorter:
            yield json.loads(line.split(" ", 2)[2])
    finally:
        sorter.close()


def _since(queue: Queue, job_id: str, since: float, kinds: Collection[str]) -> Iterator[tuple[float, Happened]]:
    """Yield the events of one job since then, each with its instant; none when it was deleted, or damaged, meanwhile."""
    try:
        job = queue.get(job_id)
    except QueueError:
        return
    for happened in events_of(job):
        at = parse_instant(happened["at"])
        if at >= since and (not kinds or happened["event"] in kinds):
            yield at, happened


def events_of(job: Job) -> Iterator[Happened]:
    """Yield what happened to a job, oldest first."""
    attempt, worker, state = 0, None, "pending"
    if not job.history or job.history[0]["event"] != "compacted":
        yield {"at": spell(job.created_at), "event": "enqueued", "id": job.id, "state": state}
    for entry in job.history:
        kind = entry["event"]
        if kind == "compacted":
            attempt, worker = entry["kept"]["attempts"], entry["kept"].get("worker")
            state = STATE_AFTER.get(entry["last_event"], "pending")
            continue
        is_end = state == "processing" and kind != "started"
        if kind == "started":
            attempt, worker = entry.get("attempt", attempt + 1), entry.get("worker")
        state = STATE_AFTER[kind] if kind != "edited" else state
        run = {"attempt": attempt, "worker": worker} if is_end and worker else {}
        more = {name: value for name, value in entry.items() if name not in LEFT_OUT}
        yield {"at": entry["at"], "event": kind, "id": job.id, "state": state, **run, **more}
