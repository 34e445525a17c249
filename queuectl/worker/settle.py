"""settlement: turns the end of an attempt into the job's next state.

Guarantees: the only place where an outcome meets the retry rules; worker and supervisor settle alike.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from queuectl.errors import assert_never
from queuectl.executor.attempt import CANCELLED, STOPPED
from queuectl.executor.local import last_lines
from queuectl.job.outcome import FailedToStart, describe, entry_details, leftovers_details, succeeded
from queuectl.job.retry import MAX_STOPS, STOPPED_BY_WORKER, Bury, Finish, RetryAt, SnoozeUntil, stops_in_a_row, verdict

if TYPE_CHECKING:
    from queuectl.executor.local import Ended
    from queuectl.job.outcome import Outcome
    from queuectl.spool.claim import Claim
    from queuectl.spool.spool import Spool


def settle(spool: Spool, claim: Claim, ended: Ended, cause: str | None) -> str:
    """Write and file what became of the job's newest attempt.

    Args:
        cause: cancelled or stopped, when we ended it on somebody's order; else None.

    Returns:
        The kind of event, as in the history.

    Raises:
        SpoolFull: a verdict that leads back to pending/ cannot be written; the claim stands, call again.
    """
    job, now = claim.job, spool.clock.now()
    details = entry_details(ended.outcome, ended.usage)
    if ended.leftovers:
        details["leftovers"] = leftovers_details(ended.leftovers)
    if cause == CANCELLED:
        return claim.cancel(details)
    if cause == STOPPED:
        if stops_in_a_row(job.history) + 1 >= MAX_STOPS:
            error = (
                f"its worker was stopped while it ran, {MAX_STOPS} times in a row; perhaps it stops the queue itself"
            )
            return claim.bury("interrupted", {"error": error})
        return claim.reschedule("requeued", now, STOPPED_BY_WORKER)
    if not succeeded(ended.outcome):
        details["error"] = _error(spool, claim, ended.outcome)
    decided = verdict(job.fields, job.failures, job.snoozes, ended.outcome, spool.settings, now, random.random())
    if isinstance(decided, Finish):
        return claim.finish(details)
    if isinstance(decided, Bury):
        return claim.bury(decided.reason, details)
    if isinstance(decided, RetryAt):
        return claim.reschedule("failed", decided.run_at, details)
    if isinstance(decided, SnoozeUntil):
        return claim.reschedule("snoozed", decided.run_at, details)
    assert_never(decided)


def _error(spool: Spool, claim: Claim, outcome: Outcome) -> str:
    words = last_lines(spool.layout.output_of(claim.job.id, claim.job.attempts))
    if isinstance(outcome, FailedToStart):
        return describe(outcome)
    if words and "exit code" in describe(outcome):
        return words
    return f"{describe(outcome)}\n{words}".rstrip()
