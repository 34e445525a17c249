"""sync: makes the index equal to the spool, in small steps between other work.

Owns:       the comparison; reading job files for the index.
Guarantees: afterwards the index has every job as its file has it, and no other job. A job that moves meanwhile is
            neither lost nor doubled: one that differs is searched in all directories and read there, and a row is
            removed only when the job is in no directory. The first directory of DIRECTORIES in which an id is a valid
            job counts, as in Spool.find. Memory is bounded. Pending jobs come first; when the index has none, the
            first of them come before the directory is listed to its end. No file of the spool is changed: a file of
            pending/ that is no valid job is reported, and a supervisor or maintenance examines it (intake.examine).
Fails with: IndexUnavailable; OSError when a directory cannot be listed. Start again after either.
Source:     spool/FORMAT.md § Index.

For a supervisor: rows that workers report between two pieces win over what was read before. So that an older report
cannot win over what is read here, drain all reports after `Changes` was taken and before the next piece (a worker
reports before it gives up its claim).
"""

from __future__ import annotations

import os
from itertools import islice
from stat import S_ISREG

from queuectl.errors import InvalidData
from queuectl.index import clean_shutdown
from queuectl.index.change_log import Changes
from queuectl.index.database import IndexUnavailable, Sorter
from queuectl.index.rows import AT, row_of, witness
from queuectl.index.writer import Writer
from queuectl.job.job import DIRECTORIES, PENDING, PROCESSING, Job
from queuectl.spool.fs import READ
from queuectl.spool.intake import ClaimRefused, RefusalReason, inspect
from queuectl.spool.layout import SUFFIX, is_ignored, job_id_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from queuectl.index.rows import Row
    from queuectl.index.writer import Window
    from queuectl.spool.spool import Spool

    Answers = list[tuple[str, Row | None]]
    ReadAhead = Callable[[Iterable[str]], Iterator[Answers]]  # rebuild_readers.read_rows

STEP = 500  # what a piece may cost; comparing a file's status with its row is 1
READ_COST = 5
LIST_COST = 0.1
LIST_BATCH = 500
PASS_COST = 50
WINDOW_ROWS = 100_000  # rows in memory at once: some 20 MB, in a command that ends soon
EXACT_WINDOW_ROWS = 20_000  # likewise in a supervisor
FEW_CHANGED = 1000  # more are read by several processes, where the caller has them
NO_ROW = -1  # no inode, no witness
FIRST_JOBS = 2000
ROUNDS = 3
COMMIT_ROWS = 500
AGAIN_S = 30.0


class Progress:
    """How far a comparison is.

    Attributes:
        directory: what is being looked at.
        compared, listed: files so far. All files are listed when `directory` is the last and they are equal.
        read, removed: files read, because they were new or had changed; jobs taken out of the index.
        fresh: waiting jobs that were put since the last piece.
        later: names in pending/ that are no jobs yet, each with the seconds after which to look again; 0 for a file to
            be rejected or renamed.
    """

    __slots__ = ("compared", "directory", "fresh", "later", "listed", "read", "removed")

    def __init__(self) -> None:
        self.directory = ""
        self.compared = self.listed = self.read = self.removed = 0
        self.fresh: list[Job] = []
        self.later: list[tuple[str, float]] = []

    def __str__(self) -> str:
        return f"{self.compared:,} of {self.listed:,} files compared"


def sync(
    spool: Spool,
    writer: Writer,
    *,
    full: bool = False,
    exact: bool = True,
    watched: bool = False,
    read_ahead: ReadAhead | None = None,
) -> Iterator[Progress]:
    """Compare the spool with the index and correct the index.

    Args:
        full: compare every file, also where nothing has changed since the last clean close.
        exact: compare inode, size and ctime of each file of a directory that changed. Without it the name and the
            inode are compared, which is four times as fast; the next exact sync compares such a directory once more.
        watched: the caller gets file-system events for files that are moved into directories meanwhile; else the
            directories are compared again at the end.
        read_ahead: processes that read files meanwhile, useful where nearly all are new.

    Yields:
        The same Progress after each piece of some 5 ms, with `fresh` and `later` of that piece.

    Crash: the next one compares everything. Cost: some 6 µs a file that has not changed (1.5 µs if not `exact`), 60 µs one that is read.
    """
    return _Sync(spool, writer, read_ahead, is_exact=exact or full).run(full=full, watched=watched)


