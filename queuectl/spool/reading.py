"""reading: read a job without locking it, and check the inode of a job file.

Guarantees: decides by the inode that is open, not by its name; never changes a file.
Fails with: NotFound, InvalidData.
Source:     spool/FORMAT.md § Foreign files, § Torn writes.
"""

from __future__ import annotations

import os
import stat

from queuectl.errors import InvalidData, NotFound
from queuectl.job.fields import RUNS, refuse_misspelt
from queuectl.job.history import PENDING
from queuectl.job.job import Job
from queuectl.job.job_file import MAX_FILE_BYTES, Record, parse, parse_torn
from queuectl.spool.fs import READ
from queuectl.spool.layout import SUFFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.job.fields import Fields
    from queuectl.spool.context import SpoolContext

MARK = stat.S_ISVTX  # of a file whose first growth was begun in processing/; it is there whenever the length is new
KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def wrong_with_inode(status: os.stat_result) -> str | None:
    """Say why this cannot be a job's file, judged by its inode alone; None when it can."""
    if not stat.S_ISREG(status.st_mode):
        return f"{KINDS.get(stat.S_IFMT(status.st_mode), 'something else')}, not a regular file"
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}, not to the owner of the queue ({os.geteuid()})"
    if status.st_mode & stat.S_IWOTH:
        return f"is writable by all users (mode {stat.S_IMODE(status.st_mode):04o}); to fix it: chmod 600"
    if status.st_size > MAX_FILE_BYTES:
        return f"{status.st_size} bytes; at most {MAX_FILE_BYTES} are accepted"
    return None


def refuse_dropped(fields: Fields) -> None:
    """Refuse a file in pending/ without a history for a member that looks like a field which decides how the job runs.

    Raises:
        UnknownField.
    """
    refuse_misspelt(fields, RUNS)


def read_record(data: bytes, directory: str, mode: int) -> Record:
    """Read a job file of ours, whole or with a torn last growth.

    Args:
        mode: of its inode.

    Raises:
        InvalidData: neither.
    """
    try:
        return parse(data, refuse_dropped if directory == PENDING else None)
    except InvalidData:
        record = parse_torn(data, without_history=directory != PENDING or bool(mode & MARK))
        if record is None:
            raise
        return record


def read(spool: SpoolContext, job_id: str) -> Job:
    """Read a job without locking it: enough to show it, not to decide about it.

    Raises:
        NotFound, InvalidData (the file is not a job).
    """
    for _ in range(5):
        directory = spool.find(job_id)
        if directory is None:
            break
        try:
            job = read_in(spool, directory, job_id)
        except InvalidData as error:
            raise with_path(error, directory, job_id) from None
        if job is not None:
            return job
    raise NotFound(f'no job "{job_id}"')


def read_in(spool: SpoolContext, directory: str, job_id: str) -> Job | None:
    """Read a job that lies in `directory`; None when it has gone. What reads torn or wrong is read once more.

    Raises:
        InvalidData: the file is not a job.
    """
    try:
        fd = open_checked(spool, directory, job_id, READ)
    except FileNotFoundError:
        return None
    try:
        status = spool.files.fstat(fd)
        try:
            record = read_record(spool.files.read(fd, MAX_FILE_BYTES), directory, status.st_mode)
            again = record.torn
        except InvalidData:
            again = True
        if again:  # it may have been read while it was being extended
            status = spool.files.fstat(fd)
            record = read_record(spool.files.read(fd, MAX_FILE_BYTES), directory, status.st_mode)
        return Job(job_id, record, directory, spool.files.fstat(fd).st_mtime)
    finally:
        spool.files.close(fd)


def open_checked(spool: SpoolContext, directory: str, job_id: str, flags: int) -> int:
    """Open a job's file; raises InvalidData for an entry that cannot be a job file."""
    path = spool.layout.job(directory, job_id)
    try:
        fd = spool.files.open(path, flags)
    except OSError:
        status = spool.files.lstat(path)
        wrong = None if status is None else wrong_with_inode(status)
        if wrong is None:
            raise
        raise InvalidData(wrong) from None
    try:
        wrong = wrong_with_inode(spool.files.fstat(fd))
        if wrong is not None:
            raise InvalidData(wrong)
    except BaseException:
        spool.files.close(fd)
        raise
    return fd


def with_path(error: InvalidData, directory: str, job_id: str) -> InvalidData:
    """Return the error of an invalid job file with the path of the file."""
    hint = "repair the file, or move it out of the spool"
    return InvalidData(f"spool/{directory}/{job_id}{SUFFIX}: {error}", hint, error.excerpt)
