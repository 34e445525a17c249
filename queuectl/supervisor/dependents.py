"""dependents: decides about jobs that wait for other jobs, when these have changed.

Owns:       what the index calls undecided.
Guarantees: the index only says which jobs to look at; whether a job is moved is decided by files, under its lock. A job
            that died because of a parent is revived when no parent excludes its start any more. A crash loses nothing:
            what was not decided is decided again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.job.job import DEAD, DEPENDENCY_FAILED, PENDING
from queuectl.scheduling.dependencies import Verdict, decide
from queuectl.spool import parents
from queuectl.spool.group_commit import commit_group
from queuectl.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.index.writer import Writer
    from queuectl.job.job import Job
    from queuectl.log import Log
    from queuectl.spool.claim import Claim
    from queuectl.spool.spool import Spool

AT_ONCE = 200
AGAIN_S = 1.0


class Dependents:
    """Jobs with parents.

    Args:
        offer: called with the row of each job that may start now.
        moved: called with each job that was moved to another directory.
    """

    def __init__(
        self,
        spool: Spool,
        writer: Writer,
        log: Log,
        *,
        offer: Callable[[dict[str, Any]], None],
        moved: Callable[[Job], None],
    ) -> None:
        self._spool = spool
        self._writer = writer
        self._log = log
        self._offer = offer
        self._moved = moved
        self._again = Timers()

    @property
    def next_step(self) -> float:
        """The monotonic time at which a job is to be decided about again."""
        return self._again.first

    def step(self, now: float) -> bool:
        """Decide about some of the jobs that changed; True when there are more. `now` is monotonic.

        Raises:
            IndexUnavailable: those whose decision was not stored are decided about again.
        """
        again = [*self._again.due(now)]
        if again:
            self._writer.ask_again(again)
        found = self._writer.undecided(AT_ONCE)
        if not found:
            return False
        startable = []
        movable = []
        for each in found:
            if each.state is None or each.policy is None:
                continue
            verdict = decide(each.policy, each.parents).verdict
            if each.state == DEAD and verdict is not Verdict.FAIL:
                self._revive(each.id, now)
            elif each.state != DEAD and verdict is Verdict.START:
                startable.append(each.id)
            elif each.state != DEAD and verdict is not Verdict.WAIT:
                movable.append(each.id)
        startable += self._settle(movable, now)
        self._writer.let_start(startable, self._spool.clock.now())
        self._writer.decided([each.id for each in found])
        for job_id in startable:
            row = self._writer.get(job_id)
            if row is not None and row["ready"] is not None:
                self._offer(row)
        return len(found) == AT_ONCE

    def _settle(self, job_ids: list[str], now: float) -> list[str]:
        """Move jobs that cannot start any more, or are not needed; return those that may start after all."""
        startable, claims = [], []
        for job_id in job_ids:
            claim = self._take(job_id, now)
            if claim is None:
                continue
            try:
                decision = parents.decide_by_files(self._spool, claim.job)
                if (
                    claim.directory == PENDING
                    and claim.job.parents
                    and decision.verdict in (Verdict.FAIL, Verdict.SKIP)
                ):
                    parents.settle(claim, decision, commit=False)
                    claims.append(claim)
                    continue
                if decision.verdict is Verdict.START:
                    startable.append(job_id)
            except (QueueError, OSError) as error:
                self._put_off(job_id, error, now)
            claim.close()
        failed = commit_group(self._spool, claims)
        for claim in claims:
            if claim in failed:
                self._put_off(claim.job.id, failed[claim], now)
            else:
                self._moved(claim.job)
            claim.close()
        return startable

    def _revive(self, job_id: str, now: float) -> None:
        """Let a job wait again that died because of a parent, when no parent excludes its start any more."""
        claim = self._take(job_id, now)
        if claim is None:
            return
        with claim:
            if claim.job.dead_reason != DEPENDENCY_FAILED:
                return
            try:
                if parents.decide_by_files(self._spool, claim.job).verdict is not Verdict.FAIL:
                    claim.revive()
                    self._moved(claim.job)
            except (QueueError, OSError) as error:
                self._put_off(job_id, error, now)

    def _take(self, job_id: str, now: float) -> Claim | None:
        try:
            for directory in (PENDING, DEAD):
                claim = self._spool.take_in(directory, job_id)
                if claim is not None:
                    return claim
        except (QueueError, OSError) as error:
            self._put_off(job_id, error, now)
            return None
        if self._spool.find(job_id) in (PENDING, DEAD):
            self._again.set(job_id, now + AGAIN_S)  # another process has it locked
        return None

    def _put_off(self, job_id: str, error: Exception, now: float) -> None:
        self._log.error(f"job {job_id}: its dependencies cannot be decided: {error} action=depend")
        self._again.set(job_id, now + AGAIN_S)
