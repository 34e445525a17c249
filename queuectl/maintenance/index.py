"""index: optimises the index, combines old statistics, and once a day compares the index with every job file.

Guarantees: the index is written by the supervisor, or under run/index.lock when none runs. Its writer reads the jobs that
            differ again, so the index is exact even after a program changed files without a trace.
Fails with: QueueError when too many jobs differ, or still differ after that.
"""

from __future__ import annotations

from queuectl.errors import QueueError
from queuectl.index.lock import IndexLock
from queuectl.index.rebuild import compare, mark, verify
from queuectl.index.writer import Writer
from queuectl.job.job import PROCESSING
from queuectl.maintenance.context import Report
from queuectl.supervisor.supervisor_lock import is_owned
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.maintenance.context import TaskContext

COMPARED = "index-compared"  # when that was done
MOST = 1000
GROUP = 200
HINT = "to rebuild it: queuectl index rebuild"


def run_once(context: TaskContext) -> Report:
    """Update and optimise the index; compare it once a day."""
    if not context.is_supervised and not context.dry_run:
        write(context, Writer.optimise)
    return _compare(context) if context.is_due(COMPARED) else Report()


def combine_statistics(context: TaskContext) -> Report:
    """Combine old minutes into hours, and very old hours into one; a supervisor does this itself once an hour."""
    if not context.is_supervised and not context.dry_run:
        write(context, Writer.roll)
    return Report()


def write(context: TaskContext, then: Callable[[Writer], None]) -> None:
    """Update the index and do something to it, when no supervisor runs; then reject what in pending/ is no valid job."""
    from queuectl.index.sync import catch_up

    doubtful: list[str] = []
    with IndexLock(context.layout):
        for progress in catch_up(context.spool, then=then):
            doubtful += (name for name, _ in progress.later)
    for name in doubtful:
        context.spool.examine(name)


def _compare(context: TaskContext) -> Report:
    behind: list[str] = []
    different: list[str] = []
    count = 0
    with context.queue.reader(behind.append) as reader:
        if behind:  # the supervisor is comparing them itself
            return Report()
        for found in verify(context.spool, reader):
            count += 1
            if found is not None:
                different.append(found.id)
            if len(different) >= MOST:
                raise QueueError(f"the index and the job files differ for at least {MOST:,} jobs", HINT)
            if count % GROUP == 0:
                context.rest()
        different = _still(context, different)
    words = f"compared {plural(count, 'job')}"
    if context.dry_run:
        return Report(f"{words}: {len(different):,} differ" if different else words, jobs=count, mended=0)
    for job_id in different:
        context.spool.note_change(job_id)
    context.note(COMPARED)
    left = _still(context, different)
    if left:
        raise QueueError(f"the index still differs from {plural(len(left), 'job file')}: {', '.join(left[:3])}", HINT)
    mended = f", repaired {plural(len(different), 'row')}" if different else ""
    return Report(words + mended, jobs=count, mended=len(different))


def _still(context: TaskContext, job_ids: list[str]) -> list[str]:
    """Return those that still differ when the index is up to date.

    A change meanwhile is not a difference. A running job is not either: the supervisor may hear of it only at its end.
    """
    if not job_ids:
        return []
    marks = {job_id: mark(context.spool, job_id) for job_id in job_ids}
    with context.queue.reader() as reader:
        different = [job_id for job_id in job_ids if compare(context.spool, reader, job_id) is not None]
        still = [job_id for job_id in different if mark(context.spool, job_id) == marks[job_id]]
    if not is_owned(context.layout):
        return still
    return [job_id for job_id in still if context.spool.find(job_id) != PROCESSING]
