"""hook_runs: runs the commands of hooks, a few at a time, each with a time limit.

Owns:       the processes of these commands, while the generator runs.
Guarantees: a command has ended with all its processes before its result is yielded. After its time it gets SIGTERM, then
            SIGKILL, as a job does. SIGTERM to this process lets running commands end and starts no others.
Fails with: nothing: what cannot be started has a result that says why.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import tempfile
from typing import IO, TYPE_CHECKING

from queuectl.clock import Clock
from queuectl.executor import process_tree
from queuectl.executor.environment import HOME_TAG, SHELL, TAG
from queuectl.executor.local import outcome_of
from queuectl.executor.process_tree import Ending
from queuectl.executor.signals import Inbox
from queuectl.executor.spawn import spawn
from queuectl.job.outcome import TimedOut, describe, succeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psutil

MOST_OUTPUT_BYTES = 1 << 20  # a command that writes more is ended
TAIL_BYTES = 2000
CHECK_S = 1.0


class HookRun:
    """The run of one hook, and its result.

    Args:
        name: unique; by it the processes of the run are known.
        stdin: what the command reads.
        cwd: where it runs; the home directory of the user where that cannot be entered.

    Attributes:
        error: why it failed; None when it succeeded.
        output: the last that it wrote.
    """

    def __init__(
        self,
        name: str,
        command: str,
        stdin: bytes,
        environment: Mapping[str, str],
        cwd: str,
        timeout_s: float,
        kill_after_s: float,
    ) -> None:
        self.name = name
        self.command = command
        self.error: str | None = None
        self.output = ""
        self._stdin = stdin
        self._environment = {**environment, TAG: f"~{name}"}  # no run of a job is called so
        self._cwd = cwd
        self._timeout_s, self._kill_after_s = timeout_s, kill_after_s
        self._file: IO[bytes] | None = None
        self._status: int | None = None
        self._ending: Ending | None = None
        self._deadline = 0.0
        self.pid = -1
        self.is_over = False

    def start(self, now: float) -> None:
        """Start the command; `is_over` at once when it cannot be started."""
        self._deadline = now + self._timeout_s
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _finish
            with tempfile.TemporaryFile() as stdin:
                stdin.write(self._stdin)
                stdin.seek(0)
                files = ((0, stdin.fileno()), (1, self._file.fileno()), (2, self._file.fileno()))
                _enter(self._cwd, self._environment["HOME"])
                self.pid = spawn(SHELL, [SHELL, "-c", self.command], self._environment, files)
        except (OSError, UnicodeEncodeError) as error:
            self._finish(f"cannot be started: {error}")
        finally:
            os.chdir("/")

    def ended(self, status: int) -> None:
        """Take the wait status of the command."""
        self._status = status

    def step(self, now: float) -> float:
        """Do what is due; return when to call again. `is_over` may become true."""
        is_too_long = os.fstat(self._file.fileno()).st_size > MOST_OUTPUT_BYTES if self._file is not None else False
        if self._ending is None and (self._status is not None or now >= self._deadline or is_too_long):
            if self._status is None:
                self.error = "its output is too long" if is_too_long else describe(TimedOut(self._timeout_s))
            self._ending = Ending(self._processes, self._kill_after_s, now)
        if self._ending is None:
            return min(self._deadline, now + CHECK_S)
        again = self._ending.step(now)
        if again is not None or self._status is None:
            return now + CHECK_S if again is None else again
        outcome = outcome_of(self._status)
        self._finish(self.error or (None if succeeded(outcome) else describe(outcome)))
        return now

    def _processes(self) -> list[psutil.Process]:
        found = process_tree.with_descendants(self.pid) if self._status is None else []
        home = self._environment[HOME_TAG]
        others = (
            p for p in process_tree.descendants_of(os.getpid()) if process_tree.tag_of(p, home) == f"~{self.name}"
        )
        return [*{process.pid: process for process in (*found, *others)}.values()]

    def _finish(self, error: str | None) -> None:
        self.is_over, self.error = True, error
        if self._file is not None:
            size = os.fstat(self._file.fileno()).st_size
            data = os.pread(self._file.fileno(), TAIL_BYTES, max(0, size - TAIL_BYTES))
            self.output = data.decode("utf-8", "replace").strip()
            self._file.close()


def _enter(cwd: str, home: str) -> None:
    for directory in (cwd, home):
        try:
            os.chdir(directory)
        except OSError:
            continue
        return
    raise OSError(errno.ENOENT, f"cannot enter {cwd} or {home}")


def run_hooks(wanted: Callable[[], HookRun | None], at_once: int) -> Iterator[HookRun]:
    """Run hooks and yield each when it is over. `wanted` returns the next one to start; None when there is none now."""
    clock, running = Clock(), dict[int, HookRun]()
    process_tree.become_subreaper()
    inbox, poll = Inbox((signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)), select.poll()
    poll.register(inbox, select.POLLIN)
    try:
        yield from _run(wanted, at_once, clock, inbox, poll, running)
    finally:
        inbox.close()


def _run(
    wanted: Callable[[], HookRun | None],
    at_once: int,
    clock: Clock,
    inbox: Inbox,
    poll: select.poll,
    running: dict[int, HookRun],
) -> Iterator[HookRun]:
    is_stopped, wake = False, 0.0
    while True:
        while not is_stopped and len(running) < at_once:
            run = wanted()
            if run is None:
                break
            run.start(clock.monotonic())
            if run.is_over:
                yield run
            else:
                running[run.pid] = run
                wake = 0.0
        if not running:
            return
        poll.poll(max(0.0, wake - clock.monotonic()) * 1000 + 1 if wake else 0)
        is_stopped = is_stopped or any(number != signal.SIGCHLD for number in inbox.take())
        _reap(running)
        now, wake = clock.monotonic(), clock.monotonic() + CHECK_S
        for pid, run in [*running.items()]:
            wake = min(wake, run.step(now))
            if run.is_over:
                del running[pid]
                yield run


def _reap(running: Mapping[int, HookRun]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in running:
            running[pid].ended(status)
