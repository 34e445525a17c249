"""waiting: the part of Queue that waits for jobs to end.

Guarantees: reads only. What a supervisor reports ends a wait at once; without one the jobs are looked at again and again.
Fails with: NotFound, Conflict, JobFailed, TimedOut, UsageError.
"""

from __future__ import annotations

import os

from queuectl.client import arguments
from queuectl.client.arguments import ids_of
from queuectl.errors import Conflict, TimedOut, UsageError
from queuectl.units import plural, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from queuectl.client.arguments import JobOrId
    from queuectl.client.job_spec import Seconds
    from queuectl.client.job_view import Job
    from queuectl.job.job import Job as StoredJob
    from queuectl.spool.layout import Layout
    from queuectl.spool.spool import Spool

ENDED = ("completed", "cancelled", "dead")
POLL_S = 0.25  # between two looks at a job when no supervisor tells of events


class Waiting:
    """The part of Queue that waits for jobs to end."""

    layout: Layout
    spool: Spool

    if TYPE_CHECKING:

        def _job(self, stored: StoredJob) -> Job: ...

    def wait(
        self,
        jobs: JobOrId | Iterable[JobOrId],
        timeout_s: Seconds | None = None,
        on_end: Callable[[Job], None] | None = None,
        on_look: Callable[[], None] | None = None,
        on_left: Callable[[Sequence[Job]], None] | None = None,
    ) -> dict[str, Job]:
        """Wait until every job is completed, cancelled or dead, and return them by id, in the order given.

        Args:
            jobs: several, or one, each by its id or as a Job.
            timeout_s: seconds, text ("10m") or timedelta; 0 or less looks once. None waits without end.
            on_end: called with each job as it ends.
            on_look: called whenever the jobs have been looked at, at least every few seconds.
            on_left: called as often, with those that have not ended, unless the time is over.

        Raises:
            NotFound: one of them does not exist.
            Conflict: one of them is the job inside which this process runs, so that it would wait for itself.
            JobFailed: one was removed before it had ended.
            TimedOut: some had not ended after `timeout_s` seconds. The jobs go on.
        """
        for name, given in (("on_end", on_end), ("on_look", on_look), ("on_left", on_left)):
            if given is not None and not callable(given):
                raise UsageError(f'"{name}" must be a function, not {quote(given)}')
        order = ids_of(jobs)
        left: dict[str, Job | None] = dict.fromkeys(order)
        from queuectl.spool.awaited import AwaitedJobs

        awaited = AwaitedJobs(self.spool)
        self.refuse_own_job(left)
        ended: dict[str, Job] = {}
        limit_s = None if timeout_s is None else _seconds(timeout_s)
        deadline = None if limit_s is None else self.spool.clock.monotonic() + limit_s
        for is_last in self._looks(deadline):
            for job_id in [*left]:
                job = left[job_id] = self._job(awaited.read(job_id))
                if job.state in ENDED:
                    del left[job_id]
                    ended[job_id] = job
                    if on_end is not None:
                        on_end(job)
            if not left:
                return {job_id: ended[job_id] for job_id in order}
            if on_look is not None:
                on_look()
            if on_left is not None and not is_last:
                on_left([job for job in left.values() if job is not None])
        raise TimedOut(f"{len(left)} of {plural(len(left) + len(ended), 'job')} had not ended after {limit_s:g}s")

    def refuse_own_job(self, job_ids: Container[str]) -> None:
        """Raise Conflict when one of these is the job inside which this process runs: it would wait for itself."""
        from queuectl.executor.environment import calling_job

        job = calling_job(self.spool, os.environ)
        if job is not None and job.id in job_ids:
            raise Conflict(
                f"this command runs in job {job.id}: it would wait for itself",
                "exclude this job; its id is in $QUEUECTL_JOB_ID",
            )

    def _looks(self, deadline: float | None) -> Iterator[bool]:
        """Yield False whenever something may have changed, and True once the deadline has passed."""
        from queuectl.control_client import Watch

        clock = self.spool.clock
        watch = Watch(self.layout)
        try:
            soon_until = clock.monotonic() + POLL_S * 4
            while deadline is None or clock.monotonic() < deadline:
                yield False
                left = POLL_S * 4 if watch.is_open and clock.monotonic() > soon_until else POLL_S
                watch.wait(left if deadline is None else max(0.0, min(left, deadline - clock.monotonic())))
        finally:
            watch.close()
        yield True


def _seconds(value: Seconds) -> float:
    try:
        return max(0.0, arguments.seconds(value))
    except ValueError as error:
        raise UsageError(f'"timeout_s" must be {error}, not {quote(value)}') from None
