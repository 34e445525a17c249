"""local: starts one attempt as a process of this machine.

Owns:       the output file and the run's lock.
Guarantees: the command writes to its file directly. The lock of the run is held as long as one of its processes keeps one
            of the descriptors. A command that cannot be started has an Outcome.
Source:     flock(2), wait4(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
from typing import TYPE_CHECKING, NamedTuple

from queuectl.atomic_file import open_private
from queuectl.command_location import which
from queuectl.errors import QueueError
from queuectl.executor.environment import SHELL, command_environment
from queuectl.executor.limits import NO_LIMITS, LimitRefused, Limits, limits_of, spawn_limited
from queuectl.executor.spawn import spawn
from queuectl.job.outcome import NOT_EXECUTABLE, NOT_FOUND, Exited, FailedToStart, Outcome, Signaled, Usage
from queuectl.spool.fs import READ
from queuectl.spool.inputs import KEPT
from queuectl.units import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queuectl.executor.spawn import Files
    from queuectl.job.job import Job
    from queuectl.spool.layout import Layout

LEAST_OPEN_FILES = 128  # that a process may have: a command's lock is descriptor LOCK_FD
OPEN_FILES, OPEN_FILES_OF_A_WORKER = 64, 2  # of a supervisor without workers, and for each of them
RAISE_HARD_LIMIT = "have root raise it: limits.conf, or LimitNOFILE= of a service"
LOCK_FD = 113  # shells reassign low descriptors, but not this one
TAIL_BYTES = 4096
TAIL_LINES = 3
SHOWN_CHARS = 200  # of a path in an error
TAIL_CHARS = 600


class Ended(NamedTuple):
    """How an attempt ended and what it used; `usage` is None if it never started or another process reaped it.

    `leftovers` are the processes that were still running after the command had ended, and were ended: (pid, command).
    """

    outcome: Outcome
    usage: Usage | None
    leftovers: tuple[tuple[int, str], ...] = ()


class NotStarted(Exception):
    """The attempt did not start; `outcome` says why, None if it may be tried again without counting."""

    def __init__(self, outcome: FailedToStart | None, why: str = "") -> None:
        super().__init__(outcome.why if outcome else why)
        self.outcome = outcome


class LocalAttempts:
    """Runs commands as children of this process.

    Args:
        base: the environment that every command starts with.
    """

    def __init__(self, layout: Layout, base: Mapping[str, str]) -> None:
        self._layout = layout
        self._base = base

    def start(self, job: Job) -> int:
        """Start the job's newest attempt and return its pid.

        Raises:
            NotStarted.

        Crash: before the spawn nothing ran; after it, the lock and the tag of the run show that it is alive.
        """
        environment = command_environment(self._base, job, job.attempts, self._layout)
        output = self._open_output(job)
        stdin: int | str = os.devnull
        try:
            if "stdin" in job.fields:
                stdin = self._open_input(job)
            program, arguments = _program(job, environment)
            _enter(str(job.fields.get("cwd") or environment["HOME"]))
            files = ((0, stdin), (LOCK_FD, output), (1, output), (2, output))
            try:
                return _spawn(program, arguments, environment, files, limits_of(job.fields))
            finally:
                os.chdir("/")
        finally:
            os.close(output)
            if isinstance(stdin, int):
                os.close(stdin)

    def _open_input(self, job: Job) -> int:
        """Open what the command reads on its standard input, at its beginning."""
        is_kept = job.fields["stdin"] == KEPT
        path = self._layout.input_of(job.id) if is_kept else job.fields["stdin"]
        try:
            fd = os.open(path, READ if is_kept else READ & ~os.O_NOFOLLOW)
        except OSError as error:
            raise NotStarted(FailedToStart(f"cannot open its input {_brief(path)}: {error.strerror}")) from None
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise NotStarted(FailedToStart(f"its input {_brief(path)} is not a regular file"))

    def _open_output(self, job: Job) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = open_private(self._layout.output_of(job.id, job.attempts), flags)
        except OSError as error:
            raise NotStarted(None, f"cannot create its output file: {error.strerror}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise NotStarted(None, "an earlier run of the same attempt is still alive") from None
        return fd


def refuse_low_limit(workers: int) -> None:
    """Refuse a number of workers for which the limit of open files is too low.

    Raises:
        QueueError: it names the limit that is needed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(LEAST_OPEN_FILES, OPEN_FILES + OPEN_FILES_OF_A_WORKER * workers)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    enough = hard == resource.RLIM_INFINITY or hard >= needed
    hint = f"ulimit -n {max(needed, min(4096, hard) if hard > 0 else 4096)}" if enough else RAISE_HARD_LIMIT
    has = f"a process may have {soft} files open (ulimit -n)"
    raise QueueError(f"{has}; {plural(workers, 'worker')} and their supervisor need {needed}", hint)


def _program(job: Job, environment: Mapping[str, str]) -> tuple[str, list[str]]:
    fields = job.fields
    if "command" in fields and "shell" not in fields:
        return SHELL, [SHELL, "-c", fields["command"]]
    argv = [fields["shell"], "-c", fields["command"]] if "shell" in fields else fields["argv"]
    cwd = str(fields.get("cwd") or environment["HOME"])
    name = argv[0]
    if "/" in name:
        return os.path.join(cwd, name), argv
    found = which(name, environment.get("PATH", ""), cwd)
    if found is None:
        raise NotStarted(
            FailedToStart(f"{_brief(name)}: no such program in PATH={environment.get('PATH', '')}", NOT_FOUND)
        )
    return found, argv


def _enter(cwd: str) -> None:
    try:
        os.chdir(cwd)
    except OSError as error:
        raise NotStarted(FailedToStart(f"cannot enter directory {_brief(cwd)}: {error.strerror}")) from None


def _spawn(program: str, arguments: list[str], environment: Mapping[str, str], files: Files, limits: Limits) -> int:
    try:
        if limits is NO_LIMITS:
            return spawn(program, arguments, environment, files)
        return spawn_limited(program, arguments, environment, files, limits)
    except LimitRefused as error:
        raise NotStarted(FailedToStart(f"cannot start {_brief(program)}: {error}")) from None
    except UnicodeEncodeError as error:  # the encoding of the locale cannot represent it
        why = f"cannot start {_brief(program)}: {_brief(error.object)} cannot be encoded in {error.encoding}"
        raise NotStarted(FailedToStart(why)) from None
    except OSError as error:
        code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
        raise NotStarted(
            FailedToStart(f"cannot start {_brief(program)}: {os.strerror(error.errno or 0)}", code)
        ) from None


def _brief(path: str) -> str:
    """Return the end of a path that is too long for an error message."""
    return path if len(path) <= SHOWN_CHARS else "…" + path[-SHOWN_CHARS:]


def outcome_of(status: int) -> Outcome:
    """Return the outcome for a wait status."""
    if os.WIFSIGNALED(status):
        return Signaled(os.WTERMSIG(status))
    return Exited(os.WEXITSTATUS(status))


def last_lines(path: str) -> str:
    """Return the last lines that an attempt wrote, at most TAIL_LINES and TAIL_CHARS."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        size = os.fstat(fd).st_size
        data = os.pread(fd, TAIL_BYTES, max(0, size - TAIL_BYTES))
    finally:
        os.close(fd)
    lines = [line.rstrip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(lines[-TAIL_LINES:])[-TAIL_CHARS:]


def size_of(path: str) -> int:
    """Return how many bytes an attempt has written."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
