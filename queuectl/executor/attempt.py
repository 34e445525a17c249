"""attempt: one attempt from its first process to its last, as a small state machine.

Owns:       the deadline, on a clock that stands while the attempt is stopped (SIGSTOP); the reasons to end an attempt
            early, and the end of the processes that it leaves.
Guarantees: it is over only when the command has ended and, except with `leftovers: leave`, every process it started.
"""

from __future__ import annotations

import math
import signal
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING

from queuectl.executor.limits import limits_of, processes_killed_for_memory
from queuectl.executor.local import Ended, outcome_of, size_of
from queuectl.executor.process_tree import Ending, signal_group, stop_or_continue, was_continued
from queuectl.job.outcome import CpuLimit, MemoryLimit, OutputLimit, Signaled, TimedOut, Usage, succeeded

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable

    from queuectl.config.settings import Settings
    from queuectl.executor.limits import Used
    from queuectl.executor.process_tree import Find
    from queuectl.job.job import Job
    from queuectl.job.outcome import Outcome

OUTPUT_CHECK_S = 1.0
FIRST_OUTPUT_CHECK_S = 1.0
MEASURE_S = 0.2  # between two measurements of an attempt with limits: some 0.2 ms each for five processes
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
        measure: returns what the processes of the run use; told above how many bytes it has to be exact.

    Attributes:
        cause: why it was ended early: cancelled, stopped, or None.
        ended: how the command ended, once it has.
        is_over: all its processes have ended, or those left may stay (then `left_behind` is true).
        stopped_since: while it is stopped: since when, monotonic.
        stopped_by: what stopped it: a pause, or None for a person.
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
        measure: Callable[[float], Used],
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
        self._measure = measure
        limits = limits_of(job.fields)
        self._memory_bytes, self._cpu_s = limits.memory_bytes or NEVER, limits.cpu_s or NEVER
        self._next_measurement = now if min(self._memory_bytes, self._cpu_s) < NEVER else NEVER
        self._killed_before: int | None = None  # processes of this machine, for want of memory
        self._timeout_s = float(job.fields.get("timeout", settings.timeout))
        self._kill_after_s = float(job.fields.get("kill_after", settings.kill_after))
        self._leave = job.fields.get("leftovers", settings.leftovers) == "leave"
        self._max_output = int(settings.max_output)
        self.stopped_since: float | None = None
        self.stopped_by: str | None = None
        self._deadline = now + self._timeout_s + job.stopped_s if self._timeout_s else NEVER
        self._next_check = now + FIRST_OUTPUT_CHECK_S
        self._ending: Ending | None = None
        self._ends_leftovers = False
        self._early: Outcome | None = None

    def send(self, number: int, now: float, by: str | None = None) -> bool:
        """Send a signal to the process group of the command, SIGSTOP and SIGCONT to every process of the run.

        Returns:
            False when the command has ended, or is being ended.
        """
        if number == signal.SIGSTOP:
            was_continued(self.pid)  # before this stop, which does not count
        if self.ended is not None or self._ending is not None or not signal_group(self.pid, number):
            return False
        if number in (signal.SIGSTOP, signal.SIGCONT):
            stop_or_continue(self._find, number)
        if number == signal.SIGSTOP and self.stopped_since is None:
            self.was_stopped(now, by)
        elif number == signal.SIGCONT:
            self._continued(now)
        return True

    def notice_continued(self, now: float) -> bool:
        """Take note that another program has continued the command, so that its time passes again; False when none has."""
        is_over = self.ended is not None or self._ending is not None  # which continues it, so that it acts on SIGTERM
        if is_over or self.stopped_since is None or not was_continued(self.pid):
            return False
        self._continued(now)
        return True

    def _continued(self, now: float) -> None:
        if self.stopped_since is not None:
            self._deadline += now - self.stopped_since
            self.stopped_since = self.stopped_by = None

    def was_stopped(self, since: float, by: str | None) -> None:
        """Record that its processes are stopped."""
        self.stopped_since, self.stopped_by = since, by

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
        if self._early is None and not succeeded(outcome):
            outcome = self._explained(outcome, used)
        self.ended = Ended(outcome, used)

    def _explained(self, outcome: Outcome, used: Usage) -> Outcome:
        """Return the outcome of a command that failed by itself; the kernel may have ended it because of a limit."""
        has_cpu_limit = self._cpu_s < NEVER
        if used.cpu_s >= self._cpu_s or (has_cpu_limit and outcome == Signaled(signal.SIGXCPU)):
            return CpuLimit(self._cpu_s)
        if not isinstance(outcome, Signaled) or outcome.number != signal.SIGKILL:
            return outcome
        if used.max_rss_bytes is not None and used.max_rss_bytes > self._memory_bytes:
            return MemoryLimit(used.max_rss_bytes, int(self._memory_bytes))
        killed = processes_killed_for_memory() if self._killed_before is not None else None
        was_short = killed is not None and killed != self._killed_before
        return Signaled(outcome.number, memory_was_short=was_short)

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
        if self._ending is None and self.stopped_since is not None:
            return NEVER  # its time does not pass, and it writes nothing
        if self._ending is None and now >= self._deadline:
            self._early = TimedOut(self._timeout_s)
            self._begin_ending(now)
        if self._ending is None and now >= self._next_check:
            self._next_check = now + OUTPUT_CHECK_S
            if self._killed_before is None:
                self._killed_before = processes_killed_for_memory()
            if size_of(self._output_path) > self._max_output:
                self._early = OutputLimit(self._max_output)
                self._begin_ending(now).hasten(now)
        if self._ending is None and now >= self._next_measurement:
            self._next_measurement = now + MEASURE_S
            self._check_limits(now)
        if self._ending is not None:
            return self._step_ending(now)
        return min(self._deadline, self._next_check, self._next_measurement)

    def _check_limits(self, now: float) -> None:
        used = self._measure(self._memory_bytes)
        if used.memory_bytes > self._memory_bytes:
            self._early = MemoryLimit(used.memory_bytes, int(self._memory_bytes))
            self._begin_ending(now).hasten(now)
        elif used.cpu_s >= self._cpu_s:
            self._early = CpuLimit(self._cpu_s)
            self._begin_ending(now)


def peak_memory(usage: resource.struct_rusage) -> int | None:
    """Return the peak resident bytes of a command; None if they cannot be distinguished from those of this process.

    A spawned process counts its parent's memory until it has executed the new program, so the kernel never reports
    less than this process uses.
    """
    ours = getrusage(RUSAGE_SELF).ru_maxrss
    return usage.ru_maxrss * 1024 if usage.ru_maxrss > ours else None
