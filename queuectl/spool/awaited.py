"""awaited: the state of jobs that a caller waits for, also when their files are removed.

Guarantees: a running job whose file is missing is waited for, because its worker writes the file again when it settles
            the job; any other missing job is an error that names it.
Fails with: NotFound (there never was one), JobFailed (it was removed), InvalidData.
"""

from __future__ import annotations

from queuectl.errors import JobFailed, NotFound
from queuectl.spool.reading import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.job.job import Job
    from queuectl.spool.context import SpoolContext

SETTLED_S = 1.0  # from the end of a run until its file is there again


class AwaitedJobs:
    """The last known state of each awaited job."""

    def __init__(self, spool: SpoolContext) -> None:
        self._spool = spool
        self._seen: dict[str, Job] = {}
        self._missing_since: dict[str, float] = {}

    def read(self, job_id: str) -> Job:
        """Return the current job, or its last known state while its file is missing and may come back."""
        try:
            job = read(self._spool, job_id)
        except NotFound:
            if job_id not in self._seen:
                raise
            return self._last_seen(job_id)
        self._seen[job_id] = job
        self._missing_since.pop(job_id, None)
        return job

    def _last_seen(self, job_id: str) -> Job:
        job, now = self._seen[job_id], self._spool.clock.monotonic()
        attempts = (job.attempts, job.attempts + 1)  # it may have been started since
        if any(self._spool.run_is_locked(job_id, attempt) for attempt in attempts):
            self._missing_since[job_id] = now
        elif now - self._missing_since.setdefault(job_id, now) >= SETTLED_S:
            when = "while it ran" if job.state == "processing" else f"while it was {job.state}"
            raise JobFailed(
                f"job {job_id} was removed {when}: no directory of {self._spool.layout.spool} has its file",
                "to run it, enqueue it again",
            )
        return job
