"""locked_file: one job's open and locked file: append, replace, move.

Owns:       every change to the bytes and the name of a job's file.
Guarantees: the lock is held from before the last read until `close`; no value in the file is overwritten; a move moves
            the locked inode, or nothing.
Fails with: SpoolFull (nothing was changed); Replaced (a program that does not lock removed or replaced the file);
            OSError where the disk fails: the file then reads as the job before or after.
Source:     spool/FORMAT.md § Appending, § Replacing, § Moving.
"""

from __future__ import annotations

from queuectl.errors import Busy
from queuectl.job.history import DEAD, DONE, PENDING, PROCESSING
from queuectl.job.job_file import MAX_FILE_BYTES
from queuectl.spool import rejected
from queuectl.spool.fs import FULL
from queuectl.spool.reading import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from queuectl.job.history import Entry
    from queuectl.job.job_file import Record
    from queuectl.spool.context import SpoolContext


class SpoolFull(Busy):
    """The disk is full: nothing was changed, and the same call may be repeated."""


class Replaced(Busy):
    """Another program replaced or removed the locked file."""


class LockedFile:
    """The file of one job, by its descriptor and its name.

    Attributes:
        directory: where it is.
        links: how many names its inode had when it was locked.
        record: its content, updated with each write.
        inode: the number of the inode that is locked.
        seen_at: its mtime when it was locked.
        has_started: its attempt was started under this lock, so no other job can own its id since then.
    """

    __slots__ = (
        "_fd",
        "_is_doubtful",
        "_mark_now",
        "_spool",
        "directory",
        "has_started",
        "inode",
        "job_id",
        "links",
        "record",
        "seen_at",
    )

    def __init__(
        self, spool: SpoolContext, fd: int, directory: str, job_id: str, record: Record, status: os.stat_result
    ) -> None:
        self._spool = spool
        self._fd = fd
        self.directory = directory
        self.job_id = job_id
        self.record = record
        self.inode = status.st_ino
        self.links = status.st_nlink
        self.seen_at = status.st_mtime
        self._mark_now = status.st_mode & MARK
        self.has_started = self._is_doubtful = False

    def close(self) -> None:
        """Close and unlock. Closing twice is harmless."""
        if self._fd >= 0:
            self._spool.files.close(self._fd)
            self._fd = -1

    @property
    def path(self) -> str:
        """The current path of the file."""
        return self._spool.layout.job(self.directory, self.job_id)

    def fileno(self) -> int:
        """Its descriptor."""
        return self._fd

    def status(self) -> os.stat_result:
        """Return the current status of the inode."""
        return self._spool.files.fstat(self._fd)

    # --- growing

    def grow(self, entry: Entry, *, is_verdict: bool = False) -> None:
        """Append an entry to the history; not synced.

        Args:
            is_verdict: it must not be lost, so on a full disk the ballast is freed for it.

        Raises:
            SpoolFull, Replaced.

        Crash: a torn write, which reads as the job before or after.
        """
        for may_try_again in (is_verdict, False):
            try:
                self._make_ready()
                if self.record.has_history:
                    growth = self.record.growth(entry)
                    self._write(growth, self.record.grow_at)
                    self.record = self.record.grown(entry, growth)
                else:
                    self._begin_history(entry)
                break
            except SpoolFull:
                if not (may_try_again and self._spool.free_ballast()):
                    raise

    def _make_ready(self) -> None:
        record, files = self.record, self._spool.files
        start = record.grow_at if record.bracket_at is None else record.bracket_at
        if files.read_at(self._fd, len(record.rest) + 1, start) != record.rest:
            self.replace(record.rewritten())  # another program wrote to it: the job is what was read
        elif not record.has_history and (self.directory == PENDING or not self._can_mark()):
            # There a torn write could not be distinguished from the write of another program.
            self.replace(record.rewritten())
        elif record.torn:
            self._repair()
        else:
            self._join_history()

    def _write(self, growth: bytes, place: int) -> None:
        try:
            self._spool.files.write(self._fd, growth, place)
        except OSError as error:
            self._undo_growth()
            raise self._full_or(error) from None

    def _begin_history(self, entry: Entry) -> None:
        """Write the first entry behind the author's bytes, none of which changes before the entry is durable.

        The mark comes first: it is in the inode, like the length. Wherever a power cut leaves the new length, even under
        the old name in pending/, the mark shows that QueueCTL wrote what follows the author's last bracket.
        """
        record = self.record
        growth = record.first_growth(entry)
        self._write(growth, len(record.body) + len(record.tail))
        self.record = record.begun(entry, growth)
        if not self._spool.is_durable:
            self.finish_growth()

    def finish_growth(self) -> None:
        """Make the first entry durable and replace the author's last bracket by a comma, if that was not done yet.

        May run while the command runs. If it fails, the next write begins with it.

        Crash: the file reads as the job after the entry or, torn by a power cut, as the job before it.
        """
        try:
            self._join_history()
        except (Busy, OSError):
            return

    def _join_history(self) -> None:
        if self.record.bracket_at is None:
            return
        self.sync()
        if self.record.bracket_at is not None:  # else the file was replaced
            try:
                self._spool.files.write(self._fd, b",", self.record.bracket_at)
            except OSError as error:
                raise self._full_or(error) from None
            self.record = self.record.joined()
            self._mark(0)

    def _can_mark(self) -> bool:
        try:
            self._mark(MARK)
        except OSError:  # a system on which only root may set this bit
            return False
        return True

    def _mark(self, mark: int) -> None:
        if self._mark_now != mark:
            self._spool.files.chmod(self._fd, 0o600 | mark)
            self._mark_now = mark

    def _undo_growth(self) -> OSError | None:
        """Restore the end of the file after an incomplete write; returns the error if that fails."""
        files, record = self._spool.files, self.record
        tail = record.closing if record.torn or not record.tail else record.tail
        try:
            files.write(self._fd, tail, record.grow_at)  # first: the block of these bytes is allocated already
            files.truncate(self._fd, record.grow_at + len(tail))
            self.record = record.ending(tail)
        except OSError as error:
            left = files.read_at(self._fd, MAX_FILE_BYTES, record.grow_at)
            self.record = record.ending(left, torn=True)
            return error
        return None

    def sync(self) -> None:
        """Sync what was written, if durability is `full`.

        After a failed sync a later one may report success for data that was not written: then the file is replaced.

        Raises:
            SpoolFull, Replaced.
        """
        if not self._spool.is_durable:
            return
        if self._is_doubtful:
            self.replace(self.record.rewritten())
            return
        try:
            self._spool.files.sync_data(self._fd)
        except OSError as error:
            self._is_doubtful = True
            raise self._full_or(error) from None

    # --- replacing

    def replace(self, record: Record) -> None:
        """Replace the file by a new inode with the content `record`; the only operation that does so.

        Raises:
            SpoolFull, Replaced.

        Crash: before the exchange, a new file in tmp/; after it, the old one.
        """
        files, path = self._spool.files, self.path
        if self._spool.is_durable:
            # A power cut must not bring back a name of the old inode: that would be a second job.
            for directory in {PENDING, PROCESSING} - {self.directory}:
                files.sync_directory(self._spool.layout.directory(directory))
        fd, name = self._write_anew(record)
        try:
            inode = files.fstat(fd).st_ino
            there = files.lstat(path)
            if there is None or there.st_ino != self.inode:
                raise Replaced(f"job {self.job_id} was replaced by another program", "try again")
            was_swapped = files.exchange(name, path)
        except BaseException:
            files.close(fd)
            files.unlink(name)
            raise
        former_fd, self._fd = self._fd, fd
        self._mark_now = 0
        former_inode, self.inode = self.inode, inode
        self.record = record
        self._is_doubtful = True  # until its name is durable too
        files.close(former_fd)
        if was_swapped:
            came_out = files.lstat(name)
            if came_out is not None and came_out.st_ino != former_inode:
                files.exchange(name, path)
                files.unlink(name)
                raise Replaced(f"job {self.job_id} was replaced by another program", "try again")
            files.unlink(name)
        if self._spool.is_durable:
            files.sync_directory(self._spool.layout.directory(self.directory))
        self._is_doubtful = False

    def _write_anew(self, record: Record) -> tuple[int, str]:
        """Return a locked descriptor and the name in tmp/ of a new file with the content `record`.

        It is always synced: it holds a whole job, not only its last event.
        """
        files, tmp = self._spool.files, self._spool.layout.tmp
        fd, name = -1, None
        try:
            fd, name = files.create(tmp)
            files.try_lock(fd)
            files.write(fd, record.body + record.tail, 0)
            files.sync(fd)
            if name is None:
                fresh = files.fresh_name(tmp)
                files.publish(fd, None, fresh)
                name = fresh
        except OSError as error:
            if fd >= 0:
                files.close(fd)
            if name is not None:
                files.unlink(name)
            raise self._full_or(error) from None
        return fd, name

    def _full_or(self, error: OSError) -> Exception:
        if error.errno in FULL:
            return SpoolFull(f"cannot write to job {self.job_id}: the disk is full")
        return error

    # --- moving

    def move(self, target: str) -> None:
        """Move the file to another directory; a file that has its name there is moved away first. Not synced.

        If another program removed the file of a running job, it is written again from memory.

        Raises:
            Replaced: it was no longer in its place in pending/.
        """
        if target == PENDING:
            self._repair() if self.record.torn else self._join_history()
        if self.record.bracket_at is None:  # else what follows the bracket is not durable
            self._mark(0)
        if self.has_started and target == PENDING:
            self._move_conflicting_files()
        spool, source_path = self._spool, self.path
        target_path = spool.layout.job(target, self.job_id)
        while True:
            try:
                spool.files.move(source_path, target_path)
                break
            except FileExistsError:
                self._move_conflicting_file(target, target_path)
            except FileNotFoundError:
                if not spool.files.exists(spool.layout.directory(target)):
                    raise
                if self.directory != PROCESSING:
                    raise Replaced(f"job {self.job_id} was moved or removed by another program") from None
                source_path = self._restore()
        if self.directory == PENDING:  # where other programs write
            self._check_caught(target, self.job_id)
        self.directory = target

    def _repair(self) -> None:
        """Repair a torn file durably.

        In pending/ it could be taken for the unfinished write of another program. And if the next write were torn too,
        the rest of this one could be read as part of it.
        """
        error = self._undo_growth()
        if error is not None:
            raise self._full_or(error)
        self.sync()
        self._join_history()

    def rename(self, job_id: str, *, is_fresh: bool = False) -> None:
        """Give a job in pending/ another id; raises FileExistsError when another has it.

        Args:
            is_fresh: no other job can have that id.

        Crash: where a move takes two steps, the file has both names; the same call removes the old one.
        """
        files, target = self._spool.files, self._spool.layout.job(PENDING, job_id)
        try:
            files.move(self.path, target, is_fresh=is_fresh)
        except FileExistsError:
            there = files.lstat(target)
            if there is None or there.st_ino != self.inode:
                raise
            files.unlink(self.path)
        except FileNotFoundError:
            raise Replaced(f"job {self.job_id} was moved or removed by another program") from None
        self._check_caught(PENDING, job_id)
        self.job_id = job_id

    def _check_caught(self, directory: str, job_id: str) -> None:
        """Check that the moved file is the locked one; move it back if not."""
        there = self._spool.files.lstat(self._spool.layout.job(directory, job_id))
        if there is None or there.st_ino != self.inode:
            rejected.restore_file(self._spool, directory, job_id, self.job_id)
            raise Replaced(f"job {self.job_id} was replaced by another program", "try again")

    def _move_conflicting_file(self, target: str, target_path: str) -> None:
        there = self._spool.files.lstat(target_path)
        if there is not None and there.st_ino == self.inode:  # a second name of ours, left by a power cut
            self._spool.files.unlink(target_path)
        else:
            rejected.move_conflicting_file(self._spool, target, self.job_id)

    def _move_conflicting_files(self) -> None:
        """Move files in done/ and dead/ that took its name while it ran; else this job would be their duplicate."""
        for directory in (DONE, DEAD):
            path = self._spool.layout.job(directory, self.job_id)
            if self._spool.files.lstat(path) is not None:
                self._move_conflicting_file(directory, path)

    def _restore(self) -> str:
        record = self.record.rewritten()
        fd, name = self._write_anew(record)
        self._spool.files.close(self._fd)
        self._fd, self.record, self._mark_now = fd, record, 0
        self.inode = self._spool.files.fstat(fd).st_ino
        return name
