"""systemd_notify: reports the state of the supervisor to the service manager that started it.

Guarantees: a message only after a change, at most one a second; no wake-up without a change. Without a service manager it
            does nothing. No process that the supervisor starts inherits the manager's variables.
Source:     sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from queuectl.control_client import BACKOFF, STARTING
from queuectl.timers import NEVER
from queuectl.units import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queuectl.supervisor.worker_pool import WorkerSlot

ADDRESS = "NOTIFY_SOCKET"
FOR_US_ALONE = (ADDRESS, "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
PAUSE_S = 1.0
READY, LEAVING = "READY=1", "STOPPING=1"


class ServiceManager:
    """The service manager that waits for READY=1, if there is one.

    Attributes:
        next_step: monotonic; when `step` has something to report.
    """

    def __init__(self, environ: Mapping[str, str], slots: Mapping[str, WorkerSlot]) -> None:
        self._address = _address(environ.get(ADDRESS, ""))
        self._slots = slots
        self._phase = self._status = ""
        self._silent_until = 0.0
        self.next_step = NEVER if self._address is None else 0.0
        for name in FOR_US_ALONE:
            os.environ.pop(name, None)

    def step(self, now: float, *, draining: bool) -> None:
        """Report what has changed; `now` is monotonic."""
        if self._address is None:
            return
        phase, status = self._phase_now(draining), self._status_now(draining)
        if (phase, status) == (self._phase, self._status):
            self.next_step = NEVER
        elif phase == self._phase and now < self._silent_until:
            self.next_step = self._silent_until
        elif self._send([*([phase] if phase != self._phase else []), f"STATUS={status}"]):
            self._phase, self._status = phase, status
            self._silent_until, self.next_step = now + PAUSE_S, NEVER
        else:
            self.next_step = now + PAUSE_S

    def _phase_now(self, draining: bool) -> str:
        if draining:
            return LEAVING
        is_ready = not any(slot.state in (STARTING, BACKOFF) for slot in self._slots.values())
        return READY if is_ready else self._phase

    def _status_now(self, draining: bool) -> str:
        busy = sum(slot.job_id is not None for slot in self._slots.values())
        return f"{'Stopping, ' if draining else ''}{busy} of {plural(len(self._slots), 'worker')} busy"

    def _send(self, lines: list[str]) -> bool:
        """Send a message; False if the socket is full. After an error nothing more is sent."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end:
                end.sendto("\n".join(lines).encode(), self._address or "")
        except BlockingIOError:
            return False
        except OSError:
            self._address = None
        return True


def _address(text: str) -> str | None:
    """Return the address of the socket; a leading @ stands for the NUL of an abstract one."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None
