"""intake: how a file in pending/ becomes a running job, or is set aside.

Owns:       every decision about files that strangers may have written.
Guarantees: nothing that is not a whole, valid, quiet job of ours is started; nothing is dropped silently; a bad file
            costs the others nothing. All that decides is read under the lock.
Source:     spool/FORMAT.md § Foreign files, § Transitions (claim).
"""

from __future__ import annotations

import errno

from queuectl.clock import spell
from queuectl.errors import InvalidData
from queuectl.fields import ID_GRAMMAR, ID_MAX, new_id
from queuectl.job import DEAD, DONE, PENDING, PROCESSING, Job
from queuectl.record import MAX_BYTES, Record, parse, salvage
from queuectl.spool.claim import Claim, SpoolFull, wrong_with_inode
from queuectl.spool.files import CHANGE, READ
from queuectl.spool.layout import SUFFIX, is_ignored, job_id_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from queuectl.spool.spool import Spool

BUSY_S = 0.02
WRITER_S = 0.5
UNREADABLE_S = 30.0
KEPT_ENTRIES = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV, errno.ENOTDIR)


class NotNow:
    """Why a job was not claimed.

    Attributes:
        reason: gone, busy, early, held, being written, linked, unreadable, rejected, moved, renamed, full, ignored.
        again_s: seconds after which to try again; None when only a new event can change anything.
        detail: for people and logs.
        job_id: the id under which to try again, when it is another one.
    """

    __slots__ = ("again_s", "detail", "job_id", "reason")

    def __init__(self, reason: str, again_s: float | None = None, detail: str = "", job_id: str | None = None) -> None:
        self.reason = reason
        self.again_s = again_s
        self.detail = detail
        self.job_id = job_id

    def __repr__(self) -> str:
        return f"NotNow({self.reason!r}, {self.again_s!r}, {self.detail!r}, {self.job_id!r})"


def examine(spool: Spool, name: str) -> Job | NotNow:
    """Look at an entry of pending/ without claiming it; set it aside when it can never be a job.

    Opens for reading only: opening for writing would raise the event that brought us here.
    """
    if is_ignored(name):
        return NotNow("ignored")
    job_id = job_id_of(name)
    if job_id is None:
        return _reject(spool, name, f"bad name: a job file is called ID.json, where ID is {ID_GRAMMAR}")
    fd = _open(spool, name, READ)
    if isinstance(fd, NotNow):
        return fd
    try:
        record = _inspect(spool, job_id, fd, locked=False)
        if isinstance(record, NotNow):
            return record
        wanted = record.fields.get("id", job_id)
        if wanted == job_id:
            return Job(job_id, record, PENDING, spool.files.fstat(fd).st_mtime)
    finally:
        spool.files.close(fd)
    return _under_lock(spool, job_id)


def _under_lock(spool: Spool, job_id: str) -> Job | NotNow:
    claim = spool.take_in(PENDING, job_id)
    if claim is None:
        return NotNow("busy", BUSY_S)
    with claim:
        return _admit_name(spool, claim) or claim.job


def claim(spool: Spool, job_id: str, worker: str) -> Claim | NotNow:
    """Take a waiting job and write `started`; the command may be started once this returns a Claim.

    Args:
        worker: the name written into the history.

    Crash: in pending/ as before; or in processing/ without `started` (nothing ran, recovery puts it back); or with it
        (recovery counts an interruption).
    """
    quiet = False
    while True:
        found = _take(spool, job_id)
        if isinstance(found, NotNow):
            return found
        if found.record.has_history or quiet:
            break
        found.close()  # a stranger wrote it: our own descriptor would count as a writer
        try:
            if spool.files.has_writer(spool.layout.job(PENDING, job_id)):
                return NotNow("being written", WRITER_S)
        except FileNotFoundError:
            return NotNow("gone")
        quiet = True
    try:
        refused = _admit(spool, found) or _enter(spool, found, worker)
    except BaseException:
        found.close()
        raise
    if refused is not None:
        found.close()
        return refused
    return found


