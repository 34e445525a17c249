"""orphans: jobs in processing/ whose worker has ended. Proves that a run is dead, ends it, settles or requeues the job.

Owns:       the claims of these jobs until they are settled. The list of jobs that a worker of an earlier supervisor
            still runs. The child processes that a dead worker left.
Guarantees: no such job starts again before every process of its run has ended and the job is settled. A command that is
            a child of this process keeps its deadline and gets its true outcome. A run that an earlier supervisor left is
            ended or awaited, and counts as interrupted. A child whose environment does not name its run (a stray) may
            belong to any adopted run: no run is over while there is one. Strays are ended with the last of these runs.
            Without a supervisor, `recover_now` and `reclaim_now` do the same for runs that are dead, and leave those that
            live to the next supervisor.
Source:     prctl(2) PR_SET_CHILD_SUBREAPER; spool/FORMAT.md § Recovery.
"""

from __future__ import annotations

import math
import os
import signal
from typing import TYPE_CHECKING

import psutil

from queuectl.errors import Busy, QueueError
from queuectl.executor import home_watch, process_tree
from queuectl.executor.attempt import CANCELLED, STOPPED, RunningAttempt
from queuectl.executor.environment import run_id
from queuectl.executor.limits import measure
from queuectl.executor.process_tree import Ending
from queuectl.job.events import Event, events_of
from queuectl.job.history import VERDICTS
from queuectl.job.job import PROCESSING
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool.claim import SpoolFull
from queuectl.spool.recovery import Recovered, RecoveryResult, reclaim, recover
from queuectl.worker.settle import PAUSE, note_signal, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from queuectl.job.job import Job
    from queuectl.log import Log
    from queuectl.spool.claim import Claim
    from queuectl.spool.spool import Spool
    from queuectl.supervisor.dispatcher import Dispatcher

    Dead = Mapping[int, tuple[int, Any]]  # pid: wait status, resource usage
    Strays = Callable[["Adopted | None"], list[psutil.Process]]

LOOK_AGAIN_S = 1.0


def processes_of(spool: Spool, job: Job) -> list[psutil.Process]:
    """Return every living process that carries the tag of the job's newest attempt or holds its lock, and their descendants."""
    output, is_locked = spool.layout.output_of(job.id, job.attempts), spool.run_is_locked(job.id, job.attempts)
    return process_tree.find_run(spool.layout.home, run_id(job.id, job.attempts), output, is_locked=is_locked)


def run_is_alive(spool: Spool, job: Job) -> bool:
    """Tell whether a process of the job's newest attempt may still run: its lock is held or its tag is found."""
    return spool.run_is_locked(job.id, job.attempts) or bool(processes_of(spool, job))


