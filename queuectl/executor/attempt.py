"""attempt: one attempt from its first process to its last, as a small state machine.

Owns:       the deadline, the reasons to end an attempt early, and the end of the processes that it leaves.
Guarantees: it is over only when the command has ended and, except with `leftovers: leave`, every process it started.
"""

from __future__ import annotations

import math
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING

from queuectl.executor.local import Ended, outcome_of, size_of
from queuectl.executor.process_tree import Ending
from queuectl.job.outcome import OutputLimit, TimedOut, Usage, succeeded

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable

    from queuectl.config.settings import Settings
    from queuectl.executor.process_tree import Find
    from queuectl.job.job import Job
    from queuectl.job.outcome import Outcome

OUTPUT_CHECK_S = 1.0
FIRST_OUTPUT_CHECK_S = 1.0
NEVER = math.inf

CANCELLED, STOPPED = "cancelled", "stopped"


class RunningAttempt:
    """A running attempt.

    Args:
        job: as claimed; its newest attempt is this one.
        pid: the command, a child of this process.
        now: monotonic seconds, as everywhere here.
        find: returns every living process of the run.
        has_leftovers: returns, once the command has ended, whether a process of the run is alive.

    Attributes:
        cause: why it was ended early: cancelled, stopped, or None.
        ended: how the command ended, once it has.
        is_over: all its processes have ended, or those left may stay (then `left_behind` is true).
    """

    def __init__(
        self,
        job: Job,
        pid: int,
        settings: Settings,
        output_path: str,
        now: float,
        find: Find,
        has_leftovers: Callable[[], bool],
    ) -> None:
        self.job = job
        self.pid = pid
        self.started = now
        self.cause: str | None = None
        self.ended: Ended | None = None
        self.is_over = False
        self.left_behind = False
        self._output_path = output_path
        self._find = find
        self._has_leftovers = has_leftovers
        self._timeout_s = float(job.fields.get("timeout", settings.timeout))
        self._kill_after_s = float(job.fields.get("kill_after", settings.kill_after))
        self._leave = job.fields.get("leftovers", settings.leftovers) == "leave"
        self._max_output = int(settings.max_output)
        self._deadline = now + self._timeout_s if self._timeout_s else NEVER
        self._next_check = now + FIRST_OUTPUT_CHECK_S
        self._ending: Ending | None = None
        self._ends_leftovers = False
        self._early: Outcome | None = None

    def end(self, cause: str, now: float, *, at_once: bool = False) -> None:
        """End the attempt because of `cause` (cancelled or stopped); `at_once` omits the grace period.

        A command that has ended by itself keeps its outcome; then only the processes that it left are ended.
        """
        if self.ended is None:
            self.cause = self.cause or cause
        ending = self._begin_ending(now)
        if at_once:
            ending.hasten(now)

    def _begin_ending(self, now: float) -> Ending:
        if self._ending is None:
            self._ending = Ending(self._find, self._kill_after_s, now)
            self._ends_leftovers = self.ended is not None
        return self._ending

    def _finish(self) -> float:
        self.is_over = True
        if self.ended is not None and self._ending is not None and self._ends_leftovers:
            leftovers = tuple((process.pid, command) for process, command in self._ending.signalled.items())
            self.ended = self.ended._replace(leftovers=leftovers)
        return NEVER

    def command_ended(self, status: int, usage: resource.struct_rusage) -> None:
        """Record the wait status of the command."""
        used = Usage(usage.ru_utime + usage.ru_stime, peak_memory(usage))
        outcome = self._early or outcome_of(status)
        if self._early is None and size_of(self._output_path) > self._max_output:  # before the next check of its size
            outcome = OutputLimit(self._max_output)
        self.ended = Ended(outcome, used)

    def step(self, now: float) -> float:
        """Do what is due; return when to call again (also when a child ends). `is_over` may become true."""
        if self.ended is None:
            return self._step_running(now)
        if self._leave and self.cause is None and succeeded(self.ended.outcome):
            self.left_behind = self._has_leftovers()
            return self._finish()
        if not self._has_leftovers():
            return self._finish()
        return self._step_ending(now)

    def _step_ending(self, now: float) -> float:
        again = self._begin_ending(now).step(now)
        if again is None:
            if self.ended is not None and not self._has_leftovers():
                return self._finish()
            return now + OUTPUT_CHECK_S
        return again

    def _step_running(self, now: float) -> float:
        if self._ending is None and now >= self._deadline:
            self._early = TimedOut(self._timeout_s)
            self._begin_ending(now)
        if self._ending is None and now >= self._next_check:
            self._next_check = now + OUTPUT_CHECK_S
            if size_of(self._output_path) > self._max_output:
                self._early = OutputLimit(self._max_output)
                self._begin_ending(now).hasten(now)
        if self._ending is not None:
            return self._step_ending(now)
        return min(self._deadline, self._next_check)


def peak_memory(usage: resource.struct_rusage) -> int | None:
    """Return the peak resident bytes of a command; None if they cannot be distinguished from those of this process.

    A spawned process counts its parent's memory until it has executed the new program, so the kernel never reports
    less than this process uses.
    """
    ours = getrusage(RUSAGE_SELF).ru_maxrss
    return usage.ru_maxrss * 1024 if usage.ru_maxrss > ours else None
