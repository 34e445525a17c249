"""requests: what the supervisor does when asked over its socket; the verbs are listed in control.

Guarantees: no request blocks the loop; an answer that has to wait is given when what it waits for has happened.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuectl.control_client import BACKOFF, MOST_WORKERS, STARTING, check_count, run_of
from queuectl.errors import Busy, NoSupervisor, NotFound, UsageError
from queuectl.executor.local import refuse_low_limit
from queuectl.version import __version__

if TYPE_CHECKING:
    from typing import Any

    from queuectl.supervisor.control_server import Peer
    from queuectl.supervisor.supervisor import Supervisor
    from queuectl.supervisor.worker_pool import WorkerSlot

FLUSH_S = 5.0  # that a reader waits for a comparison of spool and index, where the system tells of no changes


def carry_out(supervisor: Supervisor, peer: Peer, request: dict[str, Any]) -> None:
    """Carry out one request of a peer.

    Raises:
        QueueError: refused; the caller answers with it.
    """
    if request.get("run") not in (None, run_of(supervisor.layout)):
        raise NoSupervisor("no supervisor is running", "the socket is that of the home from which this one was copied")
    verb = request.get("do")
    handler = VERBS.get(str(verb))
    if handler is None:
        raise UsageError(f"the supervisor does not know the request {verb!r}")
    handler(supervisor, peer, request)


def _hello(supervisor: Supervisor, peer: Peer, _request: dict[str, Any]) -> None:
    peer.send({"ok": True, "pid": os.getpid(), "started_at": supervisor.started_at, "version": __version__})


def _status(supervisor: Supervisor, peer: Peer, _request: dict[str, Any]) -> None:
    adopted = supervisor.orphans.adopted
    known = {
        "pid": os.getpid(),
        "started_at": supervisor.started_at,
        "version": __version__,
        "draining": supervisor.draining,
        "restarting": supervisor.restart_with is not None,
        "full": supervisor.dispatch.disk_space.shortage,
        "degraded": supervisor.dispatch.disk_space.shortage or supervisor.dispatch.degraded,
        "syncing": supervisor.dispatch.progress,
        "polling": supervisor.why_polling,
        "workers": [slot.describe() for slot in sorted(supervisor.slots.values(), key=_number)],
        "adopted": [{"job_id": job_id, "pid": run.pid} for job_id, run in adopted.items()],
    }
    peer.send({"ok": True, **known})


def _flush(supervisor: Supervisor, peer: Peer, request: dict[str, Any]) -> None:
    if request.get("doubt"):
        supervisor.dispatch.doubt()
    now = supervisor.clock.monotonic()
    supervisor.flush_waiters.append((peer, supervisor.flush(), now + FLUSH_S))
    answer_flushed(supervisor, now)


def answer_flushed(supervisor: Supervisor, now: float) -> None:
    """Answer those for whom the index shows what has happened, or will not do so soon; `now` is monotonic."""
    dispatch, waiters = supervisor.dispatch, supervisor.flush_waiters
    is_known = dispatch.progress is not None or dispatch.degraded is not None  # they are told so
    supervisor.flush_waiters = [
        each for each in waiters if not is_known and each[1] > dispatch.compared and now < each[2]
    ]
    done = [each for each in waiters if each not in supervisor.flush_waiters]
    if done:
        dispatch.commit()
    for peer, awaited, _ in done:
        syncing = dispatch.progress or ("directories are still compared" if awaited > dispatch.compared else None)
        peer.send({"ok": True, "syncing": syncing, "degraded": dispatch.degraded})


def _start(supervisor: Supervisor, peer: Peer, request: dict[str, Any]) -> None:
    count = check_count(request.get("count"), 1)
    _refuse_when_draining(supervisor)
    if len(supervisor.slots) + count > MOST_WORKERS:
        raise UsageError(f"at most {MOST_WORKERS} workers")
    refuse_low_limit(len(supervisor.slots) + count)
    supervisor.ready_waiters.append((peer, supervisor.add_workers(count)))
    answer_ready(supervisor)


def _scale(supervisor: Supervisor, peer: Peer, request: dict[str, Any]) -> None:
    count = check_count(request.get("count"), 0)
    _refuse_when_draining(supervisor)
    running = [slot for slot in supervisor.slots.values() if slot.state != "stopping"]
    if count > len(running):
        refuse_low_limit(count)
    surplus = sorted(running, key=_by_idleness)[: max(0, len(running) - count)]
    for slot in surplus:
        supervisor.stop_worker(slot, now=False)
    names = supervisor.add_workers(max(0, min(count, MOST_WORKERS) - len(running)))
    supervisor.ready_waiters.append((peer, names))
    answer_ready(supervisor)


def _by_idleness(slot: WorkerSlot) -> tuple[bool, int]:
    """Idle workers go first, then those with the highest number."""
    return slot.job_id is not None, -_number(slot)


def _number(slot: WorkerSlot) -> int:
    return int(slot.name.rpartition("-")[2])


def answer_ready(supervisor: Supervisor) -> None:
    """Answer those whose workers are all ready (or have died, which `worker list` shows)."""
    for waiter in [*supervisor.ready_waiters]:
        peer, names = waiter
        slots = [supervisor.slots[name] for name in names if name in supervisor.slots]
        if not any(slot.state == STARTING for slot in slots):
            supervisor.ready_waiters.remove(waiter)
            lost = [slot.name for slot in slots if slot.state == BACKOFF]
            peer.send({"ok": True, "workers": [name for name in names if name not in lost], "lost": lost})


def _stop(supervisor: Supervisor, peer: Peer, request: dict[str, Any]) -> None:
    now = bool(request.get("now"))
    if request.get("id") is None:
        names = [*supervisor.slots]
        supervisor.drain(now=now)
    else:
        slots = _named(supervisor, request)
        names = [slot.name for slot in slots]
        for slot in slots:
            supervisor.stop_worker(slot, now=now)
    peer.send({"ok": True, "stopping": names})


def _restart(supervisor: Supervisor, peer: Peer, request: dict[str, Any]) -> None:
    if supervisor.restart_with is None:
        _refuse_when_draining(supervisor)
    if request.get("id") is None:
        names = [*supervisor.slots]
        supervisor.restart()
    else:
        slots = _named(supervisor, request)
        names = [slot.name for slot in slots]
        for slot in slots:
            slot.replace = True
            supervisor.stop_worker(slot, now=False)
    peer.send({"ok": True, "restarting": names})


def _cancel(supervisor: Supervisor, peer: Peer, request: dict[str, Any]) -> None:
    job_id = str(request.get("id"))
    if supervisor.cancel(job_id):
        waiters = supervisor.cancel_waiters.setdefault(job_id, [])
        waiters[:] = [*(waiter for waiter in waiters if waiter.is_open), peer]
    elif supervisor.orphans.is_foreign(job_id):
        raise Busy(f"job {job_id} is being finished by a worker whose supervisor has gone", "wait until it has ended")
    else:
        peer.send({"ok": True})


def _reload(supervisor: Supervisor, peer: Peer, _request: dict[str, Any]) -> None:
    supervisor.reload()
    peer.send({"ok": True})


def _watch(supervisor: Supervisor, peer: Peer, _request: dict[str, Any]) -> None:
    peer.watches = True
    peer.send({"ok": True})


def _named(supervisor: Supervisor, request: dict[str, Any]) -> list[WorkerSlot]:
    name = str(request.get("id"))
    if name not in supervisor.slots:
        known = ", ".join(supervisor.slots) or "none"
        raise NotFound(f'no worker "{name}"; there are: {known}')
    return [supervisor.slots[name]]


def _refuse_when_draining(supervisor: Supervisor) -> None:
    if supervisor.draining:
        words = "stopping" if supervisor.restart_with is None else "restarting"
        raise Busy(
            f"the supervisor is {words}", "wait for it: queuectl worker stop --wait; or: queuectl worker restart"
        )


VERBS = {
    "hello": _hello,
    "status": _status,
    "flush": _flush,
    "start": _start,
    "scale": _scale,
    "stop": _stop,
    "restart": _restart,
    "cancel": _cancel,
    "reload": _reload,
    "watch": _watch,
}
