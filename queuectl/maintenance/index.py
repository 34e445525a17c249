"""index: kept quick by whoever writes it, and once a day compared with every job's file.

Guarantees: the index is written by the supervisor, or under run/index.lock when none runs. What differs is read again by
            its writer, so that the queue's promise of an exact index holds even where a stranger changed files
            in a way that leaves no trace.
Fails with: QueueError when index and files differ in too much, or still differ after that.
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

    from queuectl.maintenance.context import Work

COMPARED = "index-compared"  # when that was done
MOST = 1000
GROUP = 200
HINT = "to build it anew: queuectl index rebuild"


def run_once(work: Work) -> Report:
    """Bring it up to date, see to its file, and once a day compare it."""
    if not work.is_supervised and not work.dry_run:
        write(work, Writer.optimise)
    return _compare(work) if work.is_due(COMPARED) else Report()


def write(work: Work, then: Callable[[Writer], None]) -> None:
    """Bring the index up to date and do something to it, when no supervisor runs."""
    from queuectl.index.sync import catch_up

    with IndexLock(work.layout):
        for _ in catch_up(work.spool, then=then):
            pass


def _compare(work: Work) -> Report:
    behind: list[str] = []
    different: list[str] = []
    count = 0
    with work.queue.reader(behind.append) as reader:
        if behind:  # the supervisor is comparing them itself
            return Report()
        for found in verify(work.spool, reader):
            count += 1
            if found is not None:
                different.append(found.id)
            if len(different) >= MOST:
                raise QueueError(f"the index and the job files differ in {MOST:,} jobs and more", HINT)
            if count % GROUP == 0:
                work.rest()
        different = _still(work, different)
    words = f"compared {plural(count, 'job')}"
    if work.dry_run:
        return Report(f"{words}: {len(different):,} differ" if different else words, jobs=count, mended=0)
    for job_id in different:
        work.spool.note_change(job_id)
    work.note(COMPARED)
    left = _still(work, different)
    if left:
        raise QueueError(f"the index still differs from {plural(len(left), 'job file')}: {', '.join(left[:3])}", HINT)
    mended = f", mended {plural(len(different), 'row')}" if different else ""
    return Report(words + mended, jobs=count, mended=len(different))


def _still(work: Work, job_ids: list[str]) -> list[str]:
    """Return those that differ once the index shows everything that has happened.

    What happens to a job meanwhile is no difference, and of one that runs the supervisor may hear at its end.
    """
    if not job_ids:
        return []
    marks = {job_id: mark(work.spool, job_id) for job_id in job_ids}
    with work.queue.reader() as reader:
        different = [job_id for job_id in job_ids if compare(work.spool, reader, job_id) is not None]
        still = [job_id for job_id in different if mark(work.spool, job_id) == marks[job_id]]
    if not is_owned(work.layout):
        return still
    return [job_id for job_id in still if work.spool.find(job_id) != PROCESSING]
