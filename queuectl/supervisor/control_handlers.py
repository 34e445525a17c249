"""control_handlers: carries out the requests that arrive on the control socket; control_client lists the verbs.

Owns:       the requests whose answer has to wait: for workers that start, for the index, for the end of a job.
Guarantees: no request blocks the loop. An answer that has to wait is sent when its condition holds. A bug in one request
            is logged and answered, and does not end the supervisor.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from queuectl.control_client import BACKOFF, MOST_WORKERS, STARTING, STOPPING, check_count, refusal, run_of
from queuectl.errors import Busy, Conflict, NoSupervisor, NotFound, QueueError, UsageError
from queuectl.executor import process_tree
from queuectl.executor.local import refuse_low_limit
from queuectl.job.events import Event
from queuectl.version import __version__

if TYPE_CHECKING:
    from typing import Any

    from queuectl.clock import Clock
    from queuectl.log import Log
    from queuectl.spool.layout import Layout
    from queuectl.supervisor.control_server import Peer
    from queuectl.supervisor.dispatcher import Dispatcher
    from queuectl.supervisor.orphans import Orphans
    from queuectl.supervisor.worker_pool import WorkerSlot

    Request = dict[str, Any]

FLUSH_S = 5.0  # that a reader waits for a comparison of spool and index, where the system reports no changes of files

USAGE_S = 0.02  # that one request may spend on measuring; some 0.1 ms a worker


class Controllable(Protocol):
    """What a request may use of the supervisor."""

    layout: Layout
    clock: Clock
    log: Log
    started_at: float
    slots: dict[str, WorkerSlot]
    draining: bool
    restart_with: int | None

    @property
    def why_polling(self) -> str | None:
        """Why the system reports no changes of files; None if it does."""

    def flush(self) -> int:
        """Read everything that has happened; return the comparison after which the index shows it."""

    def add_workers(self, count: int) -> list[str]:
        """Start workers; return their names."""

    def stop_worker(self, slot: WorkerSlot, *, now: bool) -> None:
        """Drain a worker, or end its command."""

    def drain(self, *, now: bool) -> None:
        """Stop all workers, then the supervisor."""

    def restart(self) -> None:
        """Drain, then start a new supervisor."""

    def cancel(self, job_id: str) -> bool:
        """Cancel a running job; False if it does not run here."""

    def signal(self, job_id: str, attempt: int, number: int) -> str | None:
        """Send a signal to a running command; return the worker that will say whether it was sent."""

    def announce_pauses(self) -> set[str]:
        """Stop and continue what runs; return the workers that will say that they have."""

    def emit(self, event: Event) -> None:
        """Send an event to the clients that watch."""

    def reload(self) -> None:
        """Read the configuration again."""


class ControlHandlers:
    """A method for each verb."""

    def __init__(self, supervisor: Controllable, dispatch: Dispatcher, orphans: Orphans) -> None:
        self._supervisor = supervisor
        self._dispatch = dispatch
        self._orphans = orphans
        self._ready_waiters: list[tuple[Peer, list[str]]] = []  # with the names of their workers
        self._flush_waiters: list[tuple[Peer, int, float]] = []  # with the comparison they wait for, and until when
        self._cancel_waiters: dict[str, list[Peer]] = {}
        self._signal_waiters: list[tuple[Peer, str, str]] = []  # with the worker and the job
        self._pause_waiters: list[tuple[Peer, set[str]]] = []  # with the workers
        self._verbs = {
            "hello": self._hello,
            "status": self._status,
            "flush": self._flush,
            "start": self._start,
            "scale": self._scale,
            "stop": self._stop,
            "restart": self._restart,
            "cancel": self._cancel,
            "signal": self._signal,
            "pauses": self._pauses,
            "reload": self._reload,
            "watch": self._watch,
            "hook": self._hook,
        }

    def carry_out(self, peer: Peer, request: Request) -> None:
        """Carry out one request of a peer, or answer why not."""
        try:
            self._carry_out(peer, request)
        except QueueError as error:
            peer.send(refusal(error))
        except Exception as error:  # a bug in one answer must not end the jobs
            self._supervisor.log.exception(f"request {request.get('do')} failed action=request")
            peer.send(refusal(error))

    def _carry_out(self, peer: Peer, request: Request) -> None:
        if request.get("run") not in (None, run_of(self._supervisor.layout)):
            raise NoSupervisor(
                "no supervisor is running", "the socket is that of the home from which this one was copied"
            )
        verb = request.get("do")
        handler = self._verbs.get(str(verb))
        if handler is None:
            raise UsageError(f"the supervisor does not know the request {verb!r}")
        handler(peer, request)

    def _hook(self, peer: Peer, request: Request) -> None:
        """Report to those that watch how a hook ended; `id` is None for one of the whole queue."""
        details = {name: request.get(name) for name in ("hook", "succeeded", "error")}
        self._supervisor.emit(Event("hook", str(request.get("id") or ""), details=details))
        peer.send({"ok": True})

    def _hello(self, peer: Peer, _request: Request) -> None:
        peer.send({"ok": True, "pid": os.getpid(), "started_at": self._supervisor.started_at, "version": __version__})

    def _status(self, peer: Peer, request: Request) -> None:
        adopted = self._orphans.adopted
        workers = [slot.describe() for slot in sorted(self._supervisor.slots.values(), key=_number)]
        if request.get("usage"):
            self._measure(workers)
        known = {
            "pid": os.getpid(),
            "started_at": self._supervisor.started_at,
            "version": __version__,
            "draining": self._supervisor.draining,
            "restarting": self._supervisor.restart_with is not None,
            "full": self._dispatch.disk_space.shortage,
            "degraded": self._dispatch.disk_space.shortage or self._dispatch.degraded,
            "syncing": self._dispatch.progress,
            "polling": self._supervisor.why_polling,
            "blocked": self._dispatch.order.blocked,
            "cycles": self._dispatch.in_cycles,
            "machine": self._dispatch.order.shortage,
            "workers": workers,
            "adopted": [{"job_id": job_id, "pid": run.pid} for job_id, run in adopted.items()],
        }
        peer.send({"ok": True, **known})

    def _measure(self, workers: list[dict[str, Any]]) -> None:
        """Add processor and memory to workers until USAGE_S have passed; the process that asked measures the others."""
        monotonic = self._supervisor.clock.monotonic
        end = monotonic() + USAGE_S
        for worker in workers:
            if monotonic() >= end:
                return
            worker.update(process_tree.usage_of_worker(worker))

    def _flush(self, peer: Peer, request: Request) -> None:
        if request.get("doubt"):
            self._dispatch.doubt()
        now = self._supervisor.clock.monotonic()
        self._flush_waiters.append((peer, self._supervisor.flush(), now + FLUSH_S))
        self.answer_flushed(now)

    def answer_flushed(self, now: float) -> None:
        """Answer the peers for which the index is up to date, or will not be soon; `now` is monotonic."""
        if not self._flush_waiters:
            return
        dispatch, waiters = self._dispatch, self._flush_waiters
        is_known = dispatch.progress is not None or dispatch.degraded is not None  # the answer says so
        self._flush_waiters = [
            each for each in waiters if not is_known and each[1] > dispatch.compared and now < each[2]
        ]
        done = [each for each in waiters if each not in self._flush_waiters]
        if done:
            dispatch.commit()
        for peer, awaited, _ in done:
            syncing = dispatch.progress or ("directories are still compared" if awaited > dispatch.compared else None)
            peer.send({"ok": True, "syncing": syncing, "degraded": dispatch.degraded})

    def _start(self, peer: Peer, request: Request) -> None:
        count = check_count(request.get("count"), 1)
        self._refuse_when_draining()
        if len(self._supervisor.slots) + count > MOST_WORKERS:
            raise UsageError(f"at most {MOST_WORKERS} workers")
        refuse_low_limit(len(self._supervisor.slots) + count)
        self._ready_waiters.append((peer, self._supervisor.add_workers(count)))
        self.answer_ready()

    def _scale(self, peer: Peer, request: Request) -> None:
        count = check_count(request.get("count"), 0)
        self._refuse_when_draining()
        running = [slot for slot in self._supervisor.slots.values() if slot.state != STOPPING]
        if count > len(running):
            refuse_low_limit(count)
        surplus = sorted(running, key=_by_idleness)[: max(0, len(running) - count)]
        for slot in surplus:
            self._supervisor.stop_worker(slot, now=False)
        names = self._supervisor.add_workers(max(0, min(count, MOST_WORKERS) - len(running)))
        self._ready_waiters.append((peer, names))
        self.answer_ready()

    def answer_ready(self) -> None:
        """Answer the peers whose workers are all ready or have died."""
        for waiter in [*self._ready_waiters]:
            peer, names = waiter
            slots = [self._supervisor.slots[name] for name in names if name in self._supervisor.slots]
            if not any(slot.state == STARTING for slot in slots):
                self._ready_waiters.remove(waiter)
                lost = [slot.name for slot in slots if slot.state == BACKOFF]
                peer.send({"ok": True, "workers": [name for name in names if name not in lost], "lost": lost})

    def _stop(self, peer: Peer, request: Request) -> None:
        now = bool(request.get("now"))
        if request.get("id") is None:
            names = [*self._supervisor.slots]
            self._supervisor.drain(now=now)
        else:
            slots = self._named(request)
            names = [slot.name for slot in slots]
            for slot in slots:
                self._supervisor.stop_worker(slot, now=now)
        peer.send({"ok": True, "stopping": names})

    def _restart(self, peer: Peer, request: Request) -> None:
        if self._supervisor.restart_with is None:
            self._refuse_when_draining()
        if request.get("id") is None:
            names = [*self._supervisor.slots]
            self._supervisor.restart()
        else:
            slots = self._named(request)
            names = [slot.name for slot in slots]
            for slot in slots:
                slot.replace = True
                self._supervisor.stop_worker(slot, now=False)
        peer.send({"ok": True, "restarting": names})

    def _cancel(self, peer: Peer, request: Request) -> None:
        job_id = str(request.get("id"))
        if self._supervisor.cancel(job_id):
            waiters = self._cancel_waiters.setdefault(job_id, [])
            waiters[:] = [*(waiter for waiter in waiters if waiter.is_open), peer]
        elif self._orphans.is_foreign(job_id):
            raise Busy(
                f"job {job_id} is being finished by a worker whose supervisor has gone", "wait until it has ended"
            )
        else:
            peer.send({"ok": True})

    def _signal(self, peer: Peer, request: Request) -> None:
        job_id, attempt, number = str(request.get("id")), request.get("attempt"), request.get("number")
        if not isinstance(attempt, int) or not isinstance(number, int):
            raise UsageError("signal needs an attempt and a number")
        if self._orphans.is_foreign(job_id):
            raise Busy(f"job {job_id} is run by a worker whose supervisor has gone", "wait until it has ended")
        worker = self._supervisor.signal(job_id, attempt, number)
        if worker is None:
            peer.send({"ok": True})
        else:
            self._signal_waiters.append((peer, worker, job_id))

    def answer_signal(self, worker: str, job_id: str, *, sent: bool) -> None:
        """Answer the first peer that signalled the job."""
        for waiter in self._signal_waiters:
            if waiter[1:] == (worker, job_id):
                self._signal_waiters.remove(waiter)
                waiter[0].send({"ok": True} if sent else refusal(not_running(job_id)))
                return

    def _pauses(self, peer: Peer, _request: Request) -> None:
        self._pause_waiters.append((peer, self._supervisor.announce_pauses()))
        self.answer_pauses("")

    def answer_pauses(self, worker: str) -> None:
        """Answer the peers for which no other worker has to stop or continue its job."""
        for waiter in [*self._pause_waiters]:
            waiter[1].discard(worker)
            if not waiter[1]:
                self._pause_waiters.remove(waiter)
                waiter[0].send({"ok": True})

    def worker_died(self, worker: str) -> None:
        """Answer the peers that wait for a worker."""
        self.answer_pauses(worker)
        for _, name, job_id in [*self._signal_waiters]:
            if name == worker:
                self.answer_signal(name, job_id, sent=False)

    def _reload(self, peer: Peer, _request: Request) -> None:
        self._supervisor.reload()
        peer.send({"ok": True})

    def _watch(self, peer: Peer, _request: Request) -> None:
        peer.watches = True
        peer.send({"ok": True})

    def _named(self, request: Request) -> list[WorkerSlot]:
        name = str(request.get("id"))
        if name not in self._supervisor.slots:
            known = ", ".join(self._supervisor.slots) or "none"
            raise NotFound(f'no worker "{name}"; there are: {known}')
        return [self._supervisor.slots[name]]

    def _refuse_when_draining(self) -> None:
        if self._supervisor.draining:
            words = "stopping" if self._supervisor.restart_with is None else "restarting"
            raise Busy(
                f"the supervisor is {words}", "wait for it: queuectl worker stop --wait; or: queuectl worker restart"
            )

    def run_ended(self, job_id: str) -> None:
        """Answer the peers that cancelled the job."""
        for peer in self._cancel_waiters.pop(job_id, ()):
            peer.send({"ok": True})


def not_running(job_id: str) -> Conflict:
    """Return the refusal of a signal."""
    return Conflict(f"job {job_id} is not running, or is being ended: it was sent no signal", f"queuectl show {job_id}")


def _by_idleness(slot: WorkerSlot) -> tuple[bool, int]:
    """Idle workers go first, then those with the highest number."""
    return slot.job_id is not None, -_number(slot)


def _number(slot: WorkerSlot) -> int:
    return int(slot.name.rpartition("-")[2])
