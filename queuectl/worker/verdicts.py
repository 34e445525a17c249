"""verdicts: the runs of a worker that have ended, until their jobs are settled.

Owns:       when a verdict is written, when it is carried out, and what is said of it.
Guarantees: a verdict is written as soon as the next command has been started, or at once when there is none. Those of
            short runs are carried out together, for what is synced together costs the disk less; none waits for the
            others for longer than HOLD_S, nor when the worker has nothing else to run. What the disk refuses is tried
            again every RETRY_S; until then the worker keeps job and lock and takes no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.executor import home_watch
from queuectl.index.rows import row_of
from queuectl.job.outcome import describe, describe_leftovers
from queuectl.spool.claim import Replaced, SpoolFull
from queuectl.spool.group_commit import file_together
from queuectl.timers import NEVER
from queuectl.worker.settle import settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.executor.local import Ended
    from queuectl.log import Log
    from queuectl.spool.claim import Claim
    from queuectl.spool.spool import Spool

RETRY_S = 1.0
HOLD_S = 0.02
TOGETHER = 8
KEEP = "; --leftovers leave keeps such processes"
EXPECTED = frozenset(("completed", "cancelled", "requeued", "snoozed"))


class FinishedAttempt:
    """A run that has ended.

    Attributes:
        ended: None when it could not be started.
        took_s: how long it ran.
        is_short: its start has not been said.
        left: processes that it left and that may stay.
        event: the verdict that is written, None until then.
    """

    __slots__ = ("cause", "claim", "ended", "event", "is_short", "left", "took_s")

    def __init__(
        self,
        claim: Claim,
        ended: Ended | None,
        cause: str | None = None,
        took_s: float = 0.0,
        *,
        is_short: bool = False,
        left: list[int] | None = None,
    ) -> None:
        self.claim = claim
        self.ended = ended
        self.cause = cause
        self.took_s = took_s
        self.is_short = is_short
        self.left = left or []
        self.event: str | None = None


class Verdicts:
    """Settles what has ended.

    Args:
        send: sends a report to the supervisor.
    """

    def __init__(self, spool: Spool, log: Log, send: Callable[[dict[str, Any]], None]) -> None:
        self._spool = spool
        self._log = log
        self._send = send
        self._finished: list[FinishedAttempt] = []
        self._hold_until = 0.0
        self._retry_at = -NEVER

    def __bool__(self) -> bool:
        """Something is not settled yet."""
        return bool(self._finished)

    @property
    def next_step(self) -> float:
        """The monotonic time at which `step` has something to do."""
        return max(self._hold_until, self._retry_at) if self._finished else NEVER

    def is_blocked(self, now: float) -> bool:
        """Tell whether the disk refuses a verdict, so that nothing else may be started."""
        return bool(self._finished) and now < self._retry_at

    def add(self, finished: FinishedAttempt, now: float) -> None:
        """A run has ended; `now` is monotonic."""
        finished.claim.is_filed_later = True
        if not self._finished:
            self._hold_until = now + HOLD_S
        self._finished.append(finished)

    def step(self, now: float, *, is_running: bool) -> None:
        """Write the verdicts, and carry them out unless they may wait for others.

        Args:
            is_running: the next command has been started.
        """
        if not self._finished or now < self._retry_at:
            return
        self._retry_at = -NEVER
        for finished in [*self._finished]:
            if finished.event is None:
                self._write(finished)
        may_wait = is_running and len(self._finished) < TOGETHER and now < self._hold_until
        if may_wait and all(finished.is_short for finished in self._finished):
            return
        written = {finished.claim: finished for finished in self._finished if finished.event is not None}
        failed = file_together(self._spool, written)
        for claim, finished in written.items():
            if claim in failed:
                self._failed(finished, failed[claim])
            else:
                self._settled(finished)

    def _write(self, finished: FinishedAttempt) -> None:
        try:
            if finished.ended is None:
                again_at = self._spool.clock.now() + 1
                finished.event = finished.claim.reschedule("requeued", again_at, {"reason": "could not be started"})
            else:
                finished.event = settle(self._spool, finished.claim, finished.ended, finished.cause)
        except (Replaced, SpoolFull, OSError) as error:
            self._failed(finished, error)

    def _failed(self, finished: FinishedAttempt, error: Exception) -> None:
        """Try again in a second (the disk is full), or let go of a job that cannot be settled any more."""
        job_id = finished.claim.job.id
        if isinstance(error, Replaced):  # somebody took the file from under the lock; what lies there now is not ours
            self._give_up(finished, str(error))
        elif not home_watch.exists(self._spool.layout):
            self._give_up(finished, "its home was removed")
        else:
            if not isinstance(error, SpoolFull):
                self._log.error(f"cannot settle job {job_id}: {error!r} action=settle")
            self._retry_at = self._spool.clock.monotonic() + RETRY_S
            self._send({"say": "full", "id": job_id, "detail": str(error)})

    def _settled(self, finished: FinishedAttempt) -> None:
        job, event = finished.claim.job, finished.event
        row = row_of(job, finished.claim.status())
        self._close(finished)
        how = describe(finished.ended.outcome) if finished.ended is not None else ""
        said = {"say": "settled", "id": job.id, "event": event, "row": row, "how": how}
        leftovers = job.history[-1].get("leftovers") if job.history else None
        if leftovers:
            said["leftovers"] = leftovers
        self._send({**said, "left": finished.left, "took_s": finished.took_s, "is_short": finished.is_short})
        log = self._log.info if event in EXPECTED else self._log.warning
        log(f"job {job.id} attempt {job.attempts} {event} {how} action={event}")
        if leftovers:
            words = describe_leftovers(leftovers) + (KEEP if event == "completed" else "")
            self._log.warning(f"job {job.id} attempt {job.attempts} left running, and we ended, {words} action=end")

    def _close(self, finished: FinishedAttempt) -> None:
        finished.claim.close()
        self._finished.remove(finished)

    def _give_up(self, finished: FinishedAttempt, why: str) -> None:
        job_id = finished.claim.job.id
        self._log.error(f"job {job_id} cannot be settled: {why} action=settle")
        self._close(finished)
        self._send({"say": "notnow", "id": job_id, "reason": "gone", "again_s": None, "detail": why})
