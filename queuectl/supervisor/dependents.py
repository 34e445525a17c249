"""dependents: decides about jobs that wait for other jobs, when these have changed.

Owns:       what the index calls undecided.
Guarantees: the index only says which jobs to look at; whether a job is moved is decided by files, under its lock. A job
            that died because of a parent is revived when no parent excludes its start any more. A crash loses nothing:
            the index forgets a job only once it was decided about as its files want.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.job.job import DEAD, DEPENDENCY_FAILED, PENDING
from queuectl.scheduling.dependencies import MISSING, Verdict, decide
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
LONGEST_STEP_S = 0.03  # whatever the parents and the disk cost, the supervisor is not kept longer
AGAIN_S = 1.0
CYCLE_S = 2.0  # after which it is looked whether a cycle was broken
LONGEST_CYCLE, MOST_IN_CYCLES = 50, 100


class Dependents:
    """Jobs with parents.

    Args:
        offer: called with the row of each job that may start now.
        withdraw: called with the id of each job that may not start any more.
        moved: called with each job that was moved to another directory.
    """

    def __init__(
        self,
        spool: Spool,
        writer: Writer,
        log: Log,
        *,
        offer: Callable[[dict[str, Any]], None],
        withdraw: Callable[[str], None],
        moved: Callable[[Job], None],
    ) -> None:
        self._spool = spool
        self._writer = writer
        self._log = log
        self._offer = offer
        self._withdraw = withdraw
        self._moved = moved
        self._again = Timers()
        self.in_cycles: set[str] = set()  # jobs that come after themselves

    @property
    def next_step(self) -> float:
        """The monotonic time at which a job is to be decided about again."""
        return self._again.first

    def step(self, now: float) -> bool:
        """Decide about some of the jobs that changed; True when there are more. `now` is monotonic.

        Raises:
            IndexUnavailable: those whose decision was not stored are decided about again.
        """
        for _ in self._again.due(now):
            pass  # the index has them still
        found = self._writer.undecided(AT_ONCE, self._again.ids)
        if not found:
            return False
        started = self._spool.clock.monotonic()
        seen, startable, waiting = 0, list[str](), list[str]()
        claims: list[Claim] = []
        for each in found:
            if seen and self._spool.clock.monotonic() - started > LONGEST_STEP_S:
                break
            seen += 1
            is_unknown = MISSING in each.parents.values() and self._writer.needs_sync  # asked again once all are known
            if each.state is None or each.policy is None or is_unknown:
                self.in_cycles.discard(each.id)
                continue
            verdict = decide(each.policy, each.parents).verdict
            self._look_for_cycle(each.id, now, is_possible=each.state != DEAD and verdict is Verdict.WAIT)
            if each.state == DEAD:
                self._revive(each.id, now, verdict)
            elif verdict is Verdict.START:
                startable.append(each.id)
            elif verdict is Verdict.WAIT:
                waiting += [each.id] if each.may_start else []
            else:
                claims += self._settle(each.id, now)
        self._commit(claims, now)
        self._store(startable, waiting)
        self._writer.decided([each.id for each in found[:seen] if each.id not in self._again.ids])
        return seen < len(found) or len(found) == AT_ONCE

    def _look_for_cycle(self, job_id: str, now: float, *, is_possible: bool) -> None:
        """Note a job that can never start because it comes after itself; it stays undecided, also across a restart."""
        if not is_possible or not self._writer.is_in_cycle(job_id, LONGEST_CYCLE):
            self.in_cycles.discard(job_id)
            return
        self._again.set(job_id, now + CYCLE_S)
        if job_id not in self.in_cycles and len(self.in_cycles) < MOST_IN_CYCLES:
            self.in_cycles.add(job_id)
            self._log.warning(
                f"job {job_id} comes after itself, so it cannot start: queuectl show {job_id} action=cycle"
            )

    def _store(self, startable: list[str], waiting: list[str]) -> None:
        """Let jobs start whose parents have ended, and others wait again because a parent has not, or not any more."""
        self._writer.let_start(startable, self._spool.clock.now())
        self._writer.let_wait(waiting)
        for job_id in waiting:
            self._withdraw(job_id)
        for job_id in startable:
            row = self._writer.get(job_id)
            if row is not None and row["ready"] is not None:
                self._offer(row)

    def _settle(self, job_id: str, now: float) -> list[Claim]:
        """Write the verdict of a job that cannot start any more, or is not needed; return it to be moved."""
        claim = self._take(job_id, now)
        if claim is None:
            return []
        try:
            if claim.directory == PENDING and claim.job.parents:
                decision = parents.decide_by_files(self._spool, claim.job)
                if decision.verdict in (Verdict.FAIL, Verdict.SKIP):
                    parents.settle(claim, decision, commit=False)
                    return [claim]
                self._differs(job_id, now)
        except (QueueError, OSError) as error:
            self._put_off(job_id, error, now)
        claim.close()
        return []

    def _commit(self, claims: list[Claim], now: float) -> None:
        """Move the jobs whose verdict was written."""
        failed = commit_group(self._spool, claims)
        for claim in claims:
            if claim in failed:
                self._put_off(claim.job.id, failed[claim], now)
            else:
                self._moved(claim.job)
            claim.close()

    def _revive(self, job_id: str, now: float, verdict: Verdict) -> None:
        """Let a job wait again that died because of a parent, when no parent excludes its start any more."""
        claim = None if verdict is Verdict.FAIL else self._take(job_id, now)
        if claim is None:
            return
        with claim:
            if claim.job.dead_reason != DEPENDENCY_FAILED:
                return
            try:
                if parents.decide_by_files(self._spool, claim.job).verdict is not Verdict.FAIL:
                    claim.revive()
                    self._moved(claim.job)
                else:
                    self._differs(job_id, now)
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

    def _differs(self, job_id: str, now: float) -> None:
        """Decide again soon: a parent has changed, and may be as before when the index reads it, which then sees no change."""
        self._again.set(job_id, now + AGAIN_S)

    def _put_off(self, job_id: str, error: Exception, now: float) -> None:
        self._log.error(f"job {job_id}: its dependencies cannot be decided: {error} action=depend")
        self._again.set(job_id, now + AGAIN_S)
