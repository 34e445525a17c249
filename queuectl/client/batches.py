"""batches: how far the batches of a home are, and their completion jobs.

Owns:       row_of and detail_of, the shape of a batch in JSON.
Guarantees: all figures are counted from jobs; there is no counter.
Fails with: NotFound: no job has the batch. UsageError: that is no name of a batch.
Source:     spool/FORMAT.md § Batches.
"""

from __future__ import annotations

from queuectl.clock import spell
from queuectl.errors import NotFound, QueueError, UsageError, did_you_mean
from queuectl.ids import ID_GRAMMAR, is_id
from queuectl.job.job import STATES
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from queuectl.index.reader import Reader
    from queuectl.job.job import Job
    from queuectl.spool.spool import Spool

ENDED = ("completed", "cancelled", "dead")
NO_JOBS = dict.fromkeys(STATES, 0)


def rows_of(spool: Spool, reader: Reader) -> Iterator[dict[str, Any]]:
    """Yield the batches, unfinished ones first, each as JSON has it."""
    from queuectl.spool import batches

    registered, is_open = {*batches.known(spool)}, {*batches.open_batches(spool)}
    completion = {name: "waits" if name in is_open else "added" for name in registered | is_open}
    rows = [{**row_of(name, counts), "completion": completion.get(name)} for name, counts in reader.batches().items()]
    yield from sorted(rows, key=lambda row: (row["ended"] == row["jobs"], row["name"]))


def row_of(name: str, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return a batch as a list has it, but for its completion job."""
    jobs, ended = sum(counts.values()), sum(counts.get(state, 0) for state in ENDED)
    return {
        "name": name,
        "jobs": jobs,
        "ended": ended,
        "progress": round(ended / jobs, 4) if jobs else 0.0,
        "counts": {**NO_JOBS, **counts},
    }


def detail_of(spool: Spool, reader: Reader, name: str) -> dict[str, Any]:
    """Return a batch with its times and its completion job.

    Raises:
        NotFound: no job has it. UsageError: that is no name of a batch.
    """
    from queuectl.spool import batches

    if not isinstance(name, str) or not is_id(name):
        raise UsageError(f'"name" must be the name of a batch, not {quote(name)}', f"a name is {ID_GRAMMAR}")
    counts, note = reader.batch_counts(name), batches.note_of(spool, name)
    if not counts and note is None:
        near = reader.names("batch", name)
        raise NotFound(f"no job has the batch {quote(name)}{did_you_mean(name, near)}", "queuectl batch list")
    is_awaited = note is None and name in batches.open_batches(spool)
    row = row_of(name, counts)
    created_at, started_at, finished_at = reader.batch_times(name)
    is_over = row["ended"] == row["jobs"]
    if is_awaited and is_over:  # perhaps the jobs with `on_batch_done` were deleted
        is_awaited = member_of(spool, reader, name) is not None
    job_id = None if note is None else note.get("job")
    told = reader.told_of([job_id]).get(job_id) if job_id else None
    return {
        **row,
        "created_at": _spelled(created_at),
        "started_at": _spelled(started_at),
        "finished_at": _spelled(finished_at) if is_over else None,
        "eta_s": _eta_s(row, started_at, spool.clock.now()),
        "completion": "added" if note is not None else "waits" if is_awaited else None,
        "completion_job": job_id,
        "completion_state": None if told is None else told[0],
    }


def member_of(spool: Spool, reader: Reader, name: str) -> Job | None:
    """Return the job of a batch that says what its completion job runs: the newest that has `on_batch_done`."""
    from queuectl.spool import batches

    for job_id in reader.ids_of_batch(name):
        try:
            job = spool.read(job_id)
        except QueueError:
            continue  # it was removed meanwhile
        if batches.batch_of(job.fields) == name:
            return job
    return None


def _eta_s(row: Mapping[str, Any], started_at: float | None, now: float) -> float | None:
    """Return how long the rest will take if it goes on as it did; None before the first end, and at the end."""
    left = int(row["jobs"]) - int(row["ended"])
    if not left or not row["ended"] or started_at is None:
        return None
    return round(max(0.0, now - started_at) / int(row["ended"]) * left, 1)


def _spelled(at: float | None) -> str | None:
    return None if at is None else spell(at)
