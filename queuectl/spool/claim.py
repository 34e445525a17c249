"""claim: a job plus the right to change it.

Owns:       how a job file grows and moves; only a Claim can do either.
Guarantees: the lock is held from before the last read until `close`; the verdict is written before the move; no value
            in the file is overwritten.
Fails with: SpoolFull (a verdict that must not be lost cannot be written), Conflict (wrong state).
Source:     spool/FORMAT.md § Growing, § Transitions.
"""

from __future__ import annotations

import errno
import os
import stat

from queuectl.clock import spell
from queuectl.errors import Busy, Conflict
from queuectl.job import DEAD, DONE, LEADS_TO, PENDING, PROCESSING, Job, leads_to
from queuectl.record import MAX_BYTES, InvalidData, Record, parse, salvage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.record import Entry
    from queuectl.spool.spool import Spool

COMPACT_AT_BYTES = 64 << 10
FULL = (errno.ENOSPC, errno.EDQUOT)


class SpoolFull(Busy):
    """The disk is full: nothing was changed, the same call may be made again."""


class Claim:
    """An open, locked job file.

    Attributes:
        job: the job as it was read under the lock, kept up to date as it grows.
        details_lost: the disk was full, so the verdict moved the file without being written into it.
    """

    __slots__ = ("_fd", "_spool", "details_lost", "directory", "job", "record")

    def __init__(self, spool: Spool, fd: int, directory: str, job_id: str, record: Record) -> None:
        self._spool = spool
        self._fd = fd
        self.directory = directory
        self.record = record
        self.job = Job(job_id, record, directory, self._mtime())
        self.details_lost = False

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the job up: the lock is free at once. Closing twice is harmless."""
        if self._fd >= 0:
            self._spool.files.close(self._fd)
            self._fd = -1

    def inode(self) -> int:
        """Return the number of the inode that is locked."""
        return self._spool.files.fstat(self._fd).st_ino

    # --- the verbs of a running job (processing/)

    def start(self, worker: str) -> None:
        """Write that an attempt begins; not synced here (see `sync_start`).

        Crash: before the write, nothing ran; after it, recovery counts an interruption.
        """
        self._grow({"event": "started", "attempt": self.job.attempts + 1, "at": self._now(), "worker": worker})

    def sync_start(self) -> None:
        """Make `started` durable, so that a job which brings the machine down is counted."""
        if self._spool.settings.durability == "full":
            self._spool.files.sync_data(self._fd)

    def finish(self, details: dict[str, Any]) -> None:
        """File the job in done/ as completed. Crash: recovery finishes the move, or counts an interruption."""
        self._settle({"event": "completed", "at": self._now(), **details})

    def reschedule(self, event: str, run_at: float, details: dict[str, Any]) -> None:
        """Put the job back: `event` is failed, snoozed, requeued or interrupted.

        Raises:
            SpoolFull: the verdict cannot be written; the job stays in processing/, locked. Try again.
        """
        self._settle({"event": event, "at": self._now(), "run_at": spell(run_at), **details})

    def bury(self, reason: str, details: dict[str, Any], event: str = "died") -> None:
        """Move the job to the dead letter queue."""
        self._settle({"event": event, "at": self._now(), "reason": reason, **details})

    def interrupt(self, error: str) -> None:
        """Count an attempt of which nobody saw the end, and put the job back or bury it."""
        settings = self._spool.settings
        policy = self.job.fields.get("on_interrupt", settings.on_interrupt)
        if policy == "bury" or self.job.interruptions + 1 >= settings.max_interruptions:
            self.bury("interrupted", {"error": error})
        else:
            self.reschedule("interrupted", self._spool.clock.now(), {"error": error})

    def put_back(self) -> None:
        """Return a job of which nothing ran to pending/; the history does not change."""
        self._move(PENDING)

    # --- the verbs of a job that does not run

    def cancel(self, details: dict[str, Any] | None = None) -> None:
        """File the job in done/ as cancelled."""
        self._settle({"event": "cancelled", "at": self._now(), **(details or {})})

    def revive(self) -> None:
        """Move a job from done/ or dead/ back to pending/ with a fresh retry budget.

        The one verb that moves first and then grows, so that nothing in done/ or dead/ ever says "run me".

        Crash: in pending/ with a terminal last event: whoever claims next moves it back. Not acknowledged.
        """
        if self.directory not in (DONE, DEAD):
            raise Conflict(f"job {self.job.id} is {self.job.state}; only a finished or dead job can be revived")
        source = self.directory
        self._move(PENDING, sync=False)
        try:
            self._grow({"event": "revived", "at": self._now()})
        except SpoolFull:
            self._move(source)
            raise
        if self._spool.settings.durability == "full":
            self._spool.files.sync_data(self._fd)
            self._sync_directories(PENDING, source)

    def hold(self) -> None:
        """Keep a waiting job from being started until `release`."""
        self._grow_in_pending({"event": "held", "at": self._now()})

    def release(self) -> None:
        """Let a held job run again."""
        if not self.job.is_held:
            raise Conflict(f"job {self.job.id} is {self.job.state}, not held")
        self._grow_in_pending({"event": "released", "at": self._now()})

    def edit(self, changes: dict[str, Any]) -> None:
        """Change what the author said; a member set to None is taken away. `changes` has been validated."""
        self._grow_in_pending({"event": "edited", "at": self._now(), "set": changes})

    def run_now(self) -> None:
        """Make a job that waits for its time or its next try due at once; its retry budget stays."""
        now = self._spool.clock.now()
        self._grow_in_pending({"event": "requeued", "at": spell(now), "run_at": spell(now)})

    def delete(self) -> None:
        """Remove the job and everything it wrote.

        Crash: present (perhaps without some output) or gone; acknowledged only once durable.
        """
        if self.directory == PROCESSING:
            raise Conflict(f"job {self.job.id} is running; cancel it first")
        files, layout = self._spool.files, self._spool.layout
        for attempt in range(1, self.job.attempts + 1):
            for kind in ("log", "result", "progress"):
                path = layout.output_of(self.job.id, attempt, kind)
                if files.lstat(path) is not None:
                    files.unlink(path)
        files.unlink(layout.job(self.directory, self.job.id))
        self._sync_directories(self.directory)

    # --- growing

    def _grow_in_pending(self, entry: Entry) -> None:
        if self.directory != PENDING:
            raise Conflict(f"job {self.job.id} is {self.job.state}; this can be done to a waiting job only")
        self._grow(entry)
        if self._spool.settings.durability == "full":
            self._spool.files.sync_data(self._fd)

    def _grow(self, entry: Entry) -> None:
        files, record = self._spool.files, self.record
        if not self._is_as_read():  # somebody who had the file open wrote to it: ours is the job that was read
            self._replace(record)
        elif record.grow_at > COMPACT_AT_BYTES:
            self._compact()
        if self.record.torn:
            files.truncate(self._fd, self.record.grow_at)
            self.record = self.record.shrunk()
        growth = self.record.growth(entry)
        for last_try in (False, True):
            try:
                files.write(self._fd, growth, self.record.grow_at)
                break
            except OSError as error:
                self._ungrow()
                if error.errno not in FULL:
                    raise
                if last_try or not self._spool.free_ballast():
                    raise SpoolFull(f"cannot write to job {self.job.id}: the disk is full") from None
        self.record = self.record.grown(entry, growth)
        self.job = Job(self.job.id, self.record, self.directory, self.job.created_at)

    def _ungrow(self) -> None:
        """Undo a write that came up short: what stood there before stands there again."""
        files, record = self._spool.files, self.record
        tail = record.tail or (b"]}\n" if record.has_history else b"}\n")
        try:
            files.truncate(self._fd, record.grow_at)
            files.write(self._fd, tail, record.grow_at)
        except OSError:
            return  # readers see a torn growth, which reads as the job before it

    def _is_as_read(self) -> bool:
        record = self.record
        size = self._spool.files.fstat(self._fd).st_size
        if record.torn:
            return size >= record.grow_at
        return size == record.grow_at + len(record.tail) and self._read_tail() == record.tail

    def _read_tail(self) -> bytes:
        return os.pread(self._fd, len(self.record.tail) + 1, self.record.grow_at)

    def _compact(self) -> None:
        job = self.job
        fields = {**job.fields}
        self._replace(Record(fields, [job.compacted(self._spool.clock.now())], 0, b",", b""))

    def _replace(self, record: Record) -> None:
        """Put a new inode in the place of this one; the only operation that does.

        Crash: before the exchange, litter in tmp/; after it, the old file under the name in tmp/.
        """
        files, layout = self._spool.files, self._spool.layout
        path = layout.job(self.directory, self.job.id)
        data = record.render()
        fd, temporary = files.create(layout.tmp, f"{self.job.id}.{os.getpid()}")
        try:
            files.try_lock(fd)
            files.write(fd, data, 0)
            if self._spool.settings.durability == "full":
                files.sync(fd)
            if temporary is None:
                temporary = f"{layout.tmp}/{self.job.id}.{os.getpid()}.replaced"
                files.publish(fd, None, temporary)
            files.exchange(temporary, path)
            came_out = files.lstat(temporary)
            if came_out is None or came_out.st_ino != files.fstat(self._fd).st_ino:
                files.exchange(temporary, path)
                raise Busy(f"job {self.job.id} was replaced by somebody else; try again")
            files.unlink(temporary)
        except BaseException:
            files.close(fd)
            raise
        files.close(self._fd)
        self._fd = fd
        self.record = parse(data)
        if self._spool.settings.durability == "full":
            files.sync_directory(layout.directory(self.directory))

    # --- settling: write the verdict, then move

    def _settle(self, entry: Entry) -> None:
        target = LEADS_TO[entry["event"]]
        try:
            self._grow(entry)
            if self._spool.settings.durability == "full":
                self._spool.files.sync_data(self._fd)
        except SpoolFull:
            if target == PENDING:
                raise
            self.details_lost = True
        if target != self.directory:
            self._move(target)

    def _move(self, target: str, *, sync: bool = True) -> None:
        files, layout = self._spool.files, self._spool.layout
        source_path, target_path = layout.job(self.directory, self.job.id), layout.job(target, self.job.id)
        while True:
            try:
                files.move(source_path, target_path)
                break
            except FileExistsError:  # a job that runs owns its id
                self._spool.reject(target, os.path.basename(target_path), f"duplicate-of {self.job.id}")
        self.directory = target
        self.job = Job(self.job.id, self.record, target, self.job.created_at)
        if sync:
            self._sync_directories(target)

    def finish_move(self) -> bool:
        """Move the job where its last event leads; False when it is there already or nothing leads anywhere."""
        target = leads_to(self.record.history)
        if target is None or target == self.directory:
            return False
        self._move(target)
        return True

    def _sync_directories(self, *names: str) -> None:
        if self._spool.settings.durability == "full":
            for name in names:
                self._spool.files.sync_directory(self._spool.layout.directory(name))

    def _mtime(self) -> float:
        return self._spool.files.fstat(self._fd).st_mtime

    def _now(self) -> str:
        return spell(self._spool.clock.now())


def read_record(data: bytes, directory: str) -> Record:
    """Read a job file of ours, whole or with a torn last growth.

    Raises:
        InvalidData: neither.
    """
    try:
        return parse(data)
    except InvalidData:
        record = salvage(data, without_history=directory != PENDING) if len(data) <= MAX_BYTES else None
        if record is None:
            raise
        return record


def wrong_with_inode(status: os.stat_result) -> str | None:
    """Say why this cannot be a job's file, judged by its inode alone; None when it can."""
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO"}
        return f"{kinds.get(stat.S_IFMT(status.st_mode), 'a device or socket')}, not a regular file"
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}, not to the owner of the queue ({os.geteuid()})"
    if status.st_mode & 0o002:
        return f"may be written by everybody (mode {stat.S_IMODE(status.st_mode):04o})"
    if status.st_size > MAX_BYTES:
        return f"{status.st_size} bytes; a job file has at most {MAX_BYTES}"
    return None