def _take(spool: Spool, job_id: str) -> Claim | NotNow:
    fd = _open(spool, job_id + SUFFIX, CHANGE)
    if isinstance(fd, NotNow):
        return fd
    kept = False
    try:
        if not spool.files.try_lock(fd):
            return NotNow("busy", BUSY_S)
        there = spool.files.lstat(spool.layout.job(PENDING, job_id))
        if there is None:
            return NotNow("gone")
        if there.st_ino != spool.files.fstat(fd).st_ino:
            return NotNow("busy", BUSY_S)
        record = _inspect(spool, job_id, fd, locked=True)
        if isinstance(record, NotNow):
            return record
        kept = True
        return Claim(spool, fd, PENDING, job_id, record)
    finally:
        if not kept:
            spool.files.close(fd)


def _open(spool: Spool, name: str, flags: int) -> int | NotNow:
    path = f"{spool.layout.directory(PENDING)}/{name}"
    try:
        return spool.files.open(path, flags)
    except FileNotFoundError:
        return NotNow("gone")
    except OSError as error:
        status = spool.files.lstat(path)
        if status is None:
            return NotNow("gone")
        wrong = wrong_with_inode(status)
        if wrong and error.errno in KEPT_ENTRIES:
            return _reject(spool, name, wrong)
        again_s = BUSY_S * 10 if error.errno in (errno.EMFILE, errno.ENFILE) else UNREADABLE_S
        return NotNow("unreadable", again_s, f"pending/{name}: {error.strerror}")


def _inspect(spool: Spool, job_id: str, fd: int, *, locked: bool) -> Record | NotNow:
    """Read a file of pending/ through `fd`; judge inode and text."""
    files = spool.files
    status = files.fstat(fd)
    wrong = wrong_with_inode(status)
    if wrong:
        return _reject(spool, job_id + SUFFIX, wrong)
    try:
        record = parse(files.read(fd, MAX_BYTES))
    except InvalidData as error:
        return _inspect_broken(spool, job_id, fd, status, error, locked=locked)
    spool.seen.pop(job_id, None)
    if locked:
        if status.st_mode & 0o020:
            files.chmod(fd, 0o600)
        if status.st_nlink > 1:
            return _inspect_linked(spool, job_id, fd, status, record)
    return record


def _inspect_broken(
    spool: Spool, job_id: str, fd: int, status: os.stat_result, error: InvalidData, *, locked: bool
) -> Record | NotNow:
    """A file that does not parse: still being written, torn by a crash of ours, or no job."""
    wait_s = _restless_s(spool, job_id, status)
    if wait_s > 0:
        return NotNow("being written", wait_s, str(error))
    if not locked:
        if not spool.files.try_lock(fd):
            return NotNow("busy", BUSY_S)
        there = spool.files.lstat(spool.layout.job(PENDING, job_id))
        if there is None or there.st_ino != status.st_ino:
            return NotNow("busy", BUSY_S)
    data = spool.files.read(fd, MAX_BYTES)
    try:
        return parse(data)
    except InvalidData as still_wrong:
        record = salvage(data, without_history=False)
        if record is not None:
            return record
        if spool.files.has_writer(spool.layout.job(PENDING, job_id)) and not locked:
            return NotNow("being written", WRITER_S, str(error))
        excerpt = f"\n{still_wrong.excerpt}" if still_wrong.excerpt else ""
        return _reject(spool, job_id + SUFFIX, f"{still_wrong}{excerpt}")


def _restless_s(spool: Spool, job_id: str, status: os.stat_result) -> float:
    """Return the seconds until size and mtime have been still for `drop_grace`; 0 when they have."""
    grace = spool.settings.drop_grace
    age = spool.clock.now() - status.st_mtime
    if age >= grace:
        return 0.0
    mark = (status.st_size, status.st_mtime_ns)
    seen = spool.seen.get(job_id)
    monotonic = spool.clock.monotonic()
    if seen is None or seen[:2] != mark:  # also the file from the future: its age never comes
        spool.seen[job_id] = (*mark, monotonic)
        return min(grace, grace - age) if age >= 0 else grace
    return max(0.0, seen[2] + grace - monotonic)


def _inspect_linked(spool: Spool, job_id: str, fd: int, status: os.stat_result, record: Record) -> Record | NotNow:
    """An inode with more than one name: ours after a power cut, a producer's for a moment, or a stranger's."""
    layout, files = spool.layout, spool.files
    if merge_names(spool, job_id, status.st_ino) != PENDING:
        return NotNow("gone")
    status = files.fstat(fd)
    if status.st_nlink == 1:
        return record
    age = spool.clock.now() - status.st_ctime
    if age < spool.settings.drop_grace:
        return NotNow("linked", 0.002 if age < 0.1 else 0.25, "its inode has another name, so another may write to it")
    copy, name = files.create(layout.tmp, f"{job_id}.copy")
    try:
        files.write(copy, record.render(), 0)
        files.sync(copy)
        files.unlink(layout.job(PENDING, job_id))
        files.publish(copy, name, layout.job(PENDING, job_id))
    finally:
        files.close(copy)
    return NotNow("busy", 0.0, "copied into a file of its own")


