"""reclaim: mending one job of processing/ on the spot, when no supervisor does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.errors import Busy
from queuectl.processes.adoption import run_is_alive
from queuectl.spool.recovery import reclaim

if TYPE_CHECKING:
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
