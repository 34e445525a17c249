"""recovery: finishes what a crash interrupted in processing/.

Owns:       files in processing/ whose worker has ended.
Guarantees: idempotent; may die at any instant and be run again; done/ and dead/ are not listed; a job is put
            back only when its run is proved to have ended; an invalid file does not affect the others.
Source:     spool/FORMAT.md § Recovery.
"""

from __future__ import annotations

from enum import Enum

from queuectl.errors import Busy, InvalidData
from queuectl.job.history import DIRECTORIES, PENDING, PROCESSING
from queuectl.spool import rejected
from queuectl.spool.layout import BAD_NAME, SUFFIX, job_id_of, shown
from queuectl.spool.locking import take_in
from queuectl.spool.reading import read_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queuectl.job.job import Job
    from queuectl.spool.claim import Claim
    from queuectl.spool.context import SpoolContext

    RunIsAlive = Callable[[Job], bool]


class RecoveryResult(str, Enum):
    """What recovery did with a file of processing/. The values are the words of events and reports."""

    OWNED = (
        "owned"  # another process has it locked; or, with a detail, it cannot be repaired now and is to be read again
    )
    GONE = "gone"
    REJECTED = "rejected"
    MOVED = "moved"
    INTERRUPTED = "interrupted"
    ALIVE = "alive"  # a process of the attempt still runs

    __str__ = str.__str__
    __hash__ = str.__hash__  # equal to its word, also in a set


class Recovered:
    """One file of processing/ as recovery left it.

    Attributes:
        detail: with REJECTED and MOVED, where it is now; with OWNED, why it cannot be repaired now, if that is so.
        claim: with `alive` only: the job, locked; the caller adopts or ends its run, settles and closes it.
        job: the job as it is now, where it was moved or interrupted.
    """

    __slots__ = ("claim", "detail", "job", "job_id", "result")

    def __init__(
        self,
        job_id: str,
        result: RecoveryResult,
        *,
        claim: Claim | None = None,
        job: Job | None = None,
        detail: str = "",
    ) -> None:
        self.job_id = job_id
        self.result = result
        self.claim = claim
        self.job = job
        self.detail = detail


def recover(spool: SpoolContext, is_alive: RunIsAlive) -> Iterator[Recovered]:
    """Read all of processing/ and finish what was interrupted.

    Args:
        is_alive: returns for a job whose last event is `started` whether a process of that attempt may still run.
    """
    for name in list(spool.files.names(spool.layout.directory(PROCESSING))):
        job_id = job_id_of(name)
        if job_id is None:
            yield _reject(spool, name, BAD_NAME)
        else:
            yield reclaim(spool, job_id, is_alive)


def reclaim(spool: SpoolContext, job_id: str, is_alive: RunIsAlive) -> Recovered:
    """Recover one job of processing/; see `recover`.

    Crash: each step is an append or a move; the next call continues after it.
    """
    try:
        claim = take_in(spool, PROCESSING, job_id)
    except InvalidData as error:
        return _reject(spool, job_id + SUFFIX, str(error), error.excerpt)
    except OSError as error:
        return Recovered(job_id, RecoveryResult.OWNED, detail=str(error))
    if claim is None:
        is_there = spool.files.exists(spool.layout.job(PROCESSING, job_id))
        return Recovered(job_id, RecoveryResult.OWNED if is_there else RecoveryResult.GONE)
    try:
        found = _repair(spool, claim, is_alive)
    except (Busy, OSError) as error:
        found = Recovered(job_id, RecoveryResult.OWNED, detail=str(error))
    except BaseException:
        claim.close()
        raise
    if found.claim is None:
        claim.close()
    return found


def remove_earlier_state(spool: SpoolContext, claim: Claim) -> bool:
    """Of two files of one job, one an earlier state of the other, remove the earlier; True when that was the claimed one.

    A copy that was made while jobs moved has such files. The later one holds all that the earlier one does.

    Crash: both are there, and the next call removes one; or one is.
    """
    job_id, ours, created_at = claim.job.id, claim.record, claim.record.fields.get("created_at")
    for directory in DIRECTORIES if ours.has_history and created_at else ():
        if directory == claim.directory or not spool.files.exists(spool.layout.job(directory, job_id)):
            continue
        try:
            other = read_in(spool, directory, job_id)
        except (InvalidData, OSError):
            continue
        if other is None or other.fields.get("created_at") != created_at:
            continue
        theirs = other.history
        if theirs[: len(ours.history)] == ours.history and (len(theirs), directory) != (len(ours.history), PENDING):
            _remove(spool, claim)
            return True
        if ours.history[: len(theirs)] == theirs:
            _remove_other(spool, directory, job_id, other)
    return False


def _remove_other(spool: SpoolContext, directory: str, job_id: str, seen: Job) -> None:
    try:
        with_lock = take_in(spool, directory, job_id)
    except (InvalidData, OSError):
        return
    if with_lock is not None:
        with with_lock:
            if with_lock.record.history == seen.history:
                _remove(spool, with_lock)


def _remove(spool: SpoolContext, claim: Claim) -> None:
    if claim.directory == PENDING:
        rejected.unpublish(spool, claim.job.id, claim.inode)
    else:
        spool.files.unlink(spool.layout.job(claim.directory, claim.job.id))


def _repair(spool: SpoolContext, claim: Claim, is_alive: RunIsAlive) -> Recovered:
    job = claim.job
    if remove_earlier_state(spool, claim):
        return Recovered(job.id, RecoveryResult.GONE)
    if job.last_event == "started":
        if is_alive(job):
            return Recovered(job.id, RecoveryResult.ALIVE, claim=claim, job=job)
        claim.interrupt("its worker died before the command's end was recorded")
        return Recovered(job.id, RecoveryResult.INTERRUPTED, job=job)
    if not claim.finish_move():
        claim.put_back()
    return Recovered(job.id, RecoveryResult.MOVED, job=job, detail=f"to {claim.directory}/")


def _reject(spool: SpoolContext, name: str, reason: str, excerpt: str | None = None) -> Recovered:
    job_id = job_id_of(name) or shown(name)
    try:
        kept = rejected.reject(spool, PROCESSING, name, f"{reason}\n{excerpt}" if excerpt else reason)
    except FileNotFoundError:
        return Recovered(job_id, RecoveryResult.GONE)
    except OSError as error:
        return Recovered(
            job_id, RecoveryResult.OWNED, detail=f"{shown(name)} cannot be moved to rejected/: {error.strerror}"
        )
    return Recovered(job_id, RecoveryResult.REJECTED, detail=f"rejected/{kept}: {reason}")
