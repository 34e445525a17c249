"""inspection: what can be said of a file before anything is done with it.

Guarantees: judges by the inode that is open, not by its name; reading never changes a file.
Fails with: InvalidData.
Source:     spool/FORMAT.md § Foreign files, § Torn writes, § Two names.
"""

from __future__ import annotations

import os
import stat

from queuectl.errors import InvalidData
from queuectl.job.history import DEAD, DONE, PENDING, PROCESSING
from queuectl.job.job_file import MAX_FILE_BYTES, Record, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.spool.spool import Spool

MARK = stat.S_ISVTX  # of a file whose first growth was begun in processing/; it is there whenever the length is new
KEEP_ORDER = (DONE, DEAD, PENDING, PROCESSING)
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
        return (
            f"may be written by everybody (mode {stat.S_IMODE(status.st_mode):04o}); to make it yours alone: chmod 600"
        )
    if status.st_size > MAX_FILE_BYTES:
        return f"{status.st_size} bytes; at most {MAX_FILE_BYTES} are accepted"
    return None


def read_record(data: bytes, directory: str, mode: int) -> Record:
    """Read a job file of ours, whole or with a torn last growth.

    Args:
        mode: of its inode.

    Raises:
        InvalidData: neither.
    """
    try:
        return parse(data)
    except InvalidData:
        from queuectl.job.torn_file import salvage

        record = salvage(data, without_history=directory != PENDING or bool(mode & MARK))
        if record is None:
            raise
        return record


def merge_names(spool: Spool, job_id: str, inode: int) -> str | None:
    """Leave one name of a job that a power cut left with two: done > dead > pending > processing.

    Returns:
        The directory in which it stays; None when no name is left. The caller holds the lock.
    """
    kept = None
    for directory in KEEP_ORDER:
        path = spool.layout.job(directory, job_id)
        status = spool.files.lstat(path)
        if status is None or status.st_ino != inode:
            continue
        if kept is None:
            kept = directory
        else:
            spool.files.unlink(path)
    return kept
