"""retry: decides what happens to a job after an attempt. The only place where a retry delay is computed.

Guarantees: pure; a job runs at most 1 + max_retries times between two revivals, not counting interruptions, snoozes and stops;
            each of these has a limit in a row.
"""

from __future__ import annotations

from queuectl.job.outcome import NOT_FOUND, Exited, FailedToStart, succeeded
from queuectl.job.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from queuectl.config.settings import Settings
    from queuectl.job.outcome import Outcome

MAX_SNOOZES = 100  # in a row; then the exit code counts as a failure, so that no job waits for ever
MAX_STOPS = 100  # in a row; a job that stops its own supervisor, whichever way, would be put back for ever
STOPPED_BY_WORKER = {"reason": "worker stopped"}


class Finish(Value):
    """The job is completed."""

    __slots__ = ()


class RetryAt(Value):
    """Run it again, not before this instant."""

    __slots__ = ("run_at",)

    def __init__(self, run_at: float) -> None:
        self.run_at = run_at


class SnoozeUntil(Value):
    """The command asked to be run later; this costs no retry."""

    __slots__ = ("run_at",)

    def __init__(self, run_at: float) -> None:
        self.run_at = run_at


class MoveToDead(Value):
    """Into the dead letter queue, for this reason."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


Verdict = Finish | RetryAt | SnoozeUntil | MoveToDead


def verdict(
    fields: Mapping[str, Any],
    failures: int,
    snoozes: int,
    outcome: Outcome,
    settings: Settings,
    now: float,
    chance: float,
) -> Verdict:
    """Decide what becomes of a job.

    A program that does not exist is not looked for again, unless the job itself says how often it is to be tried.

    Args:
        fields: what the job says of itself; what it leaves open comes from `settings`.
        failures: failed attempts since the last revival, this one not counted.
        snoozes: snoozes in a row before this attempt.
        now: wall time, seconds since 1970.
        chance: a random number in [0, 1), for jitter.
    """
    if succeeded(outcome):
        return Finish()
    if isinstance(outcome, Exited):
        if outcome.code == settings.snooze_exit_code and snoozes < MAX_SNOOZES:
            return SnoozeUntil(now + settings.snooze_delay)
        if outcome.code in settings.permanent_exit_codes:
            return MoveToDead("permanent_exit")
    has_no_program = (
        isinstance(outcome, FailedToStart) and outcome.code == NOT_FOUND and ("argv" in fields or "shell" in fields)
    )
    if has_no_program and "max_retries" not in fields:
        return MoveToDead("program_not_found")
    if failures >= fields.get("max_retries", settings.max_retries_default):
        return MoveToDead("retries_exhausted")
    return RetryAt(now + delay_s(fields, failures + 1, settings, chance))


def stops_in_a_row(history: Sequence[Mapping[str, Any]]) -> int:
    """Return how many of the last attempts were put back because their worker was stopped, with nothing in between."""
    count = 0
    for entry in reversed(history):
        if entry["event"] == "requeued" and entry.get("reason") == STOPPED_BY_WORKER["reason"]:
            count += 1
        elif entry["event"] not in ("started", "signalled"):
            break
    return count


def delay_s(fields: Mapping[str, Any], failures: int, settings: Settings, chance: float) -> float:
    """Return the seconds to wait after failed attempt number `failures` (1, 2, 3 ...).

    `backoff_base ** failures`, at most `backoff_max`, spread by ± `backoff_jitter` of itself.
    """
    base = float(fields.get("backoff_base", settings.backoff_base))
    longest = float(fields.get("backoff_max", settings.backoff_max))
    try:
        delay = min(base**failures, longest)
    except OverflowError:
        delay = longest
    jitter = float(fields.get("backoff_jitter", settings.backoff_jitter))
    return float(min(delay * (1 + jitter * (2 * chance - 1)), longest))