def merge_names(spool: Spool, job_id: str, inode: int) -> str | None:
    """Leave one name of a job that a power cut left with two: done > dead > pending > processing.

    Returns:
        The directory in which it stays; None when no name is left. The caller holds the lock.
    """
    kept = None
    for directory in (DONE, DEAD, PENDING, PROCESSING):
        path = spool.layout.job(directory, job_id)
        status = spool.files.lstat(path)
        if status is None or status.st_ino != inode:
            continue
        if kept is None:
            kept = directory
        else:
            spool.files.unlink(path)
    return kept


def _admit(spool: Spool, claim: Claim) -> NotNow | None:
    """Decide, under the lock, whether a well-formed job may start now."""
    refused = _admit_name(spool, claim)
    if refused is not None:
        return refused
    if claim.finish_move():
        return NotNow("moved", detail=f"its last event leads to {claim.directory}/")
    job, now = claim.job, spool.clock.now()
    if job.is_held:
        return NotNow("held")
    if job.expires_at is not None and job.expires_at < now:
        claim.bury("expired", {}, event="expired")
        return NotNow("moved", detail="expired")
    if job.run_at > now:
        return NotNow("early", job.run_at - now)
    return None


def _admit_name(spool: Spool, claim: Claim) -> NotNow | None:
    """An id inside is a promise, a file name is a wish; neither may be the id of another job."""
    job_id = claim.job.id
    promised = claim.record.fields.get("id")
    wanted = promised or job_id
    taken = next((d for d in (PROCESSING, DONE, DEAD) if spool.files.lstat(spool.layout.job(d, wanted))), None)
    if taken is not None and promised:
        return _reject(spool, job_id + SUFFIX, f"duplicate-of {wanted}: a job of this id is in {taken}/")
    if taken is not None:
        wanted = f"{job_id[: ID_MAX - 17]}-{new_id()}"
    if wanted == job_id:
        return None
    try:
        spool.files.move(spool.layout.job(PENDING, job_id), spool.layout.job(PENDING, wanted))
    except FileExistsError:
        return _reject(spool, job_id + SUFFIX, f"duplicate-of {wanted}: a job of this id is in pending/")
    except FileNotFoundError:
        return NotNow("gone")
    return NotNow("renamed", 0.0, f"{job_id} is now {wanted}", wanted)


def _enter(spool: Spool, claim: Claim, worker: str) -> NotNow | None:
    """Move the job into processing/ and write `started`."""
    files, layout, job_id = spool.files, spool.layout, claim.job.id
    source, target = layout.job(PENDING, job_id), layout.job(PROCESSING, job_id)
    try:
        files.move(source, target)
    except FileNotFoundError:
        return NotNow("gone")
    except FileExistsError:
        return NotNow("busy", BUSY_S)
    there = files.lstat(target)
    if there is None or there.st_ino != claim.inode():
        _send_back(spool, job_id)
        return NotNow("busy", BUSY_S, "another file took its name while it was claimed")
    claim.directory = PROCESSING
    try:
        claim.start(worker)
    except SpoolFull as error:
        claim.put_back()
        return NotNow("full", 1.0, str(error))
    return None


def _send_back(spool: Spool, job_id: str) -> None:
    """Return a stranger that slipped in between our look and our rename, without having read it."""
    path = spool.layout.job(PROCESSING, job_id)
    try:
        fd = spool.files.open(path, READ)
    except OSError:
        return
    try:
        if spool.files.try_lock(fd):
            spool.files.move(path, spool.layout.job(PENDING, job_id))
    except OSError:
        return  # its name is taken again; recovery decides
    finally:
        spool.files.close(fd)


def _reject(spool: Spool, name: str, reason: str) -> NotNow:
    spool.seen.pop(name[: -len(SUFFIX)], None)
    try:
        kept = spool.reject(PENDING, name, reason)
    except FileNotFoundError:
        return NotNow("gone")
    return NotNow("rejected", detail=f"rejected/{kept}: {reason} ({spell(spool.clock.now())})")
