"""context: what a maintenance task is given, and its report.

Guarantees: a task pauses between groups of jobs, for longer when a supervisor has to update the index. A daily task runs at
            once when it is named.
Source:     River (one maintenance service a file, each with `run_once`).
"""

from __future__ import annotations

import stat
import time

from queuectl.errors import from_os_error
from queuectl.index.database import IndexUnavailable
from queuectl.index.reader import Reader
from queuectl.spool.context import BALLAST_BYTES
from queuectl.spool.fs import APPEND, READ, changed_at
from queuectl.supervisor.supervisor_lock import is_owned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.client.queue import Queue
    from queuectl.errors import QueueError

DAILY_S = 85800.0  # ten minutes less than a day, so that a daily run is never a little too early
PER_S = 400  # removed jobs for a supervisor to handle: four per cent of two processors
LONGEST_REST_S = 2.0


class TaskContext:
    """The surroundings of a task.

    Args:
        dry_run: change nothing, only say what would be done.
        is_named: the task was named, so daily work is done now.
        is_gentle: rest between groups.

    Attributes:
        now: seconds since 1970; the same for all tasks of a run.
        is_supervised: a supervisor owns the home: processing/ and the index are its own.
        failed: what `remove_under_lock` could not remove.
        gave_up_ballast: the reserved space was freed and has to be reserved again.
    """

    def __init__(self, queue: Queue, *, dry_run: bool = False, is_named: bool = False, is_gentle: bool = True) -> None:
        self.queue = queue
        self.spool = queue.spool
        self.layout = queue.layout
        self.settings = queue.settings
        self.dry_run = dry_run
        self.is_named = is_named
        self.now = queue.spool.clock.now()
        self.is_supervised = is_owned(queue.layout)
        self._is_gentle = is_gentle
        self._since = queue.spool.clock.monotonic()
        self.gave_up_ballast = False
        self.failed: list[QueueError] = []

    @property
    def removed(self) -> str:
        """The verb of a report: what happened, or would have."""
        return "would remove" if self.dry_run else "removed"

    def reader(self) -> Reader:
        """Open the index to choose the jobs to remove.

        On a full disk it is read without an update, because the job's file decides. The reserved space is freed for that; no
        attempt needs it without a supervisor.
        """
        return self.queue.reader() if self.dry_run else self.reader_on_full_disk() or self.queue.reader()

    def reader_on_full_disk(self) -> Reader | None:
        """Open the index without an update, in the reserved space; None if that is not needed or not possible."""
        if self.is_supervised or not self._is_full():
            return None
        self.gave_up_ballast = self.spool.free_ballast()
        try:
            return Reader(self.layout.index)
        except IndexUnavailable:  # there is none yet; the freed space may be enough for it
            return self.queue.reader()

    def _is_full(self) -> bool:
        free, _ = self.spool.files.free_bytes(self.layout.home)
        return free < BALLAST_BYTES

    def rest(self, removed: int = 0) -> None:
        """Sleep for as long as the last group took, or as the supervisor needs for the removed jobs."""
        if not self._is_gentle:
            return
        clock = self.spool.clock
        took = clock.monotonic() - self._since
        time.sleep(min(LONGEST_REST_S, max(took, removed / PER_S if self.is_supervised else 0.0)))
        self._since = clock.monotonic()

    def is_due(self, mark: str) -> bool:
        """Tell whether a day has passed since `note(mark)`."""
        if self.is_named:
            return True
        status = self.spool.files.lstat(self.layout.mark(mark))
        return status is None or not 0 <= self.now - status.st_mtime < DAILY_S

    def note(self, mark: str) -> None:
        """Record that something was done now."""
        if self.dry_run:
            return
        files, path = self.spool.files, self.layout.mark(mark)
        files.close(files.open(path, APPEND))
        files.touch(path)

    def remove_under_lock(self, path: str, is_free: Callable[[], bool] = lambda: True) -> bool:
        """Remove a file under its lock, unless another process has it locked; False when it stays.

        An error is reported at the end of the task; the other files are still removed.
        """
        if self.dry_run:
            return True
        try:
            return self._remove_under_lock(path, is_free)
        except OSError as error:
            self.failed.append(from_os_error(error, f"cannot remove {path}"))
            return False

    def _remove_under_lock(self, path: str, is_free: Callable[[], bool]) -> bool:
        files = self.spool.files
        try:
            fd = files.open(path, READ)
        except FileNotFoundError:
            return False
        try:
            if not files.try_lock(fd) or not is_free():
                return False
            files.unlink(path)
        except FileNotFoundError:
            return False
        finally:
            files.close(fd)
        return True

    def age(self, path: str) -> float | None:
        """Return the seconds since anything happened to a plain file, its renaming included; None when it is none."""
        status = self.spool.files.lstat(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        return self.now - changed_at(status)


class Report:
    """What a task did.

    Args:
        words: "removed 1,204 jobs, 3.1 MB output"; nothing when there was nothing to do.
        figures: the same for programs.
        failed: what could not be done, while the rest was.
    """

    __slots__ = ("failed", "figures", "words")

    def __init__(self, words: str = "", *, failed: list[QueueError] | None = None, **figures: Any) -> None:
        self.words = words
        self.figures = figures
        self.failed = failed or []
