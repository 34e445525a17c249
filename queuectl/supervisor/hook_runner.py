"""hook_runner: has the reports to hooks delivered by a process of its own, and notices when the queue is idle.

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
from queuectl.spool import deliveries, hooks
from queuectl.spool.fs import APPEND
from queuectl.timers import NEVER
from queuectl.version import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from queuectl.log import Log
    from queuectl.spool.spool import Spool

AGAIN_S = 1.0


class HookRunner:
    """When hooks are to be run.

    Args:
        environ: of the supervisor, so that the same settings are used.

    Attributes:
        pid: of the process; None while none runs.
        next_step: the monotonic time at which `step` has something to do.
    """

    def __init__(self, spool: Spool, log: Log, environ: Mapping[str, str]) -> None:
        self._spool = spool
        self._log = log
        self._environ = environ
        self._is_busy: bool | None = None  # not known yet
        self.pid: int | None = None
        self.next_step = NEVER

    def wake(self) -> None:
        """There may be something to deliver."""
        self.next_step = min(self.next_step, self._spool.clock.monotonic())

    def step(self, now: float) -> None:
        """Start the process if there is something to deliver and none runs; `now` is monotonic."""
        if now < self.next_step:
            return
        self.next_step = NEVER
        if self.pid is None and hooks.reports(self._spool):
            self._start()

    def _start(self) -> None:
        command = [sys.executable, PACKAGE, "--home", self._spool.layout.home, "maintenance", "hooks"]
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
        self.next_step = self._spool.clock.monotonic() + AGAIN_S

    def reaped(self, dead: Container[int]) -> None:
        """Record its end, if it is among the dead; what is left is delivered later."""
        if self.pid is None or self.pid not in dead:
            return
        self.pid = None
        if hooks.reports(self._spool):
            clock, rate = self._spool.clock, self._spool.settings.hook_rate
            opens_at = deliveries.read(self._spool).opens_at(rate, clock.now())
            self.next_step = clock.monotonic() + max(AGAIN_S, opens_at - clock.now())

    def close(self) -> None:
        """Deliver what the last jobs have left, when the supervisor ends."""
        if self.pid is None and hooks.reports(self._spool):
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
