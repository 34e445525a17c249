"""hook_runner: has the reports to hooks delivered, and complete batches noticed, by a process of its own; sees to `on_idle`.

Owns:       that process, until it is reaped; state/busy, which exists while jobs run and `on_idle` is configured.
Guarantees: one at a time. It has no lock and no descriptor of the supervisor. It is not ended with the supervisor: it ends
            when all is delivered, or `hook_rate` lets it start no more. The supervisor continues meanwhile.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from queuectl.atomic_file import open_private
from queuectl.executor.spawn import spawn
from queuectl.log import FLAGS
from queuectl.spool import batches, deliveries, hooks
from queuectl.spool.fs import APPEND
from queuectl.timers import NEVER
from queuectl.version import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from queuectl.log import Log
    from queuectl.spool.spool import Spool
    from queuectl.supervisor.dispatcher import Dispatcher

AGAIN_S = 1.0
LOOK_S = 0.2  # between two looks at the batches that are open
MOST_RETRY_S = 60.0


class HookRunner:
    """When hooks are to be run, and which batches may be complete.

    Args:
        dispatch: knows from the index which batches have jobs that have not ended.
        environ: of the supervisor, so that the same settings are used.

    Attributes:
        pid: of the process; None while none runs.
    """

    def __init__(self, spool: Spool, log: Log, dispatch: Dispatcher, environ: Mapping[str, str]) -> None:
        self._spool = spool
        self._log = log
        self._dispatch = dispatch
        self._environ = environ
        self._is_busy: bool | None = None  # not known yet
        self._deliver_at = NEVER
        self._open: list[str] = []  # batches
        self._is_unread = True  # they are to be listed; once for many events, because those that are complete are kept
        self._seen_commits = -1
        self._look_at = 0.0
        self._retry_s = AGAIN_S
        self.pid: int | None = None

    @property
    def next_step(self) -> float:
        """The monotonic time at which `step` has something to do."""
        if self.pid is not None:
            return NEVER
        if self._is_unread:
            return 0.0
        is_due = self._open and self._seen_commits != self._dispatch.commits
        return min(self._deliver_at, self._look_at if is_due else NEVER)

    def wake(self) -> None:
        """There may be something to deliver."""
        self._deliver_at = min(self._deliver_at, self._spool.clock.monotonic())

    def look_at_batches(self) -> None:
        """A batch may be new, or no process adds jobs to it any more."""
        self._is_unread = True

    def step(self, now: float) -> None:
        """Start the process if there is something for it to do and none runs; `now` is monotonic."""
        if now < self.next_step:
            return
        is_wanted = False
        if self._is_unread:
            self._is_unread, self._open = False, batches.open_batches(self._spool)
            self._seen_commits, self._look_at, self._retry_s = -1, 0.0, AGAIN_S
        if now >= self._deliver_at:
            self._deliver_at = NEVER
            is_wanted = bool(hooks.reports(self._spool))
        if self._open and now >= self._look_at:
            self._seen_commits, self._look_at = self._dispatch.commits, now + LOOK_S
            is_wanted = any(map(self._may_be_complete, self._open)) or is_wanted
        if is_wanted:
            self._start()

    def _may_be_complete(self, batch: str) -> bool:
        if self._dispatch.is_unfinished(batch):
            return False
        fd = batches.take(self._spool, batch)
        if fd is None:
            return False  # a process adds jobs; an event reports when it has ended
        self._spool.files.close(fd)
        return True

    def _start(self) -> None:
        command = [sys.executable, PACKAGE, "--home", self._spool.layout.home, "maintenance", "batches", "hooks"]
        try:
            log = open_private(self._spool.layout.log("hooks"), FLAGS)
        except OSError as error:
            self._again(error)
            return
        try:
            files = ((0, os.devnull), (1, os.devnull), (2, log))
            self.pid = spawn(command[0], command, self._environ, files)
        except OSError as error:
            self._again(error)
        finally:
            os.close(log)

    def _again(self, error: OSError) -> None:
        self._log.error(f"hooks cannot be run: {error.strerror} action=hook")
        self._deliver_at = self._spool.clock.monotonic() + AGAIN_S

    def reaped(self, dead: Container[int]) -> None:
        """Record its end, if it is among the dead; what is left is done later."""
        if self.pid is None or self.pid not in dead:
            return
        self.pid = None
        clock, rate = self._spool.clock, self._spool.settings.hook_rate
        if hooks.reports(self._spool):
            opens_at = deliveries.read(self._spool).opens_at(rate, clock.now())
            self._deliver_at = clock.monotonic() + max(AGAIN_S, opens_at - clock.now())
        self._open = batches.open_batches(self._spool)
        if any(map(self._may_be_complete, self._open)):
            self._seen_commits, self._look_at = -1, clock.monotonic() + self._retry_s
            self._retry_s = min(MOST_RETRY_S, 2 * self._retry_s)

    def close(self) -> None:
        """Deliver what the last jobs have left, when the supervisor ends."""
        is_wanted = hooks.reports(self._spool) or any(map(self._may_be_complete, batches.open_batches(self._spool)))
        if self.pid is None and is_wanted:
            self._start()

    # --- on_idle

    @property
    def is_idle(self) -> bool:
        """The queue is idle, and that was noted."""
        return self._is_busy is False

    def note_busy(self) -> None:
        """A job runs."""
        if self._is_busy:
            return
        self._is_busy = True
        self._spool.files.close(self._spool.files.open(self._spool.layout.mark("busy"), APPEND))

    def note_idle(self) -> None:
        """No job runs, and none may start: report it if one ran before, perhaps under an earlier supervisor.

        Crash: the mark is there until the report is.
        """
        self._is_busy = False
        mark = self._spool.layout.mark("busy")
        if self._spool.files.exists(mark):
            hooks.report_idle(self._spool)
            self._spool.files.unlink(mark)