class Adopted:
    """A job in processing/ whose run this process did not start.

    Args:
        claim: the job, locked by this process.
        pid: the command, if it is a child of this process; None if its outcome cannot be learned.
        started: monotonic; when the attempt began, for its deadline.
        strays: returns child processes that may belong to this run; called with the run, those that it may end.

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
        self._run: RunningAttempt | None = None
        if pid is not None:
            output = spool.layout.output_of(self.job.id, self.job.attempts)
            self._run = RunningAttempt(
                *(self.job, pid, spool.settings, output, started, self._processes, self._is_alive),
                lambda suspicious_bytes: measure(process_tree.pids_below(pid), suspicious_bytes),
            )
            if self.job.stopped_at is not None:
                stopped_s = max(0.0, spool.clock.now() - self.job.stopped_at)
                self._run.was_stopped(max(started, spool.clock.monotonic() - stopped_s), self.job.stopped_by)
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
        """Its command is a child of this process and has not ended."""
        return self._run is not None and self._run.ended is None

    def _begin_ending(self) -> None:
        if self._ending is None:
            grace = float(self.job.fields.get("kill_after", self._spool.settings.kill_after))
            self._ending = Ending(self._processes, grace, self._spool.clock.monotonic())

    def send(self, number: int, by: str | None, log: Log) -> bool:
        """Send a signal to the run and record it; False when it has ended or is being ended."""
        if self._run is not None:
            sent = self._run.send(number, self._spool.clock.monotonic(), by)
            self.next_step = 0.0
        else:
            found = self._processes() if self._ending is None else []
            sent = sum(process_tree.send_signal(process, signal.Signals(number)) for process in found) > 0
        if sent:
            note_signal(self._claim, number, by, log)
        return sent

    def stop_or_continue(self, *, wanted: bool, log: Log) -> bool:
        """Stop the run, or continue it, as the pauses want; whether anything was done."""
        if wanted and self.job.stopped_at is None:
            return self.send(signal.SIGSTOP, PAUSE, log)
        return not wanted and self.job.stopped_by == PAUSE and self.send(signal.SIGCONT, PAUSE, log)

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
        """Record the wait status of the command."""
        self.next_step = 0.0
        if self._run is not None and self._run.ended is None:
            self._run.command_ended(status, usage)  # type: ignore[arg-type]


class Orphans:
    """Runs without a worker.

    Args:
        emit: called with every event.
        known: returns the pids of all workers and of their commands.
    """

    def __init__(
        self, spool: Spool, dispatch: Dispatcher, emit: Callable[[Event], None], known: Callable[[], set[int]], log: Log
    ) -> None:
        self._spool = spool
        self._log = log
        self._dispatch = dispatch
        self._emit = emit
        self._known = known
        self._left: set[psutil.Process] = set()  # left by jobs with `leftovers: leave`
        self._foreign: set[str] = set()
        self._foreign_at = math.inf
        self.adopted: dict[str, Adopted] = {}

    def recover(self) -> None:
        """Recover the jobs in processing/ after a crash; adopt the runs that still live.

        Child processes that exist already were left by jobs before a restart; they are ignored.
        """
        if process_tree.has_children():
            self._left.update(process_tree.descendants_of(os.getpid()))
        for found in recover(self._spool, self._is_alive):
            self._take(found, None, 0.0, {}, no_strays)

    def reclaim(self, job_id: str, pid: int | None, started: float, dead: Dead) -> None:
        """Take over the job of a worker that died.

        Args:
            pid: its command, if the worker reported it.
            started: monotonic; when the attempt began.
            dead: processes just reaped; the command may be among them.
        """
        found = reclaim(self._spool, job_id, lambda job: pid in dead or self._is_alive(job) or bool(self._strays()))
        self._dispatch.released(job_id)
        self._take(found, pid, started, dead, self._strays)

    def _is_alive(self, job: Job) -> bool:
        return run_is_alive(self._spool, job)

    def ignore_processes(self, pids: Iterable[int]) -> None:
        """Ignore processes that a job with `leftovers: leave` has left, and their descendants, from now on."""
        for pid in pids:
            self._left.update(process_tree.with_descendants(pid))

    def _strays(self, ender: Adopted | None = None) -> list[psutil.Process]:
        """Return orphaned child processes, or those that the run `ender` may end.

        None while the command of another run goes on, because they could belong to it.

        Cost: one pass over /proc.
        """
        known = self._known().union(a.pid for a in self.adopted.values() if a.pid is not None and a.command_runs)
        self._left = {process for process in self._left if process_tree.is_alive(process)}
        strays = [
            process
            for child in process_tree.children_of(os.getpid())
            if child.pid not in known
            and child not in self._left
            and not process_tree.tag_of(child, self._spool.layout.home)
            for process in process_tree.with_descendants(child.pid)
        ]

        if ender is not None and strays:
            others = (adopted for adopted in self.adopted.values() if adopted is not ender)
            if any(other.command_runs for other in others) or process_tree.has_dead_child():  # it may be a worker
                return []
        return strays

    def _take(self, found: Recovered, pid: int | None, started: float, dead: Dead, strays: Strays) -> None:
        job_id = found.job_id
        if found.claim is not None:
            ended = dead.get(pid) if pid is not None else None
            is_child = ended is not None or (pid is not None and self._is_command(pid, found.claim.job))
            adopted = Adopted(self._spool, found.claim, pid if is_child else None, started, strays)
            if ended is not None:
                adopted.command_ended(*ended)
            self.adopted[job_id] = adopted
            self._dispatch.order.assign(job_id)
            self._emit(Event("adopted" if is_child else "orphaned", job_id, "processing", {"pid": pid}))
            self.heed_pauses()
        elif found.result == RecoveryResult.OWNED:
            self._foreign.add(job_id)
            self._foreign_at = self._spool.clock.monotonic() + LOOK_AGAIN_S
        elif found.result == RecoveryResult.REJECTED:
            self._emit(Event("rejected", job_id, details={"detail": found.detail}))
        else:
            self._dispatch.refresh(job_id)
            became = self._what_became(job_id)
            is_told = found.result == RecoveryResult.GONE or became.kind in (*VERDICTS, found.result.value)
            self._emit(became if is_told else Event(found.result.value, job_id, became.state))

    def _what_became(self, job_id: str) -> Event:
        """Return what a worker of an earlier supervisor did with its job, or that the job was removed."""
        try:
            job = self._spool.read(job_id)
        except QueueError:
            return Event("removed", job_id)
        return _last_of(job)

    def _is_command(self, pid: int, job: Job) -> bool:
        """Tell whether a child of this process is the command of a job, and not a worker or a run that got the same pid later."""
        if process_tree.parent_of(pid) != os.getpid() or pid in self._known():
            return False
        return process_tree.tag_of(psutil.Process(pid), self._spool.layout.home) in (None, run_id(job.id, job.attempts))

    @property
    def next_step(self) -> float:
        """The monotonic time at which `step` has something to do."""
        return min([self._foreign_at, *(adopted.next_step for adopted in self.adopted.values())])

    def step(self, now: float) -> None:
        """Do what is due."""
        if now >= self._foreign_at:
            self._check_foreign()
        for job_id, adopted in [*self.adopted.items()]:
            if adopted.next_step <= now:
                adopted.step(now)
            if adopted.event is not None:
                del self.adopted[job_id]
                self._dispatch.released(job_id)
                self._dispatch.put(adopted.job)
                self._emit(_last_of(adopted.job))

    def _check_foreign(self) -> None:
        self._foreign_at = math.inf
        for job_id in [*self._foreign]:
            self._foreign.discard(job_id)
            self._take(reclaim(self._spool, job_id, self._is_alive), None, 0.0, {}, no_strays)

    def reaped(self, dead: Dead) -> None:
        """Record the wait status of commands that have ended."""
        for adopted in self.adopted.values():
            if adopted.pid is not None and adopted.pid in dead:
                adopted.command_ended(*dead[adopted.pid])

    def is_foreign(self, job_id: str) -> bool:
        """Tell whether a worker of an earlier supervisor runs a job."""
        return job_id in self._foreign and self._spool.find(job_id) == PROCESSING

    def signal(self, job_id: str, attempt: int, number: int) -> bool:
        """Send a signal to an adopted run; False if the job has none, or it has ended."""
        adopted = self.adopted.get(job_id)
        if adopted is None or adopted.job.attempts != attempt or not adopted.send(number, None, self._log):
            return False
        self._report_signal(adopted)
        return True

    def heed_pauses(self) -> None:
        """Stop the adopted runs, or continue them, as the pauses want."""
        stopping = self._dispatch.order.stopping
        for adopted in self.adopted.values():
            wanted = not stopping.isdisjoint((ALL_PAUSED, adopted.job.queue))
            if adopted.stop_or_continue(wanted=wanted, log=self._log):
                self._report_signal(adopted)

    def _report_signal(self, adopted: Adopted) -> None:
        self._dispatch.put(adopted.job)
        self._emit(_last_of(adopted.job))

    def cancel(self, job_id: str) -> bool:
        """Cancel an adopted run; False if the job has none."""
        if job_id not in self.adopted:
            return False
        self.adopted[job_id].end(CANCELLED)
        return True

    def stop(self) -> None:
        """End all adopted runs and requeue their jobs."""
        for adopted in self.adopted.values():
            adopted.end(STOPPED)


def _last_of(job: Job) -> Event:
    """Return the last event of a job's history, or that the job was moved when there is none."""
    found = [*events_of(job)] if job.last_event else []
    return found[-1] if found else Event("moved", job.id, job.state)


def no_strays(_ender: Adopted | None = None) -> list[psutil.Process]:
    """Return no process: what an earlier supervisor left does not become a child of this one."""
    return []


def reclaim_now(spool: Spool, job_id: str) -> str:
    """Recover a job whose worker has ended and return what was found (see recovery.Recovered).

    Raises:
        Busy: its command still runs; a supervisor has to adopt or end it.
    """
    found = reclaim(spool, job_id, lambda job: run_is_alive(spool, job))
    if found.claim is not None:
        found.claim.close()
        raise Busy(f"job {job_id} still runs, without a supervisor", "start one: queuectl worker start")
    spool.note_change(job_id)
    return found.result.value


def recover_now(spool: Spool) -> Iterator[Recovered]:
    """Recover all of processing/ and yield what was found, with closed claims."""
    for found in recover(spool, lambda job: run_is_alive(spool, job)):
        if found.claim is not None:
            found.claim.close()
        if found.result != RecoveryResult.OWNED:
            spool.note_change(found.job_id)
        yield found
