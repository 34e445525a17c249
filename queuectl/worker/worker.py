"""worker: claims one job after the other, runs it, settles it and reports it.

Owns:       its claims and nothing else; it never opens the index.
Guarantees: at most one command at a time. A claim ends settled, or with the process. Without a supervisor it finishes the
            running job and exits. The next command starts before the verdict on the last one is written and synced, so
            that disk and processor work in parallel; by then every process of the last one has ended.
Fails with: after a crash of a worker the supervisor adopts or ends the command and settles the jobs.

It receives, one JSON object a line: run ID, return, cancel ID, signal ID ATTEMPT NUMBER, pauses NAMES (those that stop what
runs), drain, stop, settings VALUES. It sends: ready; started; settled; returned (an ID that it was given and has not started);
signalled (with `sent`); pauses (they are heeded now); notnow (with the reason); full (the verdict cannot be written yet).

Grouped reports: reports are collected and sent with one call, before the worker sleeps without a running job.
Short runs: the start of a run shorter than SHORT_RUN_S is neither reported nor logged by itself; its end says so (`is_short`).
Each report costs both processes a wake-up, which is a large part of the time of a short job.
"""

from __future__ import annotations

import os
import select
import signal
from collections import deque
from typing import TYPE_CHECKING

from queuectl.config.settings import Settings
from queuectl.disk_space import why_no_space
from queuectl.errors import QueueError
from queuectl.executor import process_tree
from queuectl.executor.attempt import CANCELLED, NEVER, STOPPED, RunningAttempt
from queuectl.executor.environment import run_id
from queuectl.executor.limits import measure
from queuectl.executor.local import Ended, LocalAttempts, NotStarted
from queuectl.executor.process_tree import pids_below
from queuectl.executor.signals import Inbox
from queuectl.index.rows import row_of
from queuectl.job.outcome import signal_name
from queuectl.log import open_log
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool import pauses
from queuectl.spool.claim import Claim
from queuectl.spool.intake import FULL_S, RefusalReason
from queuectl.spool.spool import Spool
from queuectl.worker.line_protocol import Received, to_line
from queuectl.worker.settle import PAUSE, FinishedAttempt, Verdicts, note_signal

if TYPE_CHECKING:
    import mmap
    import socket
    from collections.abc import Mapping
    from typing import Any

    import psutil

    from queuectl.executor.limits import Used
    from queuectl.spool.layout import Layout

LOOK_AT_PAUSES_S = 1.0  # without a supervisor, while a job runs
SHORT_RUN_S = 0.015  # the start of a run that is shorter is reported with its end


