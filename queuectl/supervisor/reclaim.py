"""reclaim: mending what a crash left in processing/ on the spot, one job or all, when no supervisor does it.

Guarantees: recovery's own steps, each under the job's lock; a job whose run still lives is let go of again, for a
            supervisor to adopt or to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.errors import Busy
from queuectl.spool.recovery import reclaim, recover
from queuectl.supervisor.adoption import run_is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.spool.recovery import Found
    from queuectl.spool.spool import Spool


def reclaim_now(spool: Spool, job_id: str) -> str:
    """Recover a job whose worker has gone and return what was found (see recovery.Found).

    Raises:
        Busy: its command still runs; a supervisor has to adopt or end it.
    """
    found = reclaim(spool, job_id, lambda job: run_is_alive(spool, job))
    if found.claim is not None:
        found.claim.close()
        raise Busy(f"job {job_id} still runs, without a supervisor", "start one: queuectl worker start")
    spool.note_change(job_id)
    return found.result


def recover_now(spool: Spool) -> Iterator[Found]:
    """Recover all of processing/ and yield what was found, the claims closed."""
    for found in recover(spool, lambda job: run_is_alive(spool, job)):
        if found.claim is not None:
            found.claim.close()
        if found.result != "owned":
            spool.note_change(found.job_id)
        yield found
