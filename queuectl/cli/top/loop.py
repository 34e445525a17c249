"""loop: `top` from the first look to the last key.

Guarantees: what takes time (a cancelled job may take long to die) is done by a command of its own, so that keys are heard
            meanwhile. A supervisor that does not answer, and anything else that may pass, is told on the last line.
"""

from __future__ import annotations

import subprocess
import sys

from queuectl.cli.tail import LOOK_S
from queuectl.cli.top.jobs import Log, look
from queuectl.cli.top.state import State
from queuectl.cli.top.terminal import Ended
from queuectl.cli.top.view import frame, log_frame
from queuectl.errors import QueueError, TimedOut
from queuectl.executor.signals import time_limit
from queuectl.version import PACKAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.terminal import Screen
    from queuectl.cli.top.terminal import Terminal
    from queuectl.cli.top.view import Snapshot
    from queuectl.client.queue import Queue

PATIENCE_S, MOST_PATIENCE_S = 3.0, 60.0  # keys are not heard during a look
VERBS = ("cancel", "retry")


class Loop:
    """What is on the screen, and what is going on."""

    def __init__(self, queue: Queue, screen: Screen, terminal: Terminal, every_s: float) -> None:
        self._queue = queue
        self._screen = screen
        self._terminal = terminal
        self._every_s = every_s
        self._clock = queue.spool.clock
        self._state = State()
        self._snapshot: Snapshot | None = None
        self._log: Log | None = None
        self._next_look = -1.0
        self._next_read = 0.0
        self._patience_s = PATIENCE_S
        self._running: list[tuple[str, str, subprocess.Popen[str]]] = []

    def run(self) -> int:
        """Go on until somebody leaves; return the exit code."""
        try:
            while True:
                self._step()
                for key in self._terminal.wait(self._pause()):
                    if self._press(key):
                        return 0
        except Ended as end:
            return end.code

    def _pause(self) -> float:
        now = self._clock.monotonic()
        return min(self._next_look, self._next_read if self._log is not None else self._next_look) - now

    def _step(self) -> None:
        now = self._clock.monotonic()
        self._reap()
        if now >= self._next_look:
            self._look()
            self._next_look = self._clock.monotonic() + self._every_s
        if self._log is not None and now >= self._next_read:
            self._log.read()
            self._next_read = now + LOOK_S
        self._draw()

    def _look(self) -> None:
        try:
            with time_limit(self._patience_s, "the queue did not answer"):
                self._snapshot = look(self._queue, self._screen, self._state)
        except QueueError as error:
            self._state.message = str(error)
            if isinstance(error, TimedOut):  # an index that takes longer to catch up gets there at last
                self._patience_s = min(2 * self._patience_s, MOST_PATIENCE_S)
            return
        self._patience_s = PATIENCE_S
        self._state.show([job["id"] for job in self._snapshot.jobs])

    def _draw(self) -> None:
        size = self._terminal.size
        if self._log is not None:
            self._terminal.show(log_frame(self._screen, self._log.title, self._log.lines, self._state, size))
        elif self._snapshot is not None:
            self._terminal.show(frame(self._screen, self._snapshot, self._state, size))
        else:
            self._terminal.show([(self._state.message, False)])

    def _press(self, key: str) -> bool:
        """Do what a key asks for; True when it is to leave."""
        wanted = self._state.press(key)
        if self._log is not None and self._state.mode != "log":
            self._log.close()
            self._log = None
        if wanted == "look":
            self._next_look = -1.0
        elif wanted == "log":
            self._open_log()
        elif wanted in VERBS and self._state.selected is not None:
            self._begin(wanted, self._state.selected)
        return wanted == "quit"

    def _open_log(self) -> None:
        try:
            self._log = Log(self._queue, str(self._state.selected))
        except QueueError as error:
            self._state.message = str(error)
            return
        self._state.mode, self._next_read = "log", 0.0

    def _begin(self, verb: str, job_id: str) -> None:
        """Have a command do it; a job that has completed since the last look is not run again."""
        if verb == "retry" and self._has_completed(job_id):
            self._state.message = f"{job_id} has completed; to run it again: queuectl retry {job_id}"
            return
        command = [sys.executable, PACKAGE, "--home", self._queue.layout.home, verb, job_id]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._running.append((verb, job_id, process))
        self._state.message = f"{verb} {job_id} ..."

    def _has_completed(self, job_id: str) -> bool:
        try:
            return self._queue.get(job_id).state == "completed"
        except QueueError:
            return False  # the command says what is wrong

    def _reap(self) -> None:
        """Tell of what has ended."""
        for each in [*self._running]:
            verb, job_id, process = each
            if process.poll() is None:
                continue
            self._running.remove(each)
            said = process.communicate()[1].splitlines()
            failed = f"{verb} {job_id} failed"
            self._state.message = said[0].removeprefix("queuectl: ") if said else failed
            self._next_look = -1.0
