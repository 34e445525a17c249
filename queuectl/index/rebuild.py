"""rebuild: rebuilds the index beside the old one, and compares the index with the spool row by row.

Source: spool/FORMAT.md § Index ("after sync it equals the spool exactly").
"""

from __future__ import annotations

import os
from heapq import merge
from itertools import islice

from queuectl.errors import InvalidData
from queuectl.index.database import TEMPORARY, Sorter, discard
from queuectl.index.rows import COLUMNS, INTERNAL, START, row_of
from queuectl.index.sync import catch_up, sync
from queuectl.index.writer import Writer
from queuectl.job.job import DIRECTORIES, PENDING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from queuectl.index.reader import Reader
    from queuectl.index.sync import Progress, ReadAhead
    from queuectl.job.job import Job
    from queuectl.spool.spool import Spool

COMPARED = tuple(number for number, column in enumerate(COLUMNS) if column not in (*INTERNAL, *START))
CREATED_AT = COLUMNS.index("created_at")
MANY_JOBS = 5000


def rebuild(spool: Spool, path: str, read_ahead: ReadAhead | None = None) -> Iterator[Progress]:
    """Build a new index and replace the one at `path`.

    The caller holds run/index.lock, so no process writes to the old one; readers notice the new file by themselves.

    Args:
        read_ahead: reads the files in other processes meanwhile (rebuild_readers.read_rows).

    Crash: the old index, or none; what was built so far is thrown away by the next rebuild.
    Cost: some 10 µs a job above reading its file; bounded memory.
    """
    beside = f"{path}.new"
    discard(beside)
    writer = Writer(beside, spool.clock)
    try:
        indexes = writer.begin_bulk()
        progress: Progress | None = None
        for progress in sync(spool, writer, full=True, read_ahead=read_ahead):
            yield progress
        for _ in writer.end_bulk(indexes):
            if progress is not None:
                yield progress
    except BaseException:
        writer.close(clean=False)
        discard(beside)
        raise
    writer.close()
    discard(path)
    os.rename(beside, path)


def build_temporary(spool: Spool, on_step: Callable[[str], None] = lambda _words: None) -> Reader:
    """Read the job files into an index that only this process sees and that leaves no file behind.

    For a home in which no index can be written, or where there is none; nothing of the spool is changed.

    Cost: every file is read. Bounded memory: SQLite moves what is much to a file without a name in $TMPDIR.
    """
    writer = Writer(TEMPORARY, spool.clock)
    try:
        for progress in sync(spool, writer, full=True):
            on_step(str(progress))
        return writer.as_reader()
    except BaseException:
        writer.close(clean=False)
        raise


def build_or_catch_up(spool: Spool, read_ahead: ReadAhead | None = None) -> Iterator[Progress]:
    """Bring the index up to date and change nothing else, for a command when no supervisor runs; it holds run/index.lock.

    Where there is none, and many jobs, it is built as by `rebuild`: three times as fast as row by row.
    """
    path = spool.layout.index
    if os.path.lexists(path) or not any(_has_many(spool, directory) for directory in DIRECTORIES):
        return catch_up(spool, read_ahead=read_ahead)
    return rebuild(spool, path, read_ahead)


def _has_many(spool: Spool, directory: str) -> bool:
    return next(islice(spool.ids(directory), MANY_JOBS, None), None) is not None


class Difference:
    """One job about which spool and index disagree.

    Attributes:
        kind: missing (not in the index), stale (other values), extra (not in the spool).
        spool, index: the values that differ, by column; all of them where the other side has nothing, None where there
            is none.
    """

    __slots__ = ("id", "index", "kind", "spool")

    def __init__(self, job_id: str, in_spool: list[Any] | None, in_index: tuple[Any, ...] | None) -> None:
        self.id = job_id
        self.kind = "missing" if in_index is None else "extra" if in_spool is None else "stale"
        numbers = _differing(in_spool, in_index) if in_spool and in_index else COMPARED
        self.spool = in_spool and {COLUMNS[n]: in_spool[n] for n in numbers}
        self.index = in_index and {COLUMNS[n]: in_index[n] for n in numbers}

    def __str__(self) -> str:
        if self.kind != "stale" or not self.spool or not self.index:
            return f"{self.id}: {self.kind}"
        pairs = (f"{name} is {self.spool[name]!r}, not {value!r}" for name, value in self.index.items())
        return f"{self.id}: stale: {', '.join(pairs)}"


def verify(spool: Spool, reader: Reader) -> Iterator[Difference | None]:
    """Read every job and compare it with its row; changes nothing.

    Yields:
        What differs, after a second look at both sides, since jobs go on meanwhile; None after each job that does not.
    """
    sorter = Sorter()
    try:
        for directory in DIRECTORIES:
            for job_id in spool.ids(directory):
                sorter.add(job_id)
        rows = (row[0] for row in reader.all_rows())
        last = None
        for job_id in merge(sorter, rows):
            if job_id != last:
                yield compare(spool, reader, job_id)
            last = job_id
    finally:
        sorter.close()


def compare(spool: Spool, reader: Reader, job_id: str) -> Difference | None:
    """Return how a job and its row differ, after a second look at both; None when they do not."""
    found = None
    for _ in range(2):
        in_index = reader.row(job_id)
        found = None
        for job in _readings(spool, job_id):
            difference = _difference(job_id, job, in_index)
            if difference is None:
                return None
            found = found or difference
    return found


def mark(spool: Spool, job_id: str) -> tuple[int, ...] | None:
    """Return what changes whenever something happens to a job; None when there is none."""
    directory = spool.find(job_id)
    status = None if directory is None else spool.files.lstat(spool.layout.job(directory, job_id))
    return None if status is None else (status.st_ino, status.st_size, status.st_ctime_ns)


def _difference(job_id: str, job: Job | None, in_index: tuple[Any, ...] | None) -> Difference | None:
    if job is None:
        return None if in_index is None else Difference(job_id, None, in_index)
    in_spool = _as_indexed(job, in_index)
    if in_index is not None and not _differing(in_spool, in_index):
        return None
    return Difference(job_id, in_spool, in_index)


def agrees(job: Job, in_index: tuple[Any, ...]) -> bool:
    """Tell whether a row says what the job's file says."""
    return not _differing(_as_indexed(job, in_index), in_index)


def _as_indexed(job: Job, in_index: tuple[Any, ...] | None) -> list[Any]:
    """Return the row of a job as it is to be found in the index."""
    row = row_of(job)
    if in_index is not None and "created_at" not in job.fields:  # made up from the mtime, which grows with the file
        row[CREATED_AT] = in_index[CREATED_AT]
    return row


def _differing(in_spool: list[Any], in_index: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(number for number in COMPARED if in_spool[number] != in_index[number])


def _readings(spool: Spool, job_id: str) -> Iterator[Job | None]:
    """Yield what the index may say of an id: the first job of that name, or that there is none.

    In pending/ a torn file could be the unfinished write of another program, and is not a valid job yet: until then the
    index may show a file of that name in another directory.
    """
    for directory in DIRECTORIES:
        try:
            job = spool.read_in(directory, job_id)
        except (InvalidData, OSError):
            continue
        if job is not None:
            yield job
            if not (job.is_torn and directory == PENDING):
                return
    yield None
