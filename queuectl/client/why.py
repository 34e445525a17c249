"""why: why a job does not run now, with what the supervisor, the pauses and the job's parents say at this moment.

Owns:       nothing; scheduling/waits_for.py decides, and has the words.
Fails with: OSError.
"""

from __future__ import annotations

import os

from queuectl import control_client
from queuectl.errors import NoSupervisor, TimedOut
from queuectl.scheduling.waits_for import GOING, Supervision, waits_for
from queuectl.spool import pauses
from queuectl.spool.parents import cycle_of, states_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.job.job import Job
    from queuectl.scheduling.waits_for import Reason
    from queuectl.spool.spool import Spool

ANSWER_S = 2.0  # for a supervisor that has much to do


def read_supervision(spool: Spool, *, patience_s: float = ANSWER_S) -> Supervision:
    """Return what `waits_for` has to know of the supervisor, and whether we run inside a job."""
    from queuectl.executor.environment import calling_job
    from queuectl.supervisor.supervisor_lock import jobs_of_orphaned_workers, noted_pid

    job = calling_job(spool, os.environ)
    caller = job.id if job is not None else ""
    paused = pauses.paused(spool)
    try:
        answer = control_client.ask(spool.layout, {"do": "status"}, timeout_s=patience_s)
        return Supervision(answer, caller=caller, paused=paused)
    except TimedOut:
        return Supervision(None, is_silent=True, pid=noted_pid(spool.layout), caller=caller, paused=paused)
    except NoSupervisor:
        orphaned = jobs_of_orphaned_workers(spool.layout)
        return Supervision(None, caller=caller, orphaned=orphaned, paused=paused)


def reasons_of(spool: Spool, job: Job, supervision: Supervision | None = None) -> list[Reason]:
    """Return why a job does not run now; empty when it runs, has ended, or is about to be started.

    Args:
        supervision: read before, for one of several jobs.
    """
    if job.state not in GOING:
        return []
    supervision = read_supervision(spool) if supervision is None else supervision
    longest = spool.settings.backoff_max
    parents = job.parents if job.state != "processing" else []
    cycle = cycle_of(spool, job.id, parents) if parents else []
    return waits_for(job, supervision, spool.clock.now(), longest, states_of(spool, parents), cycle)
