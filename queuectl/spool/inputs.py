"""inputs: what jobs get on their standard input: input/ID, which is kept as long as its job.

Owns:       input/.
Guarantees: input/ID is whole and durable before its job gets a name, and is removed only after its job is durably gone. The
            process that enqueues keeps it locked until the job has its name: an unlocked one without a job was left by a
            process that was killed, or by a removal.
Fails with: InvalidData (more than `max_input`), Busy (too little disk space), Conflict; OSError where the disk fails.
Source:     spool/FORMAT.md § Input.
"""

from __future__ import annotations

import stat

from queuectl.errors import Conflict, InvalidData
from queuectl.spool.fs import READ
from queuectl.units import spell_exact_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from queuectl.spool.context import SpoolContext

KEPT = "input"  # the value of the field `stdin` of a job that has a file in input/
CHUNK_BYTES = 1 << 20


class Staged:
    """An input that is written; it may have a temporary name in tmp/ (`name`), or that of a job in input/ (`job_id`)."""

    __slots__ = ("_fd", "_name", "_spool", "job_id")

    def __init__(self, spool: SpoolContext) -> None:
        self._spool = spool
        self._fd, self._name = spool.files.create(spool.layout.tmp)
        self.job_id: str | None = None

    def fill(self, source: BinaryIO, check_disk: Callable[[SpoolContext], None]) -> None:
        """Lock it and copy `source` to its end, durable."""
        spool, files = self._spool, self._spool.files
        files.try_lock(self._fd)
        size, most = 0, spool.settings.max_input
        while chunk := source.read(CHUNK_BYTES):
            if size + len(chunk) > most:
                hint = "give the command the path of a file, or: queuectl config set max_input SIZE"
                raise InvalidData(f"the input has more than max_input ({spell_exact_size(most)})", hint)
            check_disk(spool)
            files.write(self._fd, chunk, size)
            size += len(chunk)
        if spool.is_durable:
            files.sync(self._fd)

    def publish(self, job_id: str) -> None:
        """Give it the name of a job that has none yet, durable.

        Raises:
            Conflict: another process enqueues a job of this id at this moment.

        Crash: it may be there without a job; see `remove_orphan`.
        """
        spool, files = self._spool, self._spool.files
        target = spool.layout.input_of(job_id)
        if self.job_id is not None:  # that id was taken
            files.move(spool.layout.input_of(self.job_id), target)
        else:
            try:
                files.publish(self._fd, self._name, target)
            except FileExistsError:
                if remove_orphan(spool, job_id) is None:
                    raise Conflict(f"there is an input of another job {job_id}", "omit the id") from None
                files.publish(self._fd, self._name, target)
        self._name, self.job_id = None, job_id
        if spool.is_durable:
            files.sync_directory(spool.layout.input)

    def close(self, *, is_used: bool) -> None:
        """Unlock it, and remove it unless it is used by its job."""
        path = self._name if self.job_id is None else self._spool.layout.input_of(self.job_id)
        try:
            if path is not None and not is_used:
                self._spool.files.unlink(path)
        except OSError:
            pass  # it is removed later, as one without a job
        try:
            self._spool.files.close(self._fd)
        except OSError:
            pass  # it was synced before


def stage(spool: SpoolContext, source: BinaryIO, check_disk: Callable[[SpoolContext], None] = lambda _: None) -> Staged:
    """Copy `source` to its end into a file that has no name in input/ yet, durable and locked.

    Args:
        check_disk: called before each piece is written; raises Busy when too little space is left.

    Crash: nothing is left, or a file in tmp/ where unnamed files do not exist.
    """
    spool.layout.ensure()
    staged = Staged(spool)
    try:
        staged.fill(source, check_disk)
    except BaseException:
        staged.close(is_used=False)
        raise
    return staged


def inode_of(spool: SpoolContext, job_id: str) -> int | None:
    """Return the inode of a job's input; None when it has none."""
    status = spool.files.lstat(spool.layout.input_of(job_id))
    return None if status is None else status.st_ino


def remove_orphan(spool: SpoolContext, job_id: str, inode: int | None = None) -> int | None:
    """Remove an input whose job does not exist; returns its size, 0 when it was not there, None when it stays.

    Args:
        inode: only this one: another job of the same id may have been enqueued meanwhile.
    """
    files, path = spool.files, spool.layout.input_of(job_id)
    there = files.lstat(path)
    if there is None:
        return 0
    if stat.S_ISDIR(there.st_mode) or inode not in (None, there.st_ino):
        return None
    fd = files.open(path, READ) if stat.S_ISREG(there.st_mode) else None
    try:
        if fd is not None:
            if not files.try_lock(fd):
                return None
            now = files.lstat(path)
            if now is None or now.st_ino != files.fstat(fd).st_ino:
                return None
        if spool.find(job_id) is not None:
            return None
        files.unlink(path)
    finally:
        if fd is not None:
            files.close(fd)
    return there.st_size
