"""intake: decides whether a file in pending/ is started, waits or is rejected.

Owns:       every decision about files that other programs may have written.
Guarantees: only a whole and valid job of this user that nobody is writing is started; no file is dropped silently;
            an invalid file does not affect the others. Every decision is based on what is read under the lock.
Source:     spool/FORMAT.md § Foreign files, § Transitions (claim).
"""

from __future__ import annotations

import errno
from enum import Enum

from queuectl.errors import InvalidData
from queuectl.job.history import PENDING
from queuectl.job.job import Job
from queuectl.job.job_file import MAX_FILE_BYTES, Record, parse, parse_torn
from queuectl.scheduling.dependencies import Verdict
from queuectl.spool import enqueue, parents, pauses, rejected, running
from queuectl.spool.claim import Claim, Replaced, SpoolFull
from queuectl.spool.fs import CHANGE, READ
from queuectl.spool.layout import BAD_NAME, SUFFIX, is_ignored, job_id_of, shown
from queuectl.spool.locked_file import LockedFile
from queuectl.spool.locking import merge_names
from queuectl.spool.reading import MARK, refuse_dropped, wrong_with_inode
from queuectl.spool.recovery import remove_earlier_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from queuectl.spool.context import SpoolContext

    Refuse = Callable[[SpoolContext, str, str], "ClaimRefused"]

BUSY_S = 0.02
WRITER_S = 0.5
LINKED_S = 0.25
TOO_MANY_FILES_S = 0.2
UNREADABLE_S = 30.0
RUN_LOCKED_S = 1.0
FULL_S = 1.0
LIMIT_S = 1.0
SOON_S = 0.005
ANOTHER = "give it another id, or none"
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)


class RefusalReason(str, Enum):
    """Why a job was not claimed. The values are the words in messages and logs."""

    GONE = "gone"
    BUSY = "busy"  # another process has it locked
    EARLY = "early"
    HELD = "held"
    PAUSED = "paused"
    AFTER = "after"  # a job that it comes after has not ended
    LIMIT = "limit"  # a lock or a resource that it needs is taken
    BEING_WRITTEN = "being written"
    LINKED = "linked"  # its inode has another name, under which another program may write to it
    UNREADABLE = "unreadable"
    REJECTED = "rejected"  # moved to rejected/
    MOVED = "moved"
    RENAMED = "renamed"
    FULL = "full"  # the disk
    IGNORED = "ignored"
    INVALID = "invalid"  # from `inspect`: it will be rejected
    MISNAMED = "misnamed"  # from `inspect`: it will be renamed or rejected

    __str__ = str.__str__
    __hash__ = str.__hash__  # equal to its word, also in a set


class ClaimRefused:
    """Why a job was not claimed.

    Attributes:
        again_s: seconds after which to try again; None when only a new event can change anything.
        detail: for people and logs, on one line.
        job_id: the id under which to try again, when it is another one.
        job: of a misnamed file: what it holds.
    """

    __slots__ = ("again_s", "detail", "job", "job_id", "reason")

    def __init__(
        self,
        reason: RefusalReason,
        again_s: float | None = None,
        detail: str = "",
        job_id: str | None = None,
        job: Job | None = None,
    ) -> None:
        self.reason = reason
        self.again_s = again_s
        self.detail = detail
        self.job_id = job_id
        self.job = job

    def __repr__(self) -> str:
        return f"ClaimRefused({self.reason.value!r}, {self.again_s!r}, {self.detail!r}, {self.job_id!r})"


def examine(spool: SpoolContext, name: str) -> Job | ClaimRefused:
    """Read an entry of pending/ without claiming it; reject it if it can never be a valid job.

    Opens for reading only: opening for writing would cause another inotify event.
    """
    try:
        return _examine(spool, name)
    except OSError as error:
        return _unreadable(name, error)


