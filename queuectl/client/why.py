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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from queuectl.job.job import Job
    from queuectl.scheduling.waits_for import Reason
    from queuectl.spool.spool import Spool

ANSWER_S = 2.0  # for a supervisor that has much to do


def read_supervision(spool: Spool, *, patience_s: float = ANSWER_S, brief: bool = False) -> Supervision:
    """Return what `waits_for` has to know of the supervisor, and whether we run inside a job.

    Args:
        brief: for the first words of a reason: without what only the details need.
    """
    caller = "" if brief else _calling_job(spool)
    paused = pauses.paused(spool)
    try:
        answer = control_client.ask(spool.layout, {"do": "status"}, timeout_s=patience_s)
        return Supervision(answer, caller=caller, paused=paused)
    except TimedOut:
        from queuectl.supervisor.supervisor_lock import noted_pid

        return Supervision(None, is_silent=True, pid=noted_pid(spool.layout), caller=caller, paused=paused)
    except NoSupervisor:
        orphaned = () if brief else _orphaned(spool)
        return Supervision(None, caller=caller, orphaned=orphaned, paused=paused)


def _calling_job(spool: Spool) -> str:
    from queuectl.executor.environment import calling_job

    job = calling_job(spool, os.environ)
    return job.id if job is not None else ""


def _orphaned(spool: Spool) -> Collection[str]:
    from queuectl.supervisor.supervisor_lock import jobs_of_orphaned_workers

    return jobs_of_orphaned_workers(spool.layout)


def reasons_of(
    spool: Spool, job: Job, supervision: Supervision | None = None, *, most_read: int | None = None
) -> list[Reason]:
    """Return why a job does not run now; empty when it runs, has ended, or is about to be started.

    Args:
        supervision: read before, for one of several jobs.
        most_read: how many files of other jobs are read at most to find out whether it comes after itself.
    """
    from queuectl.spool.parents import MOST_READ, cycle_of, states_of

    if job.state not in GOING:
        return []
    supervision = read_supervision(spool) if supervision is None else supervision
    longest = spool.settings.backoff_max
    parents = job.parents if job.state != "processing" else []
    cycle = cycle_of(spool, job.id, parents, most=most_read or MOST_READ) if parents else []
    stopped = _is_stopped(job.id, supervision) if job.state == "processing" else None
    return waits_for(job, supervision, spool.clock.now(), longest, states_of(spool, parents), cycle, stopped)


def _is_stopped(job_id: str, supervision: Supervision) -> bool | None:
    """Tell whether the command of a job is stopped now, by whomever; None where the kernel does not say it.

    A shell whose child was stopped before it executed a program waits in the kernel (D); then the history says it.
    """
    workers = supervision.status["workers"] if supervision.status is not None else ()
    pid = next((worker.get("command_pid") for worker in workers if worker["job_id"] == job_id), None)
    if pid is None:
        return None
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            state = file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None
    return None if state == "D" else state in "Tt"
