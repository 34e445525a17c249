"""maintenance_runner: runs `maintenance` from time to time, in a process of its own.

Owns:       that process, from its start until it is reaped.
Guarantees: one at a time. It has no lock and no descriptor of the supervisor except a pipe for its stderr, which goes to
            supervisor.log. It gets SIGTERM when the supervisor ends, and may be killed at any instant.
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

FIRST_S = 60.0  # after the start of a supervisor, which is busy then
SHORTEST_S = 60.0  # from one to the next, whatever is configured
RAN = "maintenance-ran"  # its mtime says when a run last ended, also one by a command or cron
STDERR_BYTES = 8192


class MaintenanceRunner:
    """When the next run is due, and the process of the current one.

    Args:
        environ: of the supervisor, so that maintenance uses the same settings.
        register, unregister: add a descriptor and its handler to the loop; remove it.

    Attributes:
        pid: of the process; None while none runs.
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
        self._stderr = b""
        self.pid: int | None = None

    def _when_ran(self) -> float:
        """Return the monotonic time at which a run last ended; -NEVER if there was none, or the clock was set back."""
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
        """Start it if it is due and was not run by another process meanwhile; `now` is monotonic."""
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
        self._register(self._pipe, self._read_stderr)

    def _read_stderr(self) -> None:
        """Read its stderr, of which the first bytes are kept; at end of file stop reading."""
        if self._pipe < 0:  # it was closed after the selector found it readable
            return
        try:
            data = os.read(self._pipe, 65536)
        except BlockingIOError:
            return
        self._stderr = (self._stderr + data)[:STDERR_BYTES]
        if not data:
            self._close_pipe()

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            self._unregister(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    def reaped(self, dead: Container[int]) -> None:
        """Record its end, if it is among the dead, and log its stderr."""
        if self.pid is None or self.pid not in dead:
            return
        self.pid = None
        if self._pipe >= 0:
            self._read_stderr()
        self._close_pipe()
        for line in self._stderr.decode("utf-8", "replace").splitlines():
            self._log.warning(f"maintenance: {line} action=maintenance")
        self._stderr = b""

    def stop(self) -> None:
        """End it and start no other; the next run continues its work."""
        self._earliest = NEVER
        if self.pid is not None:
            for number in (signal.SIGTERM, signal.SIGCONT):  # it may be stopped
                os.kill(self.pid, number)  # a child that was not waited for: the pid is still its own