def _examine(spool: SpoolContext, name: str) -> Job | ClaimRefused:
    if is_ignored(name):
        return ClaimRefused(RefusalReason.IGNORED)
    job_id = job_id_of(name)
    if job_id is None:
        return _reject(spool, name, BAD_NAME)
    fd = _open(spool, job_id, READ)
    if isinstance(fd, ClaimRefused):
        return fd
    try:
        status = spool.files.fstat(fd)
        found = _read(spool, job_id, fd, status)
        if isinstance(found, ClaimRefused):
            return found
        if isinstance(found, InvalidData):
            return _reject_invalid(spool, job_id, fd, status, found)
        job = Job(job_id, found, PENDING, status.st_mtime)
        is_alone = found.fields.get("id", job_id) == job_id and enqueue.known_in(spool, job_id) is None
        if is_alone and job_id not in job.parents:
            return job
    finally:
        spool.files.close(fd)
    claim = _take(spool, job_id)
    if isinstance(claim, ClaimRefused):
        return claim
    with claim:
        try:
            return _admit_name(spool, claim) or claim.job
        except Replaced as error:
            return ClaimRefused(RefusalReason.BUSY, BUSY_S, str(error))


def inspect(spool: SpoolContext, name: str) -> Job | ClaimRefused:
    """Read an entry of pending/ and change nothing: for processes that only read.

    Returns:
        As `examine`, which rejects what this calls invalid, and renames or rejects what this calls misnamed.
    """
    try:
        return _inspect(spool, name)
    except OSError as error:
        return _unreadable(name, error)


def _inspect(spool: SpoolContext, name: str) -> Job | ClaimRefused:
    if is_ignored(name):
        return ClaimRefused(RefusalReason.IGNORED)
    job_id = job_id_of(name)
    if job_id is None:
        return _invalid(spool, name, BAD_NAME)
    fd = _open(spool, job_id, READ, _invalid)
    if isinstance(fd, ClaimRefused):
        return fd
    try:
        status = spool.files.fstat(fd)
        found = _read(spool, job_id, fd, status)
    finally:
        spool.files.close(fd)
    if isinstance(found, ClaimRefused):
        return found
    if isinstance(found, InvalidData):
        is_ours = wrong_with_inode(status) is None
        if is_ours and spool.files.has_writer(spool.layout.job(PENDING, job_id)):
            return ClaimRefused(RefusalReason.BEING_WRITTEN, WRITER_S, str(found))
        return _invalid(spool, name, str(found))
    job = Job(job_id, found, PENDING, status.st_mtime)
    is_alone = found.fields.get("id", job_id) == job_id and enqueue.known_in(spool, job_id) is None
    if is_alone and job_id not in job.parents:
        return job
    return ClaimRefused(RefusalReason.MISNAMED, 0.0, f"pending/{name}: its id is another, or taken", job=job)


def _unreadable(name: str, error: OSError) -> ClaimRefused:
    return ClaimRefused(RefusalReason.UNREADABLE, UNREADABLE_S, f"pending/{shown(name)}: {error.strerror}")


def _invalid(_spool: SpoolContext, name: str, reason: str) -> ClaimRefused:
    return ClaimRefused(RefusalReason.INVALID, 0.0, f"pending/{shown(name)}: {reason}")


def claim(spool: SpoolContext, job_id: str, worker: str) -> Claim | ClaimRefused:
    """Lock a waiting job, move it to processing/ and write `started`; the command may be started once this returns a Claim.

    Args:
        worker: the name written into the history.

    Crash: in pending/ as before; or in processing/ without `started` (nothing ran, recovery puts it back); or with it
        (recovery counts an interruption).
    """
    found = _take(spool, job_id)
    if isinstance(found, Claim) and not found.record.has_history:
        found = _take_when_quiet(spool, job_id, found)
    if isinstance(found, ClaimRefused):
        return found
    is_given = False
    try:
        refused = _admit(spool, found)
        if refused is not None:
            return refused
        refused = _enter(spool, found, worker)
        is_given = refused is None
        return refused or found
    except SpoolFull as error:
        return ClaimRefused(RefusalReason.FULL, FULL_S, str(error))
    except Replaced as error:
        return ClaimRefused(RefusalReason.BUSY, BUSY_S, str(error))
    finally:
        if not is_given:
            found.close()


