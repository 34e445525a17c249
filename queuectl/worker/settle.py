"""settle: what becomes of a job after its attempt has ended, and when this is written.

Owns:       the attempts of a worker that have ended, until their jobs are settled.
Guarantees: the only place where an outcome meets the retry rules; worker and supervisor settle alike. A verdict is written
            as soon as the next command has been started, or at once when there is none. What the disk refuses is tried again
            every RETRY_S; until then the worker keeps job and lock and takes no other job.

Group commit: the verdicts of attempts shorter than SHORT_RUN_S are synced together, up to TOGETHER of them.
One sync for several files costs the disk less than one sync for each.
No verdict waits longer than HOLD_S, and none waits when the worker has no other job to run.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from queuectl.errors import assert_never
from queuectl.executor import home_watch
from queuectl.executor.attempt import CANCELLED, STOPPED
from queuectl.executor.local import last_lines
from queuectl.index.rows import row_of
from queuectl.job.outcome import (
    FailedToStart,
    describe,
    describe_leftovers,
    entry_details,
    leftovers_details,
    signal_name,
    succeeded,
)
from queuectl.job.retry import (
    MAX_STOPS,
    STOPPED_BY_WORKER,
    Finish,
    MoveToDead,
    RetryAt,
    SnoozeUntil,
    stops_in_a_row,
    verdict,
)
from queuectl.spool.claim import Replaced, SpoolFull
from queuectl.spool.group_commit import commit_group
from queuectl.spool.intake import RefusalReason
from queuectl.timers import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.executor.local import Ended
    from queuectl.job.outcome import Outcome
    from queuectl.log import Log
    from queuectl.spool.claim import Claim
    from queuectl.spool.spool import Spool

PAUSE = "pause"  # the reason of a signal that a pause sends
RETRY_S = 1.0
HOLD_S = 0.02
TOGETHER = 16
KEEP = "; --leftovers leave keeps such processes"
EXPECTED = frozenset(("completed", "cancelled", "requeued", "snoozed"))


def settle(spool: Spool, claim: Claim, ended: Ended, cause: str | None, *, commit: bool = True) -> str:
    """Write the verdict on the job's newest attempt and move the job accordingly.

    Args:
        cause: cancelled or stopped, if the attempt was ended on request; else None.

    Returns:
        The kind of event, as in the history.

    Raises:
        SpoolFull: a verdict that leads back to pending/ cannot be written; the claim is kept, call again.
    """
    job, now = claim.job, spool.clock.now()
    details = entry_details(ended.outcome, ended.usage)
    if ended.leftovers:
        details["leftovers"] = leftovers_details(ended.leftovers)
    if cause == CANCELLED:
        return claim.cancel(details, commit=commit)
    if cause == STOPPED:
        if stops_in_a_row(job.history) + 1 >= MAX_STOPS:
            error = (
                f"its worker was stopped while it ran, {MAX_STOPS} times in a row; perhaps it stops the queue itself"
            )
            return claim.move_to_dead("interrupted", {"error": error}, commit=commit)
        return claim.reschedule("requeued", now, STOPPED_BY_WORKER, commit=commit)
    if not succeeded(ended.outcome):
        details["error"] = _error(spool, claim, ended.outcome)
    decided = verdict(job.fields, job.failures, job.snoozes, ended.outcome, spool.settings, now, random.random())
    if isinstance(decided, Finish):
        return claim.finish(details, commit=commit)
    if isinstance(decided, MoveToDead):
        return claim.move_to_dead(decided.reason, details, commit=commit)
    if isinstance(decided, RetryAt):
        return claim.reschedule("failed", decided.run_at, details, commit=commit)
    if isinstance(decided, SnoozeUntil):
        return claim.reschedule("snoozed", decided.run_at, details, commit=commit)
    assert_never(decided)


def note_signal(claim: Claim, number: int, reason: str | None, log: Log) -> None:
    """Write into the history that the running command was sent a signal; without it, it was sent all the same."""
    try:
        claim.note_signal(signal_name(number), reason)
    except (Replaced, SpoolFull, OSError) as error:
        log.error(f"job {claim.job.id}: its history lacks {signal_name(number)}: {error} action=signal")


def _error(spool: Spool, claim: Claim, outcome: Outcome) -> str:
    lines = last_lines(spool.layout.output_of(claim.job.id, claim.job.attempts))
    if isinstance(outcome, FailedToStart):
        return describe(outcome)
    if lines and "exit code" in describe(outcome):
        return lines
    return f"{describe(outcome)}\n{lines}".rstrip()


class FinishedAttempt:
    """An attempt that has ended.

    Attributes:
        ended: None when it could not be started.
        took_s: how long it ran.
        is_short: its start has not been reported.
        left: pids of the processes that it left and that are not ended (`leftovers: leave`).
        event: the verdict once it is written, None until then.
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
    """Settles the attempts of a worker that have ended.

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
        """An attempt is not settled yet."""
        return bool(self._finished)

    @property
    def next_step(self) -> float:
        """The monotonic time at which `step` has something to do."""
        return max(self._hold_until, self._retry_at) if self._finished else NEVER

    def is_blocked(self, now: float) -> bool:
        """Tell whether the disk refuses a verdict, so that no other job may start."""
        return bool(self._finished) and now < self._retry_at

    def add(self, finished: FinishedAttempt, now: float) -> None:
        """Add an attempt that has ended; `now` is monotonic."""
        if not self._finished:
            self._hold_until = now + HOLD_S
        if not finished.is_short:
            self._hold_until = now
        self._finished.append(finished)

    def step(self, now: float, *, is_running: bool) -> None:
        """Write the verdicts, and move the jobs unless they may wait for others (group commit).

        Args:
            is_running: the next command has been started.
        """
        if not self._finished or now < self._retry_at:
            return
        self._retry_at = -NEVER
        for finished in [*self._finished]:
            if finished.event is None:
                self._write(finished)
        if is_running and len(self._finished) < TOGETHER and now < self._hold_until:
            return
        written = {finished.claim: finished for finished in self._finished if finished.event is not None}
        failed = commit_group(self._spool, written)
        for claim, finished in written.items():
            if claim in failed:
                self._failed(finished, failed[claim])
            else:
                self._settled(finished)

    def _write(self, finished: FinishedAttempt) -> None:
        try:
            if finished.ended is None:
                again_at = self._spool.clock.now() + 1
                finished.event = finished.claim.reschedule(
                    "requeued", again_at, {"reason": "could not be started"}, commit=False
                )
            else:
                finished.event = settle(self._spool, finished.claim, finished.ended, finished.cause, commit=False)
        except (Replaced, SpoolFull, OSError) as error:
            self._failed(finished, error)

    def _failed(self, finished: FinishedAttempt, error: Exception) -> None:
        """Try again in RETRY_S (the disk is full), or give up a job that can no longer be settled."""
        job_id = finished.claim.job.id
        if isinstance(
            error, Replaced
        ):  # another program replaced the locked file; the file there now is not the claimed one
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
        entry = job.history[-1] if job.history else {}
        said = {"say": "settled", "id": job.id, "event": event, "row": row, "entry": entry}
        leftovers = entry.get("leftovers")
        self._send({**said, "left": finished.left, "took_s": finished.took_s, "is_short": finished.is_short})
        log = self._log.info if event in EXPECTED else self._log.warning
        log(f"job {job.id} attempt {job.attempts} {event} {how} action={event}")
        if leftovers:
            words = describe_leftovers(leftovers) + (KEEP if event == "completed" else "")
            self._log.warning(
                f"job {job.id} attempt {job.attempts} left processes running, which were ended: {words} action=end"
            )

    def _close(self, finished: FinishedAttempt) -> None:
        finished.claim.close()
        self._finished.remove(finished)

    def _give_up(self, finished: FinishedAttempt, why: str) -> None:
        job_id = finished.claim.job.id
        self._log.error(f"job {job_id} cannot be settled: {why} action=settle")
        self._close(finished)
        self._send({"say": "notnow", "id": job_id, "reason": RefusalReason.GONE.value, "again_s": None, "detail": why})
