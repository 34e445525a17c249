"""runner: the supervisor has maintenance run now and then, by a process of its own beside the loop.

Owns:       that process, from its start until it is reaped.
Guarantees: one at a time; it holds no lock and no descriptor of ours but the pipe for its complaints, which go to our log;
            it is told to end when the supervisor ends, and may be killed at any instant.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from queuectl.executor.spawn import spawn
from queuectl.timers import NEVER
from queuectl.version import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping
    from typing import Any

    from queuectl.log import Log
    from queuectl.spool.spool import Spool

FIRST_S = 60.0  # after the start of a supervisor, which has enough to do
SHORTEST_S = 60.0  # from one to the next, whatever is configured
RAN = "maintenance-ran"  # its mtime tells when a whole run last ended, whoever ran it
COMPLAINT_BYTES = 8192


class MaintenanceRunner:
    """When the next one is due, and the one that is under way.

    Args:
        environ: of the supervisor, so that maintenance goes by the same settings.
        register, unregister: called with what the loop is to watch, and what to do when it is readable.

    Attributes:
        pid: of the process; None when none runs.
    """

    def __init__(
        self,
        spool: Spool,
        log: Log,
        environ: Mapping[str, str],
        register: Callable[[Any, Callable[[], None]], None],
        unregister: Callable[[Any], Any],
    ) -> None:
        self._spool = spool
        self._log = log
        self._environ = environ
        self._register = register
        self._unregister = unregister
        self._earliest = spool.clock.monotonic() + FIRST_S
        self._last = self._when_ran()
        self._pipe = -1
        self._said = b""
        self.pid: int | None = None

    def _when_ran(self) -> float:
        """Return the monotonic time at which a run last ended; long ago when none has, or the clock was set back."""
        clock, status = self._spool.clock, self._spool.files.lstat(self._spool.layout.mark(RAN))
        ago = -1.0 if status is None else clock.now() - status.st_mtime
        return clock.monotonic() - ago if ago >= 0 else -NEVER

    @property
    def next_step(self) -> float:
        """The monotonic time at which `step` has something to do."""
        interval_s = self._spool.settings.maintenance_interval
        if self.pid is not None or not interval_s:
            return NEVER
        return max(self._earliest, self._last + max(SHORTEST_S, interval_s))

    def step(self, now: float) -> None:
        """Start it when it is due, unless somebody else has just run it; `now` is monotonic."""
        if now < self.next_step:
            return
        self._last = max(self._last, self._when_ran())
        if now >= self.next_step:
            self._last = now
            self._start()

    def _start(self) -> None:
        self._pipe, theirs = os.pipe()
        command = [sys.executable, PACKAGE, "--home", self._spool.layout.home, "maintenance"]
        try:
            self.pid = spawn(command[0], command, self._environ, ((0, os.devnull), (1, os.devnull), (2, theirs)))
        except OSError as error:
            self._log.error(f"maintenance cannot be started: {error.strerror} action=maintenance")
            os.close(self._pipe)
            self._pipe = -1
            return
        finally:
            os.close(theirs)
        os.set_blocking(self._pipe, False)
        self._register(self._pipe, self._listen)

    def _listen(self) -> None:
        """Take what it complains of, of which the beginning is kept; at its end stop listening."""
        if self._pipe < 0:  # its end was noted since the selector found it readable
            return
        try:
            data = os.read(self._pipe, 65536)
        except BlockingIOError:
            return
        self._said = (self._said + data)[:COMPLAINT_BYTES]
        if not data:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._pipe >= 0:
            self._unregister(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    def reaped(self, dead: Container[int]) -> None:
        """Take note of its end, if it is among the dead, and log its complaints."""
        if self.pid is None or self.pid not in dead:
            return
        self.pid = None
        if self._pipe >= 0:
            self._listen()
        self._hang_up()
        for line in self._said.decode("utf-8", "replace").splitlines():
            self._log.warning(f"maintenance: {line} action=maintenance")
        self._said = b""

    def stop(self) -> None:
        """Tell it to end, and start no other; what it was at, the next one goes on with."""
        self._earliest = NEVER
        if self.pid is not None:
            for number in (signal.SIGTERM, signal.SIGCONT):  # it may be stopped
                os.kill(self.pid, number)  # a child that was not waited for: the pid is still its own
