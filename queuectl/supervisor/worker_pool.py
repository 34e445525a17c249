"""worker_pool: the workers as a table of states and events, and which worker runs which job.

Owns:       forking workers, the pipes to them, the pause before a worker is started again, the jobs assigned to each worker.
Guarantees: TABLE is total. A worker is never started again sooner than FLOOR_S after its last start. A forked worker keeps no
            descriptor of the supervisor but its pipe. An idle worker gets the next job first.
Source:     s6-supervise (supervision as a table, minimum time between starts).

Prefetch: a worker whose jobs are short is given further jobs ahead, so that it does not wait for the supervisor between two.
It gets as many as it runs in AHEAD_S, at most AHEAD; one, if few jobs are due.
Jobs that wait behind a slow job are asked back after QUICK_S, or at once if a worker is idle or runs have become longer;
they are taken from a worker that does not answer within ANSWER_S.
"""

from __future__ import annotations

import gc
import mmap
import os
import socket
from typing import TYPE_CHECKING

from queuectl.control_client import BACKOFF, BUSY, GONE, IDLE, STARTING, STOPPING
from queuectl.executor.child_setup import close_all_but
from queuectl.executor.signals import reset_for_child
from queuectl.supervisor.dispatcher import RETURNED
from queuectl.timers import NEVER
from queuectl.worker.line_protocol import Received, to_line
from queuectl.worker.worker import become_worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.config.settings import Settings
    from queuectl.spool.layout import Layout
    from queuectl.spool.spool import Spool
    from queuectl.supervisor.dispatcher import Dispatcher

EVENTS = ("ready", "took", "freed", "stop", "died", "due")

FLOOR_S = 1.0
LONGEST_BACKOFF_S = 60.0
GARBAGE = 20_000  # new objects before the garbage collector runs; there are few reference cycles
NOTE_BYTES = 512  # an id has at most 200
HEALTHY_AFTER_S = 10.0  # after that time the next early death counts as the first

ANSWER_S = 1.0
QUICK_S = 0.05  # a job that takes less is short
AHEAD = 15
AHEAD_S = 0.04

# (state, event): (next state, action); "-" cannot happen or changes nothing
TABLE = {
    (STARTING, "ready"): (IDLE, "-"),
    (STARTING, "took"): (STARTING, "-"),
    (STARTING, "freed"): (STARTING, "-"),
    (STARTING, "stop"): (STOPPING, "drain"),
    (STARTING, "died"): (BACKOFF, "wait"),
    (STARTING, "due"): (STARTING, "-"),
    (IDLE, "ready"): (IDLE, "-"),
    (IDLE, "took"): (BUSY, "-"),
    (IDLE, "freed"): (IDLE, "-"),
    (IDLE, "stop"): (STOPPING, "drain"),
    (IDLE, "died"): (BACKOFF, "wait"),
    (IDLE, "due"): (IDLE, "-"),
    (BUSY, "ready"): (BUSY, "-"),
    (BUSY, "took"): (BUSY, "-"),
    (BUSY, "freed"): (IDLE, "-"),
    (BUSY, "stop"): (STOPPING, "drain"),
    (BUSY, "died"): (BACKOFF, "wait"),
    (BUSY, "due"): (BUSY, "-"),
    (STOPPING, "ready"): (STOPPING, "-"),
    (STOPPING, "took"): (STOPPING, "-"),
    (STOPPING, "freed"): (STOPPING, "-"),
    (STOPPING, "stop"): (STOPPING, "-"),
    (STOPPING, "died"): (GONE, "-"),
    (STOPPING, "due"): (STOPPING, "-"),
    (BACKOFF, "ready"): (BACKOFF, "-"),
    (BACKOFF, "took"): (BACKOFF, "-"),
    (BACKOFF, "freed"): (BACKOFF, "-"),
    (BACKOFF, "stop"): (GONE, "-"),
    (BACKOFF, "died"): (BACKOFF, "-"),
    (BACKOFF, "due"): (STARTING, "fork"),
    (GONE, "ready"): (GONE, "-"),
    (GONE, "took"): (GONE, "-"),
    (GONE, "freed"): (GONE, "-"),
    (GONE, "stop"): (GONE, "-"),
    (GONE, "died"): (GONE, "-"),
    (GONE, "due"): (GONE, "-"),
}