def catch_up(
    spool: Spool,
    *,
    full: bool = False,
    then: Callable[[Writer], None] | None = None,
    read_ahead: ReadAhead | None = None,
) -> Iterator[Progress]:
    """Open the index, sync, close it cleanly: for a command, when no supervisor runs. It holds run/index.lock.

    Args:
        then: what else is to be done while the index is open for writing.
    """
    writer = Writer(spool.layout.index, spool.clock)
    try:
        yield from sync(spool, writer, full=full, exact=False, read_ahead=read_ahead)
        if then is not None:
            then(writer)
    except BaseException:
        writer.close(clean=False)
        raise
    writer.close()


def look(spool: Spool, writer: Writer, name: str) -> Job | ClaimRefused | None:
    """Look at a name that appeared in pending/ or whose time has come, and put or remove the row of the job.

    Returns:
        Why its file in pending/ is no job (now); else the job of this id; None when there is none.
    """
    job_id = job_id_of(name)
    if job_id is not None:
        job, refused = _follow(spool, writer, job_id)
        return refused or job
    if is_ignored(name):
        return None
    found = inspect(spool, name)
    if isinstance(found, ClaimRefused):
        _note_unsettled(writer, name, found)
    return found


def refresh(spool: Spool, writer: Writer, job_id: str) -> Job | ClaimRefused | None:
    """Read a job wherever it lies, and put or remove its row.

    Returns:
        The job; else why its file in pending/ is no job (now); None when there is none at all.
    """
    job, refused = _follow(spool, writer, job_id)
    return job or refused


def _follow(spool: Spool, writer: Writer, job_id: str) -> tuple[Job | None, ClaimRefused | None]:
    job, refused = _find(spool, writer, job_id)
    if job is None:
        writer.remove(job_id)
    _note_unsettled(writer, job_id + SUFFIX, refused)
    return job, refused


def _note_unsettled(writer: Writer, name: str, refused: ClaimRefused | None) -> None:
    writer.note_unsettled(name, refused is not None and refused.again_s is not None)
    writer.note_invalid(name, refused is not None and refused.reason == RefusalReason.INVALID)


def _find(spool: Spool, writer: Writer, job_id: str) -> tuple[Job | None, ClaimRefused | None]:
    refused: ClaimRefused | None = None
    for _ in range(ROUNDS):  # it may move from where we have not looked to where we have
        for directory in DIRECTORIES:
            # Taken before the file is read: a change in between shows up as a difference the next time.
            status = spool.files.lstat(spool.layout.job(directory, job_id))
            found = None if status is None else _read(spool, directory, job_id)
            job = found.job if isinstance(found, ClaimRefused) else found
            refused = found if isinstance(found, ClaimRefused) else refused
            if job is not None:
                row = row_of(job, status)
                if refused is not None:
                    row[AT["inode"]] = None  # a misnamed one is read every time
                writer.put(row)
                return job, refused
        there = spool.find(job_id)
        if there is None or (there == PENDING and refused is not None):
            break
    return None, refused


def _read(spool: Spool, directory: str, job_id: str) -> Job | ClaimRefused | None:
    """Read one file; None when it has gone or is no job, ClaimRefused when the disk would not give it."""
    if directory == PENDING:
        found = inspect(spool, job_id + SUFFIX)
        return None if isinstance(found, ClaimRefused) and found.reason == RefusalReason.GONE else found
    try:
        return spool.read_in(directory, job_id)
    except InvalidData:
        return None
    except OSError as error:
        return ClaimRefused(RefusalReason.UNREADABLE, AGAIN_S, f"{directory}/{job_id}{SUFFIX}: {error.strerror}")


def rows_at_once(spool: Spool, job_ids: list[str]) -> list[Row | None]:
    """Read jobs as `sync` does; None for what is not the plain file of a job, which `sync` has to read itself.

    The kernel is asked for all files before the first is read: twice as fast when they are not in memory.
    """
    found = [_locate(spool, job_id) for job_id in job_ids]
    for job_id, place in zip(job_ids, found, strict=True):
        if place is not None:
            _prefetch(spool, job_id, *place)
    return [
        None if place is None else _row_in(spool, job_id, *place) for job_id, place in zip(job_ids, found, strict=True)
    ]