def _enter(spool: SpoolContext, claim: Claim, worker: str) -> ClaimRefused | None:
    """Start a job that is admitted, if what it needs is free."""
    ready_at = parents.ended_at(spool, claim.job) if claim.job.parents else None
    if not running.needs_reservation(claim.job):
        claim.enter(worker, ready_at=ready_at)
        return None
    with running.reserved(spool, claim.job) as units:
        if isinstance(units, str):
            return ClaimRefused(RefusalReason.LIMIT, LIMIT_S, units)
        claim.enter(worker, units, ready_at)
    return None


# --- opening and reading


def _open(spool: SpoolContext, job_id: str, flags: int, refuse: Refuse | None = None) -> int | ClaimRefused:
    """Open a file of pending/; an entry that cannot be a job file is passed to `refuse`, which rejects it by default."""
    path = spool.layout.job(PENDING, job_id)
    try:
        return spool.files.open(path, flags)
    except FileNotFoundError:
        return ClaimRefused(RefusalReason.GONE)
    except OSError as error:
        status = spool.files.lstat(path)
        if status is None:
            return ClaimRefused(RefusalReason.GONE)
        if error.errno in TOO_MANY_FILES:
            return ClaimRefused(
                RefusalReason.UNREADABLE, TOO_MANY_FILES_S, f"pending/{job_id}{SUFFIX}: {error.strerror}"
            )
        wrong = wrong_with_inode(status)
        if wrong is not None and error.errno != errno.EIO:
            return (refuse or _reject)(spool, job_id + SUFFIX, wrong)
        if error.errno == errno.EACCES and flags == CHANGE and _make_writable(spool, path):
            return _open(spool, job_id, flags)
        return _unreadable(job_id + SUFFIX, error)


def _make_writable(spool: SpoolContext, path: str) -> bool:
    """Change the mode of a read-only file of this user to 0600; returns False if that is of no use."""
    try:
        fd = spool.files.open(path, READ)
    except OSError:
        return False
    try:
        if spool.files.fstat(fd).st_mode & 0o200:
            return False
        spool.files.chmod(fd, 0o600)
    except OSError:
        return False
    finally:
        spool.files.close(fd)
    return True


def _read(
    spool: SpoolContext, job_id: str, fd: int, status: os.stat_result, known: Record | None = None
) -> Record | ClaimRefused | InvalidData:
    """Return the job in a file of pending/, or why it is not ready, or why it is not a valid job.

    Args:
        known: what was read before; it is not parsed again if the file still has it.
    """
    wrong = wrong_with_inode(status)
    if wrong is not None:
        return InvalidData(wrong)
    try:
        data = spool.files.read(fd, MAX_FILE_BYTES)
    except OSError as error:
        return _unreadable(job_id + SUFFIX, error)
    if known is not None and data == known.body + known.tail:
        return known
    try:
        record = parse(data, refuse_dropped)
    except InvalidData as error:
        wait_s = spool.quiet_timer.seconds_until_quiet(
            job_id, status.st_mtime, (status.st_size, status.st_mtime_ns), spool.clock, spool.settings.drop_grace
        )
        if wait_s > 0:
            return ClaimRefused(RefusalReason.BEING_WRITTEN, wait_s, str(error))
        return parse_torn(data, without_history=bool(status.st_mode & MARK)) or error
    spool.quiet_timer.forget(job_id)
    return record


def _take(spool: SpoolContext, job_id: str, known: Record | None = None) -> Claim | ClaimRefused:
    """Lock and read a file of pending/ in order to change it; `known` as in `_read`."""
    fd = _open(spool, job_id, CHANGE)
    if isinstance(fd, ClaimRefused):
        return fd
    claim = None
    try:
        if not spool.files.try_lock(fd):
            return ClaimRefused(RefusalReason.BUSY, BUSY_S)
        status = spool.files.fstat(fd)
        refused = _refuse_misplaced(spool, job_id, status)
        if refused is not None:
            return refused
        found = _read(spool, job_id, fd, status, known)
        if isinstance(found, ClaimRefused):
            return found
        if isinstance(found, Record):
            if status.st_nlink > 1 and merge_names(spool, job_id, status.st_ino) != PENDING:
                return ClaimRefused(RefusalReason.GONE)
            if status.st_mode & 0o020:
                spool.files.chmod(fd, 0o600)
            claim = Claim(spool, LockedFile(spool, fd, PENDING, job_id, found, status))
            return claim
    finally:
        if claim is None:
            spool.files.close(fd)
    # Not a valid job. Whether another process is writing it can be found only without our own writable descriptor.
    judged = examine(spool, job_id + SUFFIX)
    return judged if isinstance(judged, ClaimRefused) else ClaimRefused(RefusalReason.BUSY, BUSY_S)


