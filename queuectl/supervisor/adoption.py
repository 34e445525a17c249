"""adoption: runs whose worker is gone.

Owns:       the claim of each such job until its run has ended and the job is settled.
Guarantees: a job is put back only when no process of its run is left; a command that is our child keeps its deadline
            and gets its true outcome; what an earlier supervisor left is ended or awaited, and counts as interrupted.
            Strays (see orphans) may be anybody's: no run is over while there are any.
Source:     prctl(2) PR_SET_CHILD_SUBREAPER; spool/FORMAT.md § Recovery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.executor import home_watch, process_tree
from queuectl.executor.attempt import CANCELLED, Run
from queuectl.executor.environment import run_id
from queuectl.executor.process_tree import Ending
from queuectl.spool.claim import SpoolFull
from queuectl.worker.settle import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

    from queuectl.job.job import Job
    from queuectl.spool.claim import Claim
    from queuectl.spool.spool import Spool

    Strays = Callable[["Adopted | None"], list[psutil.Process]]

LOOK_AGAIN_S = 1.0


def processes_of(spool: Spool, job: Job) -> list[psutil.Process]:
    """Return every living process that carries the tag of the job's newest attempt or holds its lock, and theirs."""
    output, is_locked = spool.layout.output_of(job.id, job.attempts), spool.run_is_locked(job.id, job.attempts)
    return process_tree.find_run(spool.layout.home, run_id(job.id, job.attempts), output, is_locked=is_locked)


def run_is_alive(spool: Spool, job: Job) -> bool:
    """Tell whether anything of the job's newest attempt may still run: its lock is held or its tag is found."""
    return spool.run_is_locked(job.id, job.attempts) or bool(processes_of(spool, job))


class Adopted:
    """A job in processing/ that we hold for a run we did not start.

    Args:
        claim: the job, locked by us.
        pid: the command, when it is our child; None when nobody can tell us its outcome.
        started: monotonic; when the attempt began, for its deadline.
        strays: returns processes that may be its; called with it, those of them that it may end.

    Attributes:
        event: what became of the job, once it is settled.
    """

    def __init__(self, spool: Spool, claim: Claim, pid: int | None, started: float, strays: Strays) -> None:
        self._spool = spool
        self._claim = claim
        self.job = claim.job
        self.pid = pid
        self.event: str | None = None
        self.next_step = 0.0
        self._strays = strays
        self._ending: Ending | None = None
        self._cancelled = False
        self._run: Run | None = None
        if pid is not None:
            output = spool.layout.output_of(self.job.id, self.job.attempts)
            self._run = Run(self.job, pid, spool.settings, output, started, self._processes, self._is_alive)
        elif spool.settings.orphans == "kill":
            self._begin_ending()

    def _processes(self) -> list[psutil.Process]:
        found = {process.pid: process for process in processes_of(self._spool, self.job)}
        if self._run is not None and self._run.ended is None:
            for process in process_tree.with_descendants(self._run.pid):
                found.setdefault(process.pid, process)
        return [*found.values(), *self._strays(self)]

    def _is_alive(self) -> bool:
        return run_is_alive(self._spool, self.job) or bool(self._strays(None))

    @property
    def command_runs(self) -> bool:
        """Its command is our child and has not ended."""
        return self._run is not None and self._run.ended is None

    def _begin_ending(self) -> None:
        if self._ending is None:
            grace = float(self.job.fields.get("kill_after", self._spool.settings.kill_after))
            self._ending = Ending(self._processes, grace, self._spool.clock.monotonic())

    def end(self, cause: str) -> None:
        """End the run because of `cause`: cancelled or stopped."""
        self.next_step = 0.0
        self._cancelled = self._cancelled or cause == CANCELLED
        if self._run is not None:
            self._run.end(cause, self._spool.clock.monotonic())
        else:
            self._begin_ending()

    def step(self, now: float) -> None:
        """Do what is due; `event` is set once the job is settled, `next_step` says when to call again."""
        try:
            self.event = self._step_child(now) if self._run is not None else self._step_orphan(now)
        except (SpoolFull, OSError):
            self.next_step = now + LOOK_AGAIN_S
            if not home_watch.exists(self._spool.layout):
                self.event = "removed"
        if self.event is not None:
            self.job = self._claim.job
            self._claim.close()

    def _step_child(self, now: float) -> str | None:
        run = self._run
        if run is None:
            return None
        if not run.is_over:
            self.next_step = run.step(now)
        if not run.is_over or run.ended is None:
            return None
        return settle(self._spool, self._claim, run.ended, run.cause)

    def _step_orphan(self, now: float) -> str | None:
        again = self._ending.step(now) if self._ending is not None else None
        if again is not None or self._is_alive():
            self.next_step = again if again is not None else now + LOOK_AGAIN_S
            return None
        if self._cancelled:
            self._claim.cancel()
            return "cancelled"
        self._claim.interrupt("its worker and supervisor died before the end was seen")
        return "interrupted"

    def command_ended(self, status: int, usage: object) -> None:
        """Take note of the wait status of the command, our child."""
        self.next_step = 0.0
        if self._run is not None and self._run.ended is None:
            self._run.command_ended(status, usage)  # type: ignore[arg-type]
