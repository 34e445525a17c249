"""orphans: jobs in processing/ whose worker has gone, until somebody may run them again.

Owns:       the adopted runs, the jobs that a worker of an earlier supervisor still finishes, and strays: children of ours
            that a dead worker has left and whose environment does not say to which run they belong.
Guarantees: none of these jobs is dispatched before its run is proved dead and the job settled. Strays are ended with the
            last adopted run whose they may be, and no such run is over before.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import psutil

from queuectl.errors import QueueError
from queuectl.executor import process_identity, process_tree
from queuectl.executor.attempt import CANCELLED, STOPPED
from queuectl.executor.environment import run_id
from queuectl.job.events import Event
from queuectl.job.history import last_event
from queuectl.job.job import PROCESSING
from queuectl.spool.recovery import Found, reclaim, recover
from queuectl.supervisor.adoption import Adopted, run_is_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from queuectl.job.job import Job
    from queuectl.spool.spool import Spool
    from queuectl.supervisor.adoption import Strays
    from queuectl.supervisor.dispatcher import Dispatcher

    Dead = Mapping[int, tuple[int, Any]]  # pid: wait status, resource usage

LOOK_AGAIN_S = 1.0


class Orphans:
    """Runs without a worker.

    Args:
        emit: called with every event.
        known: returns the pids of all workers and of their commands.
    """

    def __init__(
        self, spool: Spool, dispatch: Dispatcher, emit: Callable[[Event], None], known: Callable[[], set[int]]
    ) -> None:
        self._spool = spool
        self._dispatch = dispatch
        self._emit = emit
        self._known = known
        self._left: set[psutil.Process] = set()  # that jobs with `leftovers: leave` left
        self._foreign: set[str] = set()
        self._foreign_at = math.inf
        self.adopted: dict[str, Adopted] = {}

    def recover(self) -> None:
        """Repair what a crash left in processing/; runs that still live are adopted.

        Children that we have already are what jobs left before a restart: they may stay.
        """
        if process_identity.has_children():
            self._left.update(process_tree.descendants_of(os.getpid()))
        for found in recover(self._spool, self._is_alive):
            self._take(found, None, 0.0, {}, no_strays)

    def reclaim(self, job_id: str, pid: int | None, started: float, dead: Dead) -> None:
        """Take over the job of a worker that died.

        Args:
            pid: its command, as far as the worker had said.
            started: monotonic; when the attempt began.
            dead: processes just reaped; the command may be among them.
        """
        found = reclaim(self._spool, job_id, lambda job: pid in dead or self._is_alive(job) or bool(self._strays()))
        self._dispatch.released(job_id)
        self._take(found, pid, started, dead, self._strays)

    def _is_alive(self, job: Job) -> bool:
        return run_is_alive(self._spool, job)

    def ignore_processes(self, pids: Iterable[int]) -> None:
        """A job with `leftovers: leave` has left these; they are nobody's from now on."""
        for pid in pids:
            self._left.update(process_tree.with_descendants(pid))

    def _strays(self, ender: Adopted | None = None) -> list[psutil.Process]:
        """Return the strays, or those that a run may end: none while the command of another goes on, whose they may be.

        Cost: one pass over /proc.
        """
        known = self._known().union(a.pid for a in self.adopted.values() if a.pid is not None and a.command_runs)
        self._left = {process for process in self._left if process_identity.is_alive(process)}
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
            if any(other.command_runs for other in others) or process_identity.has_dead_child():  # perhaps a worker
                return []
        return strays

    def _take(self, found: Found, pid: int | None, started: float, dead: Dead, strays: Strays) -> None:
        job_id = found.job_id
        if found.claim is not None:
            ended = dead.get(pid) if pid is not None else None
            is_child = ended is not None or (pid is not None and self._is_command(pid, found.claim.job))
            adopted = Adopted(self._spool, found.claim, pid if is_child else None, started, strays)
            if ended is not None:
                adopted.command_ended(*ended)
            self.adopted[job_id] = adopted
            self._dispatch.assigned.add(job_id)
            self._emit(Event("adopted" if is_child else "orphaned", job_id, "processing", {"pid": pid}))
        elif found.result == "owned":
            self._foreign.add(job_id)
            self._foreign_at = self._spool.clock.monotonic() + LOOK_AGAIN_S
        elif found.result == "rejected":
            self._emit(Event("rejected", job_id, details={"detail": found.detail}))
        else:
            self._dispatch.refresh(job_id)
            state = found.job.state if found.job is not None else ""
            self._emit(self._what_became(job_id) if found.result == "gone" else Event(found.result, job_id, state))

    def _what_became(self, job_id: str) -> Event:
        """Say what a worker that does not listen to us did with its job; or that there is none any more."""
        try:
            job = self._spool.read(job_id)
        except QueueError:
            return Event("removed", job_id)
        details = {"attempt": job.attempts, "exit_code": job.exit_code, "worker": job.worker}
        return Event(last_event(job.history) or "moved", job_id, job.state, details)

    def _is_command(self, pid: int, job: Job) -> bool:
        """Tell whether a child of ours is the command of a job, and not a worker or a run that has got its pid since."""
        if process_identity.parent_of(pid) != os.getpid() or pid in self._known():
            return False
        return process_tree.tag_of(psutil.Process(pid), self._spool.layout.home) in (None, run_id(job.id, job.attempts))

    @property
    def next_step(self) -> float:
        """The monotonic time at which `step` has something to do."""
        return min([self._foreign_at, *(adopted.next_step for adopted in self.adopted.values())])

    def step(self, now: float) -> None:
        """Do what is due."""
        if now >= self._foreign_at:
            self._look_at_foreign()
        for job_id, adopted in [*self.adopted.items()]:
            if adopted.next_step <= now:
                adopted.step(now)
            if adopted.event is not None:
                del self.adopted[job_id]
                self._dispatch.released(job_id)
                self._dispatch.put(adopted.job)
                last = adopted.job.history[-1] if adopted.job.history else {}
                self._emit(Event(adopted.event, job_id, adopted.job.state, {"leftovers": last.get("leftovers")}))

    def _look_at_foreign(self) -> None:
        self._foreign_at = math.inf
        for job_id in [*self._foreign]:
            self._foreign.discard(job_id)
            self._take(reclaim(self._spool, job_id, self._is_alive), None, 0.0, {}, no_strays)

    def reaped(self, dead: Dead) -> None:
        """Take note of commands, our children now, that have ended."""
        for adopted in self.adopted.values():
            if adopted.pid is not None and adopted.pid in dead:
                adopted.command_ended(*dead[adopted.pid])

    def is_foreign(self, job_id: str) -> bool:
        """Tell whether a worker that does not listen to us runs a job."""
        return job_id in self._foreign and self._spool.find(job_id) == PROCESSING

    def cancel(self, job_id: str) -> bool:
        """End a run for good; False when it is not ours."""
        if job_id not in self.adopted:
            return False
        self.adopted[job_id].end(CANCELLED)
        return True

    def stop(self) -> None:
        """End all runs and put their jobs back."""
        for adopted in self.adopted.values():
            adopted.end(STOPPED)


def no_strays(_ender: Adopted | None = None) -> list[psutil.Process]:
    """What an earlier supervisor left does not become our child."""
    return []
