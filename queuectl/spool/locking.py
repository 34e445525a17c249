"""locking: lock a job in order to change it.

Fails with: NotFound, Conflict, Busy, InvalidData.
Source:     spool/FORMAT.md § Two names.
"""

from __future__ import annotations

from queuectl.errors import Busy, Conflict, InvalidData, NotFound
from queuectl.job.history import DEAD, DONE, PENDING, PROCESSING, leads_to
from queuectl.job.job_file import MAX_FILE_BYTES
from queuectl.spool import rejected
from queuectl.spool.claim import Claim
from queuectl.spool.enqueue import known_in
from queuectl.spool.fs import CHANGE, READ
from queuectl.spool.locked_file import LockedFile
from queuectl.spool.reading import open_checked, read_record, with_path, wrong_with_inode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.spool.context import SpoolContext

KEEP_ORDER = (DONE, DEAD, PENDING, PROCESSING)


def take(spool: SpoolContext, job_id: str) -> Claim:
    """Lock a job wherever it lies, in order to change it.

    A claim in processing/ means that its worker has died: the caller must know that the run has ended before it settles the job.

    Raises:
        NotFound; Conflict when it runs; Busy when another process keeps it locked.
    """
    was_running = 0
    for _ in range(spool.patience):
        directory = spool.find(job_id)
        if directory is None:
            raise NotFound(f'no job "{job_id}"')
        try:
            claim = _take_by_id(spool, directory, job_id)
        except InvalidData as error:
            raise with_path(error, directory, job_id) from None
        if claim is not None:
            return claim
        was_running = was_running + 1 if directory == PROCESSING else 0
        if was_running == 2:
            raise Conflict(f"job {job_id} is running")
        rejected.pause_for_lock()
    raise Busy(f"job {job_id} is locked by another process", "try again")


def _take_by_id(spool: SpoolContext, directory: str, job_id: str) -> Claim | None:
    """Lock a job as `take_in`; a foreign file in pending/ whose name is the id of another job is not that job."""
    try:
        claim = take_in(spool, directory, job_id)
    except InvalidData:
        other = known_in(spool, job_id) if directory == PENDING else None
        if other is None:
            raise
        return take_in(spool, other, job_id)
    if claim is None or directory != PENDING or claim.record.has_history:
        return claim
    other = known_in(spool, job_id)
    if other is None:
        return claim
    claim.close()
    return take_in(spool, other, job_id)


def take_in(spool: SpoolContext, directory: str, job_id: str) -> Claim | None:
    """Lock a job that lies in `directory`; None when it is not there any more or another process has locked it.

    Finishes first what a crash interrupted: removes a second name, and moves a job in pending/ that has ended where
    it belongs.

    Raises:
        InvalidData: the file is not a valid job, whole or torn.
    """
    path = spool.layout.job(directory, job_id)
    try:
        fd = spool.files.open(path, CHANGE)
    except FileNotFoundError:
        return None
    except OSError:
        spool.files.close(open_checked(spool, directory, job_id, READ))  # raises InvalidData if this is no file
        raise
    claim, is_given = None, False
    try:
        if not spool.files.try_lock(fd):
            return None
        status = spool.files.fstat(fd)
        there = spool.files.lstat(path)
        if there is None or there.st_ino != status.st_ino:
            return None
        wrong = wrong_with_inode(status)
        if wrong:
            raise InvalidData(wrong)
        if status.st_nlink > 1 and merge_names(spool, job_id, status.st_ino) != directory:
            return None
        record = read_record(spool.files.read(fd, MAX_FILE_BYTES), directory, status.st_mode)
        claim = Claim(spool, LockedFile(spool, fd, directory, job_id, record, status))
        if directory == PENDING and leads_to(record.history) in (DONE, DEAD):
            claim.finish_move()
            return None
        is_given = True
        return claim
    finally:
        if claim is None:
            spool.files.close(fd)
        elif not is_given:
            claim.close()


def merge_names(spool: SpoolContext, job_id: str, inode: int) -> str | None:
    """Keep one name of a job that a power cut left with two: done > dead > pending > processing.

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
