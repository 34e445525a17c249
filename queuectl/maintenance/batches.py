"""batches: adds the completion jobs of batches whose last job has ended, and forgets batches that are gone.

Guarantees: the index only says which batches may be complete. Before the completion job is added, under the lock of the batch,
            pending/ and processing/ are read for jobs that the index does not know. A batch is forgotten when neither it nor its
            completion job has a job left.
"""

from __future__ import annotations

from itertools import islice

from queuectl.client.batches import member_of
from queuectl.errors import QueueError, from_os_error
from queuectl.job.job import PENDING, PROCESSING
from queuectl.maintenance.context import Report
from queuectl.spool import batches
from queuectl.units import listed, plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.index.reader import Reader
    from queuectl.maintenance.context import TaskContext

KEPT_S = 36 * 3600.0  # a process that begins to add jobs may have registered the batch already
AT_ONCE = 1000
UNFINISHED = ("pending", "held", "failed", "processing")
NAMED = 3


def run_once(context: TaskContext) -> Report:
    """Add what is due; without a batch that has a completion job, only look."""
    spool = context.spool
    names = [*batches.known(spool)]
    waiting = set(batches.open_batches(spool))
    if not names and not waiting:
        return Report()
    done: list[str] = []
    failed: list[QueueError] = []
    with context.queue.complete_reader() as reader:
        for batch in sorted({*names, *waiting}):
            try:
                if batch in waiting:
                    job_id = None if context.dry_run else _complete(context, reader, batch)
                    done += [job_id] if job_id is not None else []
                else:
                    _forget(context, reader, batch)
            except QueueError as error:
                failed.append(error)
            except OSError as error:
                failed.append(from_os_error(error, f"cannot complete batch {batch}"))
    words = f"added {plural(len(done), 'completion job')}: {listed(done, NAMED)}" if done else ""
    return Report(words, failed=failed, jobs=done)


def _complete(context: TaskContext, reader: Reader, batch: str) -> str | None:
    """Add the completion job of a batch if all its jobs have ended; return its id."""
    spool = context.spool
    if any(reader.batch_counts(batch).get(state) for state in UNFINISHED):
        return None
    fd = batches.take(spool, batch)
    if fd is None:
        return None  # some process adds jobs
    try:
        note = batches.note_of(spool, batch)
        if note is not None:  # a crash came between the note and the name in pending/
            batches.publish(spool, batch, str(note.get("job", "")))
            return str(note.get("job", ""))
        context.queue.catch_up()
        counts = reader.batch_counts(batch)
        if any(counts.get(state) for state in UNFINISHED) or _has_unknown(context, reader, batch):
            return None
        member = member_of(spool, reader, batch)
        if member is None:
            _forget_if_old(context, batch)
            return None
        fields = batches.completion_job(batch, member.fields[batches.FIELD], member, counts)
        return batches.complete(spool, batch, fields, counts)
    finally:
        spool.files.close(fd)


def _has_unknown(context: TaskContext, reader: Reader, batch: str) -> bool:
    """Tell whether a job of the batch waits or runs that the index does not know, or knows with another state or batch."""
    spool = context.spool
    for directory in (PENDING, PROCESSING, PENDING):  # a job that moves meanwhile is in one of them
        ids = spool.ids(directory)
        while group := [*islice(ids, AT_ONCE)]:
            told = reader.told_of(group)
            for job_id in group:
                state, of = told.get(job_id, (None, None))
                if state in UNFINISHED and of != batch:
                    continue
                if state is not None and of == batch:
                    return True  # it was revived after the index was read
                try:
                    job = spool.read_in(directory, job_id)
                except QueueError:
                    continue  # not a valid job
                if job is not None and job.fields.get("batch") == batch:
                    return True
    return False


def _forget(context: TaskContext, reader: Reader, batch: str) -> None:
    """Forget a complete batch of which nothing is left, so that its name can be used again."""
    spool = context.spool
    note = batches.note_of(spool, batch) or {}
    if reader.batch_counts(batch) or spool.find(str(note.get("job") or batch)) is not None:
        return
    fd = batches.take(spool, batch)
    if fd is not None:
        try:
            _forget_if_old(context, batch)
        finally:
            spool.files.close(fd)


def _forget_if_old(context: TaskContext, batch: str) -> None:
    age = context.age(context.layout.batch(batch))
    if age is not None and age > KEPT_S and not context.dry_run:
        batches.forget(context.spool, batch)
