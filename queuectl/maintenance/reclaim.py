"""reclaim: recovers the jobs that a crash left in processing/, when no supervisor is running.

Guarantees: the recovery of the supervisor, job by job, under the job's lock. A job whose attempt is still running is left
            to the next supervisor, which adopts or ends it. Stops as soon as a supervisor runs.
"""

from __future__ import annotations

from queuectl.errors import Busy
from queuectl.job.job import PROCESSING
from queuectl.maintenance.context import Report
from queuectl.supervisor.orphans import recover_now
from queuectl.supervisor.supervisor_lock import is_owned
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.maintenance.context import TaskContext


def run_once(context: TaskContext) -> Report:
    """Recover what can be recovered."""
    spool = context.spool
    if context.is_supervised:
        return Report()
    if context.dry_run:
        count = sum(1 for _ in spool.ids(PROCESSING))
        return Report(f"would recover {plural(count, 'job')} left in processing/" if count else "", jobs=count)
    counts = dict.fromkeys(("moved", "interrupted", "rejected", "alive"), 0)
    failed = []
    for found in recover_now(spool):
        if found.result.value in counts:
            counts[found.result.value] += 1
        elif found.detail:
            failed.append(Busy(f"job {found.job_id} cannot be repaired now: {found.detail}"))
        if is_owned(context.layout):
            break
    return Report(_words(counts), failed=list(failed), **counts)


def _words(counts: dict[str, int]) -> str:
    mended = counts["moved"] + counts["interrupted"]
    parts = [f"moved {plural(mended, 'job')} to their directories" if mended > 1 else "moved 1 job to its directory"]
    parts = parts if mended else []
    if counts["rejected"]:
        parts.append(f"rejected {plural(counts['rejected'], 'file')}")
    if counts["alive"]:
        runs = "are still running" if counts["alive"] > 1 else "is still running"
        parts.append(f"{plural(counts['alive'], 'job')} {runs} without a supervisor")
    return ", ".join(parts)