class WorkerSlot:
    """One worker, by name, through all its processes.

    Attributes:
        orders: ids of jobs it was given and has not reported on, in the order in which it runs them.
        unanswered: ids that it was asked to return and that were taken from it because it did not answer.
        job_id, command, command_pid, job_since: the running job, None while it runs none.
        took_s: how long the last job ran that it reported as settled; None before there was one.
        restart_at: monotonic; when the next process may be forked.
        note: memory shared with its process, which writes there which command it has started: `PID ID`.
        replace: fork again once the current process has drained (restart).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = BACKOFF
        self.pid = 0
        self.pipe: socket.socket | None = None
        self.started_at = 0.0  # wall
        self.started = 0.0  # monotonic
        self.restart_at = 0.0
        self.quick_deaths = 0
        self.replace = False
        self.done = self.failed_attempts = self.restarts = 0
        self.orders: list[str] = []
        self.unanswered: set[str] = set()
        self.took_s: float | None = None
        self.asked_back: float | None = None  # monotonic; when it was asked to return the jobs it has not started
        self.job_id: str | None = None
        self.command: str | None = None
        self.command_pid: int | None = None
        self.job_since: float | None = None
        self.job_started = 0.0  # monotonic
        self.waits_to_write = False  # set by the loop
        self.note: mmap.mmap | None = None
        self._received = Received()
        self._unsent = bytearray()

    def fileno(self) -> int:
        """For selectors; -1 while there is no process."""
        return self.pipe.fileno() if self.pipe is not None else -1

    def handle(self, event: str) -> str:
        """Go to the next state and return the action to take."""
        self.state, action = TABLE[self.state, event]
        return action

    def send(self, message: dict[str, Any]) -> None:
        """Send a line, or as much as the pipe takes now, so that a stopped worker does not block the supervisor."""
        if self.pipe is not None:
            self._unsent += to_line(message)
            self.flush()

    def flush(self) -> None:
        """Send what is queued. An error is ignored: the death of a worker is reported by SIGCHLD."""
        if self.pipe is None or not self._unsent:
            return
        try:
            sent = self.pipe.send(self._unsent, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._unsent)
        del self._unsent[:sent]

    @property
    def wants_to_write(self) -> bool:
        """Lines are queued until the pipe takes them."""
        return bool(self._unsent)

    def receive(self) -> list[dict[str, Any]]:
        """Return the reports of the worker, and send what is queued; never blocks."""
        self.flush()
        if self.pipe is None:
            return []
        chunks = []
        while True:
            try:
                data = self.pipe.recv(65536, socket.MSG_DONTWAIT)
            except OSError:
                break
            if not data:
                break
            chunks.append(data)
        return self._received.take(b"".join(chunks))

    def order(self, job_id: str, now: float, wall: float) -> None:
        """Give it a job to run after those it has; sent with the next `flush`.

        Args:
            now: monotonic.
            wall: seconds since 1970.
        """
        self.orders.append(job_id)
        self._unsent += to_line({"do": "run", "id": job_id})
        if len(self.orders) == 1:
            self.begin(job_id, now, wall)
            self.handle("took")

    def begin(self, job_id: str, now: float, wall: float) -> None:
        """Record that it starts one of its jobs."""
        self.job_id, self.job_since, self.job_started = job_id, wall, now
        self.command = self.command_pid = None

    def end(self, job_id: str, now: float, wall: float) -> None:
        """Record that it has settled or returned a job; it continues with the next one it has."""
        self.orders.remove(job_id)
        self.asked_back = None
        if job_id != self.job_id:
            return
        self.forget_job()
        if self.orders:
            self.begin(self.orders[0], now, wall)
        else:
            self.handle("freed")

    def ask_back(self, now: float) -> None:
        """Ask it to return the jobs that it has not started; `now` is monotonic."""
        self.asked_back = now
        self.send({"do": "return"})

    @property
    def waiting(self) -> list[str]:
        """The jobs that wait for the running one to end, according to its reports."""
        at = self.orders.index(self.job_id) + 1 if self.job_id in self.orders else 0
        return self.orders[at:]

    def last_note(self) -> tuple[str, int] | None:
        """Return the job that its dead process started last, and the pid of the command."""
        text = bytes(self.note).partition(b"\0")[0].decode() if self.note is not None else ""
        pid, _, job_id = text.partition(" ")
        return (job_id, int(pid)) if job_id else None

    def forget_job(self) -> None:
        """Record that it runs no job."""
        self.job_id = self.command = self.command_pid = self.job_since = None

    def close(self, now: float) -> None:
        """Record the end of its process: close the pipe and compute when the next process may start."""
        if self.pipe is not None:
            self.pipe.close()
        self.pipe, self.pid, self._received, self._unsent = None, 0, Received(), bytearray()
        if self.note is not None:
            self.note.close()
        self.note, self.waits_to_write = None, False
        self.orders, self.unanswered, self.asked_back = [], set(), None
        self.restarts += 1
        lived = now - self.started
        self.quick_deaths = 0 if lived >= HEALTHY_AFTER_S else self.quick_deaths + 1
        delay = min(LONGEST_BACKOFF_S, FLOOR_S * 2 ** max(0, self.quick_deaths - 1))
        self.restart_at = max(now, self.started + FLOOR_S) if not self.quick_deaths else now + delay

    def describe(self) -> dict[str, Any]:
        """Return what `worker list` shows."""
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid or None,
            "started_at": self.started_at,
            "done": self.done,
            "failed_attempts": self.failed_attempts,
            "restarts": self.restarts,
            "job_id": self.job_id,
            "job_since": self.job_since,
            "command": self.command,
            "command_pid": self.command_pid,
        }


def fork_worker(
    slot: WorkerSlot,
    layout: Layout,
    settings: Settings,
    base: Mapping[str, str],
    now: float,
    wall: float,
) -> None:
    """Start a process for the slot; `now` is monotonic, `wall` seconds since 1970.

    Raises:
        OSError: no descriptor, process or memory is left for one.

    Crash: a worker without a supervisor reads end-of-file from its pipe and exits.
    """
    slot.started, slot.started_at = now, wall
    ours, theirs = socket.socketpair()
    note = mmap.mmap(-1, NOTE_BYTES)
    gc.freeze()  # the child does not touch, and so does not copy, what exists now
    gc.set_threshold(GARBAGE)
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        note.close()
        raise
    if pid == 0:
        code = 70
        try:
            reset_for_child()
            close_all_but(theirs.fileno())
            code = become_worker(slot.name, theirs, note, layout, settings, base)
        finally:
            os._exit(code)
    theirs.close()
    slot.pipe, slot.note, slot.pid = ours, note, pid


class Prefetch:
    """Assigns due jobs to workers.

    Attributes:
        next_step: the monotonic time at which `step` has something to do if nothing else happens.
    """

    def __init__(self, spool: Spool, slots: dict[str, WorkerSlot], dispatch: Dispatcher) -> None:
        self._clock = spool.clock
        self._slots = slots
        self._dispatch = dispatch
        self.next_step = NEVER

    def step(self, now: float) -> None:
        """Assign the jobs that are due; `now` is monotonic."""
        wall = self._clock.now()
        is_short_of_jobs = False
        for slot in self._slots.values():
            if slot.state == IDLE:
                is_short_of_jobs = not self._assign(slot, now, wall)
                if is_short_of_jobs:
                    break
        else:
            self._assign_ahead(now, wall)
        for slot in self._slots.values():
            slot.flush()
        self._ask_back(now, wall, at_once=is_short_of_jobs)

    def _assign_ahead(self, now: float, wall: float) -> None:
        """Give further jobs to the workers that run short jobs; each gets one before any gets two."""
        busy = [slot for slot in self._slots.values() if slot.state == BUSY and now - slot.job_started < QUICK_S]
        quick = {slot: slot.took_s for slot in busy if slot.took_s is not None and slot.took_s < QUICK_S}
        for slot in quick:
            if len(slot.orders) < 2 and not self._assign(slot, now, wall, ahead=True):
                return
        for slot, took_s in quick.items():
            most = 1 + (AHEAD if took_s * AHEAD < AHEAD_S else int(AHEAD_S / took_s))
            while len(slot.orders) < most and self._dispatch.order.has_many(AHEAD * len(self._slots)):
                if not self._assign(slot, now, wall, ahead=True):
                    return

    def _assign(self, slot: WorkerSlot, now: float, wall: float, *, ahead: bool = False) -> bool:
        job_id = self._dispatch.next(ahead=ahead)
        if job_id is not None:
            slot.order(job_id, now, wall)
        return job_id is not None

    def _ask_back(self, now: float, wall: float, *, at_once: bool) -> None:
        self.next_step = NEVER
        for slot in self._slots.values():
            waiting = slot.waiting
            if not waiting:
                continue
            is_late = slot.took_s is not None and len(waiting) * slot.took_s > QUICK_S
            ask_at = now if at_once or is_late else slot.job_started + QUICK_S
            if slot.asked_back is None and now >= ask_at:
                slot.ask_back(now)
            take_at = slot.asked_back + ANSWER_S if slot.asked_back is not None else ask_at
            if slot.asked_back is not None and now >= take_at:
                for job_id in waiting:
                    # If it starts the job after all, the lock of the job decides.
                    self.release(slot, job_id, {"reason": "unanswered"})
                    slot.unanswered.add(job_id)
            else:
                self.next_step = min(self.next_step, take_at)

    def began(self, slot: WorkerSlot, job_id: str) -> None:
        """Record that a worker has started a job."""
        now = self._clock.monotonic()
        slot.unanswered.discard(job_id)
        if job_id not in slot.orders:  # it had been taken from the worker
            slot.orders.append(job_id)
            self._dispatch.order.assign(job_id)
            slot.handle("took")
        self._dispatch.order.began(job_id)
        if slot.job_id != job_id:  # the job before it waits for the disk
            slot.begin(job_id, now, self._clock.now())
        slot.job_started = now

    def release(self, slot: WorkerSlot, job_id: str, answer: dict[str, Any] | None = None) -> None:
        """Record that a worker has settled a job, does not run it (`answer` says why), or has returned it."""
        slot.unanswered.discard(job_id)
        if job_id in slot.orders:
            slot.end(job_id, self._clock.monotonic(), self._clock.now())
        if not any(job_id in other.orders for other in self._slots.values()):
            self._dispatch.released(job_id, answer)

    def returned(self, slot: WorkerSlot, job_id: str) -> None:
        """Record that a worker has returned a job that it had not started."""
        self.release(slot, job_id, {"reason": RETURNED})
