"""rejected: files that are not valid jobs, and files that occupy the name of another job.

Guarantees: nothing is deleted or overwritten; the entry itself is moved, never its link target. A file that another
            process has locked is waited for, but not indefinitely.
Fails with: OSError.
Source:     spool/FORMAT.md § Rejected files, § Moving.
"""

from __future__ import annotations

from queuectl.clock import spell
from queuectl.ids import ID_MAX, new_id
from queuectl.job.history import PENDING
from queuectl.spool.fs import CREATE, READ
from queuectl.spool.layout import REASON, SUFFIX, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from queuectl.spool.context import SpoolContext

NAP_S = 0.02
HINT = "hint: correct it and move it back to pending/, or delete it together with this file"
NAME_BYTES = 200  # a longer name leaves no room for REASON


def reject(spool: SpoolContext, directory: str, name: str, reason: str) -> str:
    """Move an entry that is not a valid job to rejected/ and write the reason into a file next to it.

    Returns:
        Its name there, printable.

    Crash: moved without a reason, or not moved; never executed.
    """
    files, layout = spool.files, spool.layout
    stem, number = _short(name, spool.clock.now()), 0
    kept = stem
    while True:
        path = f"{layout.rejected}/{kept}"
        try:
            if not files.exists(f"{path}{REASON}"):
                files.move(f"{layout.directory(directory)}/{name}", path)
                break
        except FileExistsError:
            pass
        number += 1
        kept = f"{stem}.{number}"
    text = f"{spell(spool.clock.now())} from {directory}/{shown(name)}: {reason}\n{HINT}\n"
    _write_reason(spool, f"{path}{REASON}", text.encode("utf-8", "backslashreplace"))
    return shown(kept)


def rejected_files(names: Iterable[str]) -> list[str]:
    """Return those of the names in rejected/ that are rejected files, not their .reason files."""
    there = set(names)
    return [name for name in sorted(there) if not name.endswith(REASON) or f"{name}{REASON}" in there]


def _short(name: str, now: float) -> str:
    data = name.encode("utf-8", "surrogateescape")
    if len(data) <= NAME_BYTES:
        return name
    return f"{data[: NAME_BYTES - 20].decode('utf-8', 'surrogateescape')}-{new_id(now)}"


def _write_reason(spool: SpoolContext, path: str, text: bytes) -> None:
    try:
        fd = spool.files.open(path, CREATE)
    except OSError:
        return  # the log has the reason too; the entry is moved even if the disk is full
    try:
        spool.files.write(fd, text, 0)
    except OSError:
        return
    finally:
        spool.files.close(fd)


def move_conflicting_file(spool: SpoolContext, directory: str, job_id: str) -> None:
    """Move a file that occupies the name of a job which is about to be moved to `directory`.

    In pending/ it gets another name and stays in the queue: a file name there is only a suggestion, and an id inside the
    file is checked when the job is claimed. Elsewhere it is moved to rejected/.
    """
    path = spool.layout.job(directory, job_id)
    fd = _lock(spool, path)
    try:
        if directory == PENDING:
            spool.files.move(path, spool.layout.job(PENDING, spare_id(spool, job_id)), is_fresh=True)
        else:
            reject(spool, directory, job_id + SUFFIX, f"duplicate-of {job_id}: its name belongs to a job that ran")
    except FileNotFoundError:
        return
    finally:
        _close(spool, fd)


def restore_file(spool: SpoolContext, directory: str, job_id: str, name: str) -> None:
    """Move a foreign file that was moved instead of the job back to pending/`name`."""
    path = spool.layout.job(directory, job_id)
    fd = _lock(spool, path)
    try:
        _move_back(spool, path, name)
    except FileNotFoundError:
        return
    finally:
        _close(spool, fd)


def unpublish(spool: SpoolContext, job_id: str, inode: int) -> None:
    """Remove a job from pending/, but not another file that has just taken its name."""
    moved = spool.files.fresh_name(spool.layout.tmp)
    try:
        spool.files.move(spool.layout.job(PENDING, job_id), moved, is_fresh=True)
    except FileNotFoundError:
        return
    there = spool.files.lstat(moved)
    if there is None or there.st_ino == inode:
        spool.files.unlink(moved)
    else:
        _move_back(spool, moved, job_id)


def spare_id(spool: SpoolContext, job_id: str) -> str:
    """Return an id for a job whose name is taken: the name and a time stamp."""
    return f"{job_id[: ID_MAX - 17]}-{new_id(spool.clock.now())}"


def pause_for_lock() -> None:
    """Wait before a lock that is held only briefly is tried again."""
    import time

    time.sleep(NAP_S)


def _move_back(spool: SpoolContext, path: str, job_id: str) -> None:
    try:
        spool.files.move(path, spool.layout.job(PENDING, job_id))
    except FileExistsError:
        spool.files.move(path, spool.layout.job(PENDING, spare_id(spool, job_id)), is_fresh=True)


def _lock(spool: SpoolContext, path: str) -> int | None:
    """Open and lock a file; returns None if it cannot be opened, and an unlocked descriptor if its lock stays held."""
    try:
        fd = spool.files.open(path, READ)
    except OSError:
        return None
    try:
        for _ in range(spool.patience):
            if spool.files.try_lock(fd):
                break
            pause_for_lock()
    except OSError:
        pass  # where a file system cannot lock files, no other process has locked it
    return fd


def _close(spool: SpoolContext, fd: int | None) -> None:
    if fd is not None:
        spool.files.close(fd)