def _refuse_misplaced(spool: SpoolContext, job_id: str, status: os.stat_result) -> ClaimRefused | None:
    there = spool.files.lstat(spool.layout.job(PENDING, job_id))
    if there is None:
        return ClaimRefused(RefusalReason.GONE)
    return None if there.st_ino == status.st_ino else ClaimRefused(RefusalReason.BUSY, BUSY_S)


def _take_when_quiet(spool: SpoolContext, job_id: str, found: Claim) -> Claim | ClaimRefused:
    """Lock a foreign file once no process has it open for writing; ours is closed meanwhile."""
    known = found.record
    before = (found.inode, known.body, known.tail)
    found.close()
    try:
        if spool.files.has_writer(spool.layout.job(PENDING, job_id)):
            return ClaimRefused(RefusalReason.BEING_WRITTEN, WRITER_S)
    except OSError:
        return ClaimRefused(RefusalReason.BUSY, BUSY_S)
    again = _take(spool, job_id, None if known.torn else known)
    if isinstance(again, Claim) and (again.inode, again.record.body, again.record.tail) != before:
        again.close()
        return ClaimRefused(RefusalReason.BEING_WRITTEN, BUSY_S)
    return again


# --- rejecting


def _reject_invalid(
    spool: SpoolContext, job_id: str, fd: int, status: os.stat_result, error: InvalidData
) -> ClaimRefused:
    """Reject an invalid file, unless another process has it locked or open for writing, or has just changed it."""
    files = spool.files
    if not files.try_lock(fd):
        return ClaimRefused(RefusalReason.BUSY, BUSY_S)
    refused = _refuse_misplaced(spool, job_id, status)
    if refused is not None:
        return refused
    if wrong_with_inode(status) is None and files.has_writer(spool.layout.job(PENDING, job_id)):
        return ClaimRefused(RefusalReason.BEING_WRITTEN, WRITER_S, str(error))
    now = files.fstat(fd)  # after the look for a writer, which may have completed the file since it was read
    if (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != (status.st_size, status.st_mtime_ns, status.st_ctime_ns):
        return ClaimRefused(RefusalReason.BEING_WRITTEN, BUSY_S, str(error))
    return _reject(spool, job_id + SUFFIX, str(error), error.excerpt)


def _reject(spool: SpoolContext, name: str, reason: str, excerpt: str | None = None) -> ClaimRefused:
    spool.quiet_timer.forget(name.removesuffix(SUFFIX))
    try:
        kept = rejected.reject(spool, PENDING, name, f"{reason}\n{excerpt}" if excerpt else reason)
    except FileNotFoundError:
        return ClaimRefused(RefusalReason.GONE)
    except OSError as error:
        return ClaimRefused(
            RefusalReason.UNREADABLE,
            UNREADABLE_S,
            f"pending/{shown(name)} cannot be moved to rejected/: {error.strerror}",
        )
    return ClaimRefused(RefusalReason.REJECTED, detail=f"rejected/{kept}: {reason}")


# --- admitting


def _admit(spool: SpoolContext, claim: Claim) -> ClaimRefused | None:
    """Decide, under the lock, whether a well-formed job may start now."""
    refused = _admit_name(spool, claim) or _admit_links(
        spool, claim
    )  # a second name may be left from an interrupted rename
    if refused is not None:
        return refused
    if claim.finish_move():
        return ClaimRefused(RefusalReason.MOVED, detail=f"its last event leads to {claim.directory}/")
    job, now = claim.job, spool.clock.now()
    if job.last_event == "started":  # a power cut undid the move, but not the write
        if spool.run_is_locked(job.id, job.attempts):
            return ClaimRefused(RefusalReason.BUSY, RUN_LOCKED_S, "its last run is still alive")
        claim.interrupt("the machine went down while it ran")
        if claim.directory != PENDING:
            return ClaimRefused(RefusalReason.MOVED, detail="interrupted too often")
    if job.is_held:
        return ClaimRefused(RefusalReason.HELD)
    if job.expires_at is not None and job.expires_at < now:
        claim.move_to_dead("expired", {}, event="expired")
        return ClaimRefused(RefusalReason.MOVED, detail="expired")
    wait_s = job.due_at(now, spool.settings.backoff_max) - now
    if wait_s > 0:
        return ClaimRefused(RefusalReason.EARLY, wait_s)
    return _admit_by_limits(spool, claim)


def _admit_by_limits(spool: SpoolContext, claim: Claim) -> ClaimRefused | None:
    """Decide by what is outside the job's file: its parents, the pauses, the configuration."""
    job = claim.job
    if job.parents:
        decision = parents.decide_by_files(spool, job)
        if decision.verdict is Verdict.WAIT:
            return ClaimRefused(RefusalReason.AFTER, LIMIT_S, f"waits for {', '.join(decision.parents)}")
        if decision.verdict is not Verdict.START:
            parents.settle(claim, decision)
            return ClaimRefused(RefusalReason.MOVED, detail=str(job.last_error))
    pause = pauses.is_paused(spool, job.queue)
    if pause is not None:
        return ClaimRefused(RefusalReason.PAUSED, detail=pause)
    never = running.never_enough(spool.settings, job.fields)
    if never is not None:
        claim.move_to_dead("never_enough", {"error": never})
        return ClaimRefused(RefusalReason.MOVED, detail=never)
    return None


def _admit_links(spool: SpoolContext, claim: Claim) -> ClaimRefused | None:
    """Wait while the inode has another name, under which another program may write to it; then copy it."""
    if claim.links == 1:
        return None
    status = claim.status()
    if status.st_nlink == 1:
        return None
    job_id = claim.job.id
    wait_s = spool.quiet_timer.seconds_until_quiet(
        f"links of {job_id}", status.st_ctime, (status.st_ctime_ns,), spool.clock, spool.settings.drop_grace
    )
    if wait_s > 0:
        again_s = SOON_S if wait_s > spool.settings.drop_grace - BUSY_S * 5 else LINKED_S
        return ClaimRefused(
            RefusalReason.LINKED, min(wait_s, again_s), "its inode has another name, so another program may write to it"
        )
    spool.quiet_timer.forget(f"links of {job_id}")
    claim.copy()
    return None


def _admit_name(spool: SpoolContext, claim: Claim) -> ClaimRefused | None:
    """Check that neither the id in the file (binding) nor its file name (a suggestion) is the id of another job."""
    job_id = claim.job.id
    promised = claim.record.fields.get("id")
    wanted = promised or job_id
    taken = enqueue.known_in(spool, wanted)
    if taken is not None and remove_earlier_state(spool, claim):
        return ClaimRefused(RefusalReason.GONE)
    taken = taken and enqueue.known_in(spool, wanted)
    if taken is not None and promised:
        return _reject(spool, job_id + SUFFIX, f"duplicate-of {wanted}: a job of this id is in {taken}/; {ANOTHER}")
    if taken is not None:
        wanted = rejected.spare_id(spool, job_id)
    if wanted == job_id:
        is_own_parent = job_id in claim.job.parents and not claim.job.history
        itself = f'"after": job "{job_id}" cannot come after itself'
        return _reject(spool, job_id + SUFFIX, itself) if is_own_parent else None
    try:
        claim.rename(wanted, is_fresh=not promised)
    except FileExistsError:
        return _reject(spool, job_id + SUFFIX, f"duplicate-of {wanted}: a job of this id is in pending/; {ANOTHER}")
    return ClaimRefused(RefusalReason.RENAMED, 0.0, f"{job_id} is now {wanted}", wanted)
