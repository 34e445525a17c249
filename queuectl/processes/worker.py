"""worker: claims one job after the other, runs it, settles it, reports it.

Owns:       nothing outside its claim; it never touches the index.
Guarantees: at most one command at a time; a claim ends settled, or with the process; without a supervisor it finishes
            what it runs and exits.
Fails with: a crash is survived: the supervisor adopts or ends the command and settles the job.

Told over its pipe, one JSON object a line: run ID, cancel ID, drain, stop, settings VALUES. Says: ready; started;
settled; notnow (with the reason); full (the verdict cannot be written yet).
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.index.rows import row_of
from queuectl.outcome import describe
from queuectl.processes import dwelling, hunt, identity
from queuectl.processes.logs import open_log
from queuectl.processes.room import why_no_room
from queuectl.processes.run import CANCELLED, STOPPED, Run
from queuectl.processes.runner import Ended, LocalAttempts, NotStarted
from queuectl.processes.settlement import settle
from queuectl.processes.signals import Inbox
from queuectl.settings import Settings
from queuectl.spool.claim import Claim, Replaced, SpoolFull
from queuectl.spool.intake import FULL_S
from queuectl.spool.spool import Spool

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from typing import Any

    import psutil

    from queuectl.spool.layout import Layout

RETRY_VERDICT_S = 1.0


class Worker:
    """One forked worker; `serve` returns when it has nothing more to do."""

    def __init__(
        self, name: str, pipe: socket.socket, layout: Layout, settings: Settings, base: Mapping[str, str]
    ) -> None:
        self.name = name
        self.spool = Spool(layout, settings, announce=False)
        self._pipe = pipe
        self._attempts = LocalAttempts(layout, base)
        self._log = open_log(layout, name)
        self._inbox = Inbox((signal.SIGCHLD, signal.SIGTERM))
        self._reaps_orphans = identity.become_subreaper()
        self._claim: Claim | None = None
        self._run: Run | None = None
        self._has_children = False
        self._left: set[psutil.Process] = set()  # that jobs with `leftovers: leave` left
        self._draining = False
        self._is_orphan = False
        self._rest = b""
        self._next_step = 0.0

    # --- the loop

    def serve(self) -> None:
        """Run jobs until drained."""
        self._log.info("started pid=%s action=start", os.getpid())
        self._say({"say": "ready"})
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        poll.register(self._inbox, select.POLLIN)
        while not (self._draining and self._claim is None):
            for fd, _ in poll.poll(self._wait_ms()):
                if fd == self._pipe.fileno():
                    if not self._read_orders():
                        poll.unregister(self._pipe)
                else:
                    self._read_signals()
            self._step()
        self._log.info("stopped action=stop")

    def _wait_ms(self) -> int | None:
        if self._claim is None:
            return None
        left = self._next_step - self.spool.clock.monotonic()
        return max(0, min(int(left * 1000) + 1, 1 << 30))

    def _read_orders(self) -> bool:
        """Carry out what the supervisor says; False when it has gone."""
        try:
            data = self._pipe.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._is_orphan = True
            self._draining = True
            self._log.warning("the supervisor is gone: finishing what runs, then stopping action=drain")
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return True

    def _obey(self, order: dict[str, Any]) -> None:
        verb = order["do"]
        if verb == "run":
            self._take(order["id"])
        elif verb == "cancel" and self._run is not None and self._run.job.id == order["id"]:
            self._run.end(CANCELLED, self.spool.clock.monotonic())
            self._next_step = 0.0
        elif verb == "drain":
            self._drain()
        elif verb == "stop":
            self._stop()
        elif verb == "settings":
            self.spool.settings = Settings.from_dict(order["values"])

    def _drain(self) -> None:
        self._log.info("draining action=drain")
        self._draining = True

    def _stop(self) -> None:
        self._draining = True
        if self._run is not None:
            self._run.end(STOPPED, self.spool.clock.monotonic())
            self._next_step = 0.0

    def _read_signals(self) -> None:
        for number in self._inbox.take():
            if number == signal.SIGCHLD:
                self._reap()
                self._next_step = 0.0
            elif number == signal.SIGTERM and self._draining:
                self._stop()
            elif number == signal.SIGTERM:
                self._drain()

    def _say(self, message: dict[str, Any]) -> None:
        if self._is_orphan:
            return
        try:
            self._pipe.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._is_orphan = True

    # --- one job

    def _take(self, job_id: str) -> None:
        full = why_no_room(self.spool)
        if full is not None:
            self._say({"say": "notnow", "id": job_id, "reason": "full", "again_s": FULL_S, "detail": full})
            return
        try:
            claim = self.spool.claim(job_id, self.name)
        except (QueueError, OSError) as error:
            self._log.exception("cannot claim job %s action=claim", job_id)
            self._say({"say": "notnow", "id": job_id, "reason": "unreadable", "again_s": 5.0, "detail": str(error)})
            return
        if not isinstance(claim, Claim):
            answer = {"reason": claim.reason, "again_s": claim.again_s, "detail": claim.detail, "as": claim.job_id}
            self._say({"say": "notnow", "id": job_id, **answer})
            return
        self._claim = claim
        job = claim.job
        try:
            pid = self._attempts.start(job)
        except NotStarted as error:
            self._not_started(error)
            return
        now = self.spool.clock.monotonic()
        output = self.spool.layout.output_of(job.id, job.attempts)
        self._run = Run(job, pid, self.spool.settings, output, now, self._processes, self._has_leftovers)
        self._next_step = 0.0
        self._has_children = True
        self._say({"say": "started", "id": job.id, "pid": pid, "row": row_of(job), "attempt": job.attempts})
        self._log.info("job %s attempt %s started pid=%s action=start", job.id, job.attempts, pid)

    def _not_started(self, error: NotStarted) -> None:
        self._run = None
        if error.outcome is None:
            self._log.warning("%s action=start", error)
            self._settle(None, STOPPED)
            full = why_no_room(self.spool)
            if full is not None:
                self._say({"say": "full", "detail": full})
        else:
            self._settle(Ended(error.outcome, None), None)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                return
            if pid == 0:
                self._has_children = True
                return
            if self._run is not None and pid == self._run.pid and self._run.ended is None:
                self._run.command_ended(status, usage)

    def _processes(self) -> list[psutil.Process]:
        """Every living process of the run: all our descendants but those that may stay, and theirs."""
        home = self.spool.layout.home
        tag = hunt.run_id(self._run.job.id, self._run.job.attempts) if self._run is not None else ""
        found = hunt.descendants_of(os.getpid())
        if not self._reaps_orphans and self._run is not None:
            found += hunt.tagged(home).get(tag, [])
        if not self._left:
            return found
        kept = self._left.union(*(hunt.descendants_of(process.pid) for process in self._left if process in found))
        return [process for process in found if process not in kept and hunt.tag_of(process, home) in (None, tag)]

    def _has_leftovers(self) -> bool:
        """Cost: nothing where we reap orphans, for waiting has just told; one pass over /proc where not."""
        if self._reaps_orphans and not self._has_children:
            self._left.clear()
            return False
        if self._reaps_orphans and not self._left:
            return True
        return bool(self._processes())

    def _step(self) -> None:
        now = self.spool.clock.monotonic()
        if self._claim is None or now < self._next_step:
            return
        if self._run is None:  # a verdict that could not be written yet
            self._settle(*self._unsettled)
            return
        self._next_step = self._run.step(now)
        if self._run.is_over and self._run.ended is not None:
            if self._run.left_behind:
                self._left.update(self._processes())
            ended, cause = self._run.ended, self._run.cause
            self._run = None
            self._settle(ended, cause)

    def _settle(self, ended: Ended | None, cause: str | None) -> None:
        """Settle, or keep job and lock and try again in a second: the disk is full."""
        claim = self._claim
        if claim is None:
            raise AssertionError("nothing to settle")
        job_id = claim.job.id
        try:
            if ended is None:
                claim.reschedule("requeued", self.spool.clock.now() + 1, {"reason": "could not be started"})
                event = "requeued"
            else:
                event = settle(self.spool, claim, ended, cause)
        except Replaced as error:  # somebody took the file from under the lock; what lies there now is not ours
            self._give_up(claim, str(error))
            return
        except (SpoolFull, OSError) as error:
            if not dwelling.exists(self.spool.layout):
                self._give_up(claim, "its home was removed")
                return
            if not isinstance(error, SpoolFull):
                self._log.exception("cannot settle job %s action=settle", job_id)
            self._unsettled = (ended, cause)
            self._next_step = self.spool.clock.monotonic() + RETRY_VERDICT_S
            self._say({"say": "full", "id": job_id, "detail": str(error)})
            return
        job, row = claim.job, row_of(claim.job, claim.status())
        claim.close()
        self._claim = None
        how = describe(ended.outcome) if ended is not None else ""
        left = [process.pid for process in self._left]
        self._say({"say": "settled", "id": job_id, "event": event, "row": row, "how": how, "left": left})
        log = self._log.info if event in ("completed", "cancelled", "requeued", "snoozed") else self._log.warning
        log("job %s attempt %s %s %s action=%s", job_id, job.attempts, event, how, event)

    def _give_up(self, claim: Claim, why: str) -> None:
        """Let go of a job that cannot be settled any more."""
        self._log.error("job %s cannot be settled: %s action=settle", claim.job.id, why)
        claim.close()
        self._claim = None
        self._say({"say": "notnow", "id": claim.job.id, "reason": "gone", "again_s": None, "detail": why})

    _unsettled: tuple[Ended | None, str | None] = (None, None)


def become_worker(name: str, pipe: socket.socket, layout: Layout, settings: Settings, base: Mapping[str, str]) -> int:
    """Be a worker in a freshly forked process; returns its exit code. The caller leaves by `os._exit`."""
    try:
        Worker(name, pipe, layout, settings, base).serve()
    except BaseException:
        logging.getLogger(name).exception("the worker died of a bug; its job is reclaimed action=crash")
        return 70
    return 0