class Worker:
    """One forked worker; `serve` returns once it is drained.

    Args:
        note: memory shared with the supervisor, which reads from it, if this process dies, the command started last.
    """

    def __init__(
        self,
        name: str,
        pipe: socket.socket,
        note: mmap.mmap,
        layout: Layout,
        settings: Settings,
        base: Mapping[str, str],
    ) -> None:
        self.name = name
        self.spool = Spool(layout, settings, announce=False)
        self._pipe = pipe
        self._note = note
        self._attempts = LocalAttempts(layout, base)
        self._log = open_log(layout, name)
        self._inbox = Inbox((signal.SIGCHLD, signal.SIGTERM))
        self._reaps_orphans = process_tree.become_subreaper()
        self._orders: deque[str] = deque()
        self._claim: Claim | None = None  # of the running job
        self._run: RunningAttempt | None = None
        self._verdicts = Verdicts(self.spool, self._log, self._send)
        self._has_children = False
        self._left: set[psutil.Process] = set()  # left by jobs with `leftovers: leave`
        self._draining = False
        self._is_orphan = False
        self._stopping: frozenset[str] = frozenset()  # the pauses that stop what runs
        self._pauses_at = NEVER  # when they are looked at, without a supervisor
        self._received = Received()
        self._next_step = 0.0
        self._unsent: list[dict[str, Any]] = []
        self._start: dict[str, Any] | None = None  # of the running job, not reported yet
        self._send_start_at = NEVER

    # --- the loop

    def serve(self) -> None:
        """Run jobs until drained."""
        self._log.info(f"started pid={os.getpid()} action=start")
        self._send({"say": "ready"})
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        poll.register(self._inbox, select.POLLIN)
        while not (self._draining and self._run is None and not self._verdicts):
            for fd, _ in poll.poll(self._prepare_to_sleep()):
                if fd == self._pipe.fileno():
                    if not self._read_orders():
                        poll.unregister(self._pipe)
                else:
                    self._read_signals()
            self._step()
        self._log.info("stopped action=stop")
        self._send_reports()

    def _prepare_to_sleep(self) -> int | None:
        """Send reports and write the log; return the longest time to sleep, in milliseconds."""
        wake = self._verdicts.next_step
        if self._run is not None:
            wake = min(wake, self._next_step, self._send_start_at, self._pauses_at)
        if self._unsent or self._run is None:
            self._send_reports()
        if wake == NEVER:
            return None
        left = wake - self.spool.clock.monotonic()
        return max(0, min(int(left * 1000) + 1, 1 << 30))

    def _read_orders(self) -> bool:
        """Carry out the orders of the supervisor; False if it has ended."""
        try:
            data = self._pipe.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._is_orphan = True
            self._pauses_at = 0.0
            self._log.warning("the supervisor has ended: finishing the running job, then stopping action=drain")
            self._drain()
            return False
        for order in self._received.take(data):
            self._carry_out(order)
        return True

    def _carry_out(self, order: dict[str, Any]) -> None:
        verb = order["do"]
        if verb == "run":
            self._orders.append(order["id"])
            if self._draining:
                self._return_all()
        elif verb == "return":
            self._return_all()
        elif verb == "cancel" and self._run is not None and self._run.job.id == order["id"]:
            self._run.end(CANCELLED, self.spool.clock.monotonic())
            self._next_step = 0.0
        elif verb == "signal":
            self._signal(order["id"], order["attempt"], order["number"])
        elif verb == "pauses":
            self._stopping = frozenset(order["names"])
            self._stop_or_continue()
            self._send({"say": "pauses"})
        elif verb == "drain":
            self._drain()
        elif verb == "stop":
            self._stop()
        elif verb == "settings":
            self.spool.settings = Settings.from_dict(order["values"])

    def _signal(self, job_id: str, attempt: int, number: int) -> None:
        run = self._run
        is_meant = run is not None and (run.job.id, run.job.attempts) == (job_id, attempt)
        if not is_meant or not self._deliver(number):
            self._send({"say": "signalled", "id": job_id, "sent": False})

    def _deliver(self, number: int, by: str | None = None) -> bool:
        """Send a signal to the running command, record and report it; False when the command has ended or is being ended."""
        run, claim, now = self._run, self._claim, self.spool.clock.monotonic()
        if run is None or claim is None or not run.send(number, now, by):
            return False
        self._log.info(f"job {run.job.id} was sent {signal_name(number)} action=signal")
        self._record_signal(claim, number, by)
        return True

    def _record_signal(self, claim: Claim, number: int, by: str | None) -> None:
        self._send_start()
        note_signal(claim, number, by, self._log)
        entry = claim.job.history[-1]
        self._send({"say": "signalled", "id": claim.job.id, "sent": True, "row": row_of(claim.job), "entry": entry})
        self._next_step = 0.0

    def _stop_or_continue(self) -> None:
        """Stop the running job, or continue it, as the pauses want."""
        run = self._run
        if run is None:
            return
        wanted = not self._stopping.isdisjoint((ALL_PAUSED, run.job.queue))
        if wanted and run.stopped_since is None:
            self._deliver(signal.SIGSTOP, PAUSE)
        elif not wanted and run.stopped_by == PAUSE:
            self._deliver(signal.SIGCONT, PAUSE)

    def _look_at_pauses(self, now: float) -> None:
        self._pauses_at = now + LOOK_AT_PAUSES_S
        try:
            self._stopping = pauses.stopping(pauses.read(self.spool))
        except OSError:
            return  # as before
        self._stop_or_continue()

    def _return_all(self) -> None:
        while self._orders:
            self._send({"say": "returned", "id": self._orders.popleft()})

    def _drain(self) -> None:
        if not self._draining:
            self._log.info("draining action=drain")
        self._draining = True
        self._return_all()

    def _stop(self) -> None:
        self._drain()
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

    def _send(self, message: dict[str, Any]) -> None:
        self._unsent.append(message)

    def _send_start(self) -> None:
        self._send_start_at = NEVER
        if self._start is not None and self._claim is not None:
            job, pid = self._claim.job, self._start["pid"]
            self._send({**self._start, "row": row_of(job)})
            self._log.info(f"job {job.id} attempt {job.attempts} started pid={pid} action=start")
            self._start = None

    def _send_reports(self) -> None:
        self._log.flush()
        messages, self._unsent = self._unsent, []
        if not messages or self._is_orphan:
            return
        try:
            self._pipe.sendall(b"".join(map(to_line, messages)))
        except OSError:
            self._is_orphan = True

    # --- one job

    def _take(self, job_id: str) -> None:
        full = why_no_space(self.spool)
        if full is not None:
            self._send(
                {"say": "notnow", "id": job_id, "reason": RefusalReason.FULL.value, "again_s": FULL_S, "detail": full}
            )
            return
        try:
            claim = self.spool.claim(job_id, self.name)
        except (QueueError, OSError) as error:
            self._log.exception(f"cannot claim job {job_id} action=claim")
            self._send(
                {
                    "say": "notnow",
                    "id": job_id,
                    "reason": RefusalReason.UNREADABLE.value,
                    "again_s": 5.0,
                    "detail": str(error),
                }
            )
            return
        if not isinstance(claim, Claim):
            answer = {
                "reason": claim.reason.value,
                "again_s": claim.again_s,
                "detail": claim.detail,
                "as": claim.job_id,
            }
            self._send({"say": "notnow", "id": job_id, **answer})
            return
        job = claim.job
        try:
            pid = self._attempts.start(job)
        except NotStarted as error:
            self._not_started(claim, error)
            return
        text = f"{pid} {job.id}".encode()
        self._note[: len(text) + 1] = text + b"\0"
        now = self.spool.clock.monotonic()
        output = self.spool.layout.output_of(job.id, job.attempts)
        self._claim = claim
        self._run = RunningAttempt(
            job, pid, self.spool.settings, output, now, self._processes, self._has_leftovers, self._measure
        )
        self._next_step = 0.0
        self._has_children = True
        self._start = {"say": "started", "id": job.id, "pid": pid, "attempt": job.attempts}
        self._send_start_at = now + SHORT_RUN_S

    def _not_started(self, claim: Claim, error: NotStarted) -> None:
        if error.outcome is None:
            self._log.warning(f"{error} action=start")
            self._verdicts.add(FinishedAttempt(claim, None, STOPPED, is_short=True), self.spool.clock.monotonic())
            full = why_no_space(self.spool)
            if full is not None:
                self._send({"say": "full", "detail": full})
        else:
            finished = FinishedAttempt(claim, Ended(error.outcome, None), is_short=True)
            self._verdicts.add(finished, self.spool.clock.monotonic())

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                return
            if pid == 0:
                self._has_children = True
                self._notice_continued()
                return
            if self._run is not None and pid == self._run.pid and self._run.ended is None:
                self._run.command_ended(status, usage)

    def _notice_continued(self) -> None:
        run, claim = self._run, self._claim
        if run is not None and claim is not None and run.notice_continued(self.spool.clock.monotonic()):
            self._log.info(f"job {run.job.id} was continued by another program action=signal")
            self._record_signal(claim, signal.SIGCONT, None)

    def _processes(self) -> list[psutil.Process]:
        """Return every living process of the run: all descendants except those left by earlier jobs, and their descendants."""
        home = self.spool.layout.home
        tag = run_id(self._run.job.id, self._run.job.attempts) if self._run is not None else ""
        found = process_tree.descendants_of(os.getpid())
        if not self._reaps_orphans and self._run is not None:
            found += process_tree.tagged(home).get(tag, [])
        if not self._left:
            return found
        kept = self._left.union(
            *(process_tree.descendants_of(process.pid) for process in self._left if process in found)
        )
        return [
            process for process in found if process not in kept and process_tree.tag_of(process, home) in (None, tag)
        ]

    def _has_leftovers(self) -> bool:
        """Cost: nothing on Linux, where wait4 has just answered; elsewhere one pass over /proc."""
        if self._reaps_orphans and not self._has_children:
            self._left.clear()
            return False
        if self._reaps_orphans and not self._left:
            return True
        return bool(self._processes())

    def _measure(self, suspicious_bytes: float) -> Used:
        """Return what the processes of the run use."""
        is_alone = self._reaps_orphans and not self._left
        pids = pids_below(os.getpid())[1:] if is_alone else [process.pid for process in self._processes()]
        return measure(pids, suspicious_bytes)

    def _step(self) -> None:
        now = self.spool.clock.monotonic()
        if self._run is not None and now >= self._next_step:
            self._next_step = self._run.step(now)
            if self._run.is_over and self._run.ended is not None:
                self._end_run(self._run, self._run.ended, now)
        is_blocked = self._verdicts.is_blocked(now)
        while self._run is None and self._orders and not is_blocked:
            self._take(self._orders.popleft())
        self._verdicts.step(now, is_running=self._run is not None)
        if now >= self._pauses_at:
            self._look_at_pauses(now)
        if now >= self._send_start_at:  # the run was checked after that time, and goes on
            self._send_start()
        if self._claim is not None:
            self._claim.finish_start()  # after the verdicts, because it may wait for the disk

    def _end_run(self, run: RunningAttempt, ended: Ended, now: float) -> None:
        if run.left_behind:
            self._left.update(self._processes())
        if self._claim is not None:
            left = [process.pid for process in self._left]
            finished = FinishedAttempt(
                self._claim, ended, run.cause, now - run.started, is_short=self._start is not None, left=left
            )
            self._verdicts.add(finished, now)
        self._claim = self._run = self._start = None
        self._send_start_at = NEVER


def become_worker(
    name: str, pipe: socket.socket, note: mmap.mmap, layout: Layout, settings: Settings, base: Mapping[str, str]
) -> int:
    """Run a worker in a freshly forked process; return the exit code. The caller calls `os._exit` with it."""
    try:
        Worker(name, pipe, note, layout, settings, base).serve()
    except BaseException:  # noqa: BLE001 - it is the last thing this process does
        open_log(layout, name).exception("the worker died of a bug; its jobs are reclaimed action=crash")
        return 70
    return 0