def _locate(spool: Spool, job_id: str) -> tuple[str, os.stat_result] | None:
    for directory in DIRECTORIES:
        status = spool.files.lstat(spool.layout.job(directory, job_id))
        if status is not None:
            return directory, status
    return None


def _prefetch(spool: Spool, job_id: str, directory: str, status: os.stat_result) -> None:
    """Have the kernel read a file in the background."""
    if not S_ISREG(status.st_mode):
        return
    try:
        fd = spool.files.open(spool.layout.job(directory, job_id), READ)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            spool.files.close(fd)
    except OSError:
        return


def _row_in(spool: Spool, job_id: str, directory: str, status: os.stat_result) -> Row | None:
    found = _read(spool, directory, job_id)
    return row_of(found, status) if isinstance(found, Job) else None


class _Sync:
    def __init__(self, spool: Spool, writer: Writer, read_ahead: ReadAhead | None, *, is_exact: bool) -> None:
        self.spool = spool
        self.is_exact = is_exact
        self.by_inode: set[str] = set()  # directories in which no more than names and inodes were compared
        self.read_ahead = read_ahead
        self.ahead: dict[str, Row | None] = {}
        self.writer = writer
        self.epoch = writer.epoch
        self.progress = Progress()
        self.spent = 0.0
        self.fresh: list[Job] = []
        self.later: list[tuple[str, float]] = []

    def run(self, *, full: bool, watched: bool) -> Iterator[Progress]:
        before = clean_shutdown.marks_of(self.spool)
        marks = clean_shutdown.settled(self.spool, before)
        unchanged = self._believed(full=full)
        yield from self._apply_changes()
        for directory in DIRECTORIES:
            # What runs is few and changes in place without a note, so it is always compared.
            if directory not in unchanged or directory == PROCESSING:
                yield from self._compare(directory)
        for _ in range(0 if watched else ROUNDS):
            now = clean_shutdown.marks_of(self.spool)
            moved = [directory for directory in DIRECTORIES if now[directory] != before[directory]]
            if not moved:
                break
            before, marks = now, clean_shutdown.settled(self.spool, now)
            for directory in moved:
                yield from self._compare(directory)
        if not watched:
            yield from self._apply_changes()
        self.writer.commit()
        self.writer.needs_sync = False
        self.writer.clean_shutdown = clean_shutdown.CleanShutdown(self.spool, marks, by_inode=self.by_inode)
        yield self._piece()

    def _believed(self, *, full: bool) -> set[str]:
        """Return the directories that cannot have changed, and have what was unsettled there looked at again."""
        writer, last = self.writer, self.writer.clean_shutdown
        if writer.is_temporary:
            return set()
        if last is None:
            last = clean_shutdown.load(self.spool, writer.found_clean_shutdown)
            clean_shutdown.invalidate(self.spool)
        if full or last is None:
            self.is_exact = True  # nothing is known of changes in place
            return set()
        unchanged = last.unchanged()
        if PROCESSING not in unchanged:
            self.is_exact = True  # a job may have run and come back to pending/ with its inode, and no note was made
        self.by_inode = last.by_inode & unchanged
        if self.is_exact:
            unchanged -= self.by_inode
            self.by_inode = set()
        if PENDING in unchanged:
            for name in sorted(last.unsettled | writer.unsettled):
                self._look(name)
        return unchanged

    def _apply_changes(self) -> Iterator[Progress]:
        while not self.writer.is_temporary:  # which reads every file, and leaves the notes to the index they are for
            changes = Changes(self.spool)
            if not changes:
                return
            yield self._piece()
            if not changes.are_there():
                continue
            for job_id in changes.ids():
                self._refresh(job_id)
                yield from self._pause(READ_COST)
            self.writer.commit()
            changes.forget()

    # --- one directory

    def _compare(self, directory: str) -> Iterator[Progress]:
        self.progress.directory = directory
        changed = Sorter()  # neighbours are written together: seven times faster at a million jobs
        try:
            yield from self._find_changed(directory, changed)
            for job_id in self._read_ahead(changed) if changed.count > FEW_CHANGED else changed:
                self.progress.compared += 1
                self._refresh(job_id)
                yield from self._pause(READ_COST)
        finally:
            changed.close()

    def _find_changed(self, directory: str, changed: Sorter) -> Iterator[Progress]:
        """Give `changed` the jobs whose files are new or differ from their rows; take out rows without a file.

        The rows are held in memory a window of ids at a time, and the directory is listed once for each window.
        """
        self.writer.commit()
        if directory == PENDING:
            self.writer.begin_unsettled()
        is_exact = self.is_exact or directory == PROCESSING
        if not is_exact:
            self.by_inode.add(directory)
        early = FIRST_JOBS if directory == PENDING and self.writer.count(PENDING) == 0 else 0
        is_first = True
        for window in self.writer.windows(directory, EXACT_WINDOW_ROWS if is_exact else WINDOW_ROWS, exact=is_exact):
            if window is None:
                yield from self._pause(PASS_COST)
                continue
            for entries in _entries(self.spool, directory):
                if is_first:
                    self.progress.listed += len(entries)
                for name in self._differing(directory, entries, window, is_exact=is_exact):
                    job_id = job_id_of(name)
                    if job_id is None:
                        if is_first and directory == PENDING:
                            self._look(name)
                    elif window.first < job_id <= window.last and early > 0:
                        early -= 1
                        self.progress.compared += 1
                        self._refresh(job_id)
                        yield from self._pause(READ_COST)
                    elif window.first < job_id <= window.last:
                        changed.add(job_id)
                yield from self._pause(len(entries) * (1 if is_exact else LIST_COST))
            for job_id in window.rows:  # there is no such file here any more, or it came after the listing
                self._refresh(job_id)
                yield from self._pause(READ_COST)
            is_first = False

    def _differing(
        self, directory: str, entries: list[tuple[str, int]], window: Window, *, is_exact: bool
    ) -> Iterator[str]:
        """Yield the names that are not those of unchanged jobs of the window, and take the others out of it."""
        take, end = window.rows.pop, -len(SUFFIX)
        for name, inode in entries:
            known = take(name[:end], NO_ROW) if name.endswith(SUFFIX) else NO_ROW
            if known == NO_ROW or known != (self._witness(directory, name) if is_exact else inode):
                yield name
            else:
                self.progress.compared += 1

    def _read_ahead(self, job_ids: Iterable[str]) -> Iterator[str]:
        """Yield the ids, their files already read where the caller has processes for that."""
        if self.read_ahead is None:
            yield from job_ids
            return
        for chunk in self.read_ahead(job_ids):
            self.ahead = dict(chunk)
            for job_id, _ in chunk:
                yield job_id
        self.ahead = {}

    def _witness(self, directory: str, name: str) -> str:
        status = self.spool.files.lstat(f"{self.spool.layout.directory(directory)}/{name}")
        return "" if status is None else witness(status)

    # --- one job

    def _look(self, name: str) -> None:
        self.progress.read += 1
        self._note(name, look(self.spool, self.writer, name))

    def _refresh(self, job_id: str) -> None:
        self.progress.read += 1
        row = self.ahead.pop(job_id, None)
        if row is not None:
            self.writer.put(row)
            self.writer.note_unsettled(job_id + SUFFIX, False)
            return
        self._note(job_id + SUFFIX, look(self.spool, self.writer, job_id + SUFFIX))

    def _note(self, name: str, found: Job | ClaimRefused | None) -> None:
        if isinstance(found, Job):
            if found.directory == PENDING:
                self.fresh.append(found)
        elif found is None:
            self.progress.removed += 1
        elif found.again_s is not None:
            self.later.append((name, found.again_s))

    # --- pieces

    def _pause(self, cost: float) -> tuple[Progress, ...]:
        """Return what to yield: nothing before a piece is full."""
        self.spent += cost
        return (self._piece(),) if self.spent >= STEP else ()

    def _piece(self) -> Progress:
        if self.writer.epoch != self.epoch:
            raise IndexUnavailable("the index was reopened while it was compared with the spool")
        self.spent = 0.0
        if self.writer.waiting >= COMMIT_ROWS:
            self.writer.commit()
        self.progress.fresh, self.progress.later = self.fresh, self.later
        self.fresh, self.later = [], []
        return self.progress


def _entries(spool: Spool, directory: str) -> Iterator[list[tuple[str, int]]]:
    """Yield names and inodes of a directory, LIST_BATCH at a time."""
    try:
        found = spool.files.entries(spool.layout.directory(directory))
        while batch := [*islice(found, LIST_BATCH)]:
            yield batch
    except FileNotFoundError:
        return
