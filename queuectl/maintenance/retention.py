"""retention: jobs that have ended and been kept for long enough.

Guarantees: the oldest go first, each under its own lock and only if nothing has happened to it since the index saw it;
            memory is bounded. The index chooses, the job's file decides.
"""

from __future__ import annotations

from heapq import merge
from itertools import chain
from math import inf

from queuectl.client.dependents import Dependents
from queuectl.errors import PartlyFailed
from queuectl.job.job import DEAD, DONE, STATES_OF
from queuectl.maintenance.context import Report
from queuectl.spool.purge import Chosen, purge
from queuectl.units import plural, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.errors import QueueError
    from queuectl.index.reader import Reader
    from queuectl.maintenance.context import TaskContext

ENOUGH_FAILED = 100


def run_once(context: TaskContext) -> Report:
    """Remove them, a group at a time."""
    jobs = output_bytes = changed = 0
    failed: list[QueueError] = []
    with context.reader() as reader:
        chosen = chain(_done(context, reader), _dead(context, reader))
        if context.dry_run:
            count = sum(1 for _ in chosen)
            return Report(f"{context.removed} {plural(count, 'job')}, output included" if count else "", jobs=count)
        for removed in purge(context.spool, chosen, awaited=Dependents(context.spool).of):
            jobs += len(removed.ids)
            changed += len(removed.changed)
            output_bytes += removed.output_bytes
            failed += (error for _, error in removed.failed)
            if len(failed) >= ENOUGH_FAILED:
                failed.append(PartlyFailed(f"gave up after {plural(len(failed), 'job')} that could not be removed"))
                break
            context.rest(len(removed.ids))
    words = f"removed {plural(jobs, 'job')}, {spell_size(output_bytes)} output" if jobs else ""
    return Report(words, failed=failed, jobs=jobs, output_bytes=output_bytes, changed=changed)


def _done(context: TaskContext, reader: Reader) -> Iterator[Chosen]:
    """Yield completed and cancelled jobs that are too old, or too many."""
    settings = context.settings
    kept_since = context.now - settings.retention_done if settings.retention_done else -inf
    surplus = 0
    if settings.retention_jobs:
        counts = reader.counts()
        surplus = sum(counts[state] for state in STATES_OF[DONE]) - settings.retention_jobs
    ended = merge(*(reader.not_changed_since(state, inf) for state in STATES_OF[DONE]))
    for updated_at, job_id in ended:
        if updated_at >= kept_since and surplus <= 0:
            return
        surplus -= 1
        yield Chosen(job_id, DONE, updated_at)


def _dead(context: TaskContext, reader: Reader) -> Iterator[Chosen]:
    """Yield dead jobs that are too old."""
    if context.settings.retention_dead:
        for updated_at, job_id in reader.not_changed_since("dead", context.now - context.settings.retention_dead):
            yield Chosen(job_id, DEAD, updated_at)
