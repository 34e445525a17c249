"""slots: the workers as a table of states and events, and the policy of replacing dead ones.

Owns:       forking, the pipes to workers, restart floor and back-off.
Guarantees: TABLE is total; a worker is never started again sooner than FLOOR_S after its last start; a forked worker
            keeps no descriptor of the supervisor but its pipe.
Source:     s6-supervise (supervision as a table, restart floor).
"""

from __future__ import annotations

import gc
import mmap
import os
import socket
from typing import TYPE_CHECKING

from queuectl.control_client import BACKOFF, BUSY, GONE, IDLE, STARTING, STOPPING
from queuectl.executor.child import close_all_but
from queuectl.executor.signals import reset_for_child
from queuectl.worker.line_protocol import Received, to_line
from queuectl.worker.worker import become_worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.config.settings import Settings
    from queuectl.spool.layout import Layout

EVENTS = ("ready", "took", "freed", "stop", "died", "due")

FLOOR_S = 1.0
LONGEST_BACKOFF_S = 60.0
GARBAGE = 20_000  # objects that may come before the collector looks for circles; there are few
NOTE_BYTES = 512  # an id has at most 200
HEALTHY_AFTER_S = 10.0  # a worker that lived so long starts with a clean record

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
        orders: ids it was told to run and has not reported on, in the order in which it takes them.
        unanswered: ids it was asked to give back and that were taken from it when it did not answer.
        job_id, command, command_pid, job_since: what it runs, None while it runs nothing.
        took_s: how long the last job ran of which it has said that it is settled; None before there was one.
        restart_at: monotonic; when the next process may be forked.
        note: memory shared with its process, which notes there what command it has started: `PID ID`.
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
        self.asked_back: float | None = None  # monotonic; when it was asked to give back what it has not begun
        self.job_id: str | None = None
        self.command: str | None = None
        self.command_pid: int | None = None
        self.job_since: float | None = None
        self.job_started = 0.0  # monotonic
        self.waits_to_write = False  # the loop's note
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
        """Send an order, or as much of it as the pipe takes now: a worker that is stopped must not stop us."""
        if self.pipe is not None:
            self._unsent += to_line(message)
            self.flush()

    def flush(self) -> None:
        """Send what waits; a worker that has just died is found out by its death."""
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
        """Orders wait for the pipe to take them."""
        return bool(self._unsent)

    def receive(self) -> list[dict[str, Any]]:
        """Return what the worker said, and send what waits; never blocks."""
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
        """Have it run a job, after what it was told before, with the next `flush`.

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
        """It begins with a job that it was told to run."""
        self.job_id, self.job_since, self.job_started = job_id, wall, now
        self.command = self.command_pid = None

    def end(self, job_id: str, now: float, wall: float) -> None:
        """It is done with a job, or has given it back, and goes on with what else it was told."""
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
        """Ask it to give back the jobs that it has not begun; `now` is monotonic."""
        self.asked_back = now
        self.send({"do": "return"})

    @property
    def waiting(self) -> list[str]:
        """The jobs that wait for the end of the one that runs, as far as it has said."""
        at = self.orders.index(self.job_id) + 1 if self.job_id in self.orders else 0
        return self.orders[at:]

    def last_note(self) -> tuple[str, int] | None:
        """Return the job that its process, now dead, has started last, and the command's pid."""
        text = bytes(self.note).partition(b"\0")[0].decode() if self.note is not None else ""
        pid, _, job_id = text.partition(" ")
        return (job_id, int(pid)) if job_id else None

    def forget_job(self) -> None:
        """It runs nothing any more."""
        self.job_id = self.command = self.command_pid = self.job_since = None

    def close(self, now: float) -> None:
        """Its process is dead: close the pipe and work out when the next one may start."""
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
