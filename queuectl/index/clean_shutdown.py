"""clean_shutdown: the marker that lets an index skip the comparison with unchanged directories.

Owns:       meta `seal`, written at a clean close and removed when the index is opened for writing; run/index.seal.
Guarantees: a directory is believed unchanged only if all of this holds: the index was closed cleanly; the token of that
            close is the one in run/index.seal, so this is no older copy, and no other index was at work since; the machine has not been started anew (a power cut may take back what was read); inode and
            mtime of the directory are those of then, and that mtime was more than SETTLE_S old, so that no later change
            can have the same.
            Changes made in place by the spool's verbs are in run/changes. Where another program overwrites a waiting job in
            place, or removes it and writes one of the same name that gets the same inode, a reader without a
            supervisor may show the former job; the supervisor compares such a directory exactly when it starts.
Source:     spool/FORMAT.md § Index; the racily clean entries of git's index.
"""

from __future__ import annotations

import json
import os

from queuectl.atomic_file import open_private
from queuectl.index.change_log import Changes
from queuectl.index.rows import witness
from queuectl.job.job import DIRECTORIES, PENDING, PROCESSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from queuectl.index.reader import Reader
    from queuectl.spool.spool import Spool

    Marks = dict[str, tuple[int, int]]  # directory: inode, mtime_ns

SETTLE_S = 1.0  # no file system's clock is coarser
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class CleanShutdown:
    """The state of the spool when the index held all of it.

    Attributes:
        marks: the directories that need not be compared while they have this inode and mtime.
        unsettled: names in pending/ that were not valid jobs yet, to be read again in any case.
        by_inode: directories of which only names and inodes were compared: enough for a reader, not for a supervisor.
    """

    __slots__ = ("by_inode", "marks", "spool", "unsettled")

    def __init__(self, spool: Spool, marks: Marks, unsettled: Iterable[str] = (), by_inode: Iterable[str] = ()) -> None:
        self.spool = spool
        self.marks = marks
        self.unsettled = set(unsettled)
        self.by_inode = set(by_inode)

    def unchanged(self) -> set[str]:
        """Return the directories that need not be compared."""
        return {directory for directory, mark in marks_of(self.spool).items() if self.marks.get(directory) == mark}

    def write(self, set_meta: Callable[[str, str], None], unsettled: Iterable[str], *, is_pending_known: bool) -> None:
        """Write the marker into the index. Crash: without the token in run/ it is not valid."""
        boot = boot_id()
        if boot is None:
            return
        token = os.urandom(8).hex()
        marks = {name: mark for name, mark in self.marks.items() if name != PENDING or is_pending_known}
        made = {
            "token": token,
            "boot": boot,
            "marks": marks,
            "unsettled": sorted(unsettled),
            "by_inode": sorted(self.by_inode),
        }
        set_meta("seal", json.dumps(made))
        _write_token(self.spool, token)


def load(spool: Spool, text: str | None) -> CleanShutdown | None:
    """Return the marker of the last clean shutdown; None when it is not valid any more."""
    if text is None:
        return None
    try:
        made = json.loads(text)
        marks = {name: (inode, mtime) for name, (inode, mtime) in made["marks"].items()}
        is_valid = made["boot"] == boot_id() and made["token"] == _read_token(spool)
        return CleanShutdown(spool, marks, made["unsettled"], made["by_inode"]) if is_valid else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def invalidate(spool: Spool) -> None:
    """Make every marker invalid, also those in copies of the index."""
    _write_token(spool, "")


def _write_token(spool: Spool, token: str) -> None:
    try:
        fd = open_private(_token_path(spool), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
        try:
            os.write(fd, token.encode())
        finally:
            os.close(fd)
    except OSError:
        return  # a full disk, or no run/: then no marker is valid


def _read_token(spool: Spool) -> str | None:
    try:
        with open(_token_path(spool), encoding="utf-8") as file:
            return file.read(100)
    except (OSError, ValueError):
        return None


def _token_path(spool: Spool) -> str:
    return f"{spool.layout.run}/index.seal"


def marks_of(spool: Spool) -> Marks:
    """Return inode and mtime of every directory as they are now."""
    found = {}
    for directory in DIRECTORIES:
        status = spool.files.lstat(spool.layout.directory(directory))
        found[directory] = (0, 0) if status is None else (status.st_ino, status.st_mtime_ns)
    return found


def settled(spool: Spool, marks: Marks) -> Marks:
    """Keep the marks that no later change can share; take them before the directories are listed."""
    latest_ns = (spool.clock.now() - SETTLE_S) * 1e9
    return {directory: mark for directory, mark in marks.items() if mark[1] < latest_ns}


def is_current(spool: Spool, reader: Reader) -> bool:
    """Return whether the index equals the spool, so that a reader need not synchronize first.

    For when no supervisor runs; with one, ask it to flush. Cost: four lstat and one for each running job.
    """
    mark = load(spool, reader.meta("seal"))
    if mark is None or mark.unsettled or Changes(spool):
        return False
    if not set(DIRECTORIES) - {PROCESSING} <= mark.unchanged():
        return False
    known = dict(reader.running_witnesses())
    for job_id in spool.ids(PROCESSING):
        status = spool.files.lstat(spool.layout.job(PROCESSING, job_id))
        if status is None or known.pop(job_id, None) != witness(status):
            return False
    return not known


def boot_id() -> str | None:
    """Return the boot id of the machine; None where there is none (then no marker is valid)."""
    try:
        with open(BOOT_ID, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None
