"""rebuild_readers: forked processes that read job files for a new index, so that all processors are used.

Guarantees: the rows are those that `sync` would read, in the order of the ids. Where a reader died, or is not sure of a
            file, the caller reads the file itself. Memory is bounded. A reader ends when its parent closes the pipe or
            is killed; it holds no lock of its parent and does not use the index.
Fails with: nothing; without readers the caller reads all files.
"""

from __future__ import annotations

import gc
import marshal
import os
from itertools import islice

from queuectl.executor.child_setup import close_all_but
from queuectl.index.sync import rows_at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from queuectl.index.rows import Row
    from queuectl.index.sync import Answers
    from queuectl.spool.spool import Spool

MOST = 3  # one process writes what three read
BATCH = 20_000  # ids for which readers are forked once
CHUNK = 128  # ids whose rows are sent together
LENGTH_BYTES = 4


def read_rows(spool: Spool, job_ids: Iterable[str], count: int | None = None) -> Iterator[Answers]:
    """Yield the ids in groups, each id with its row, or None for one that the caller has to read itself.

    Args:
        count: how many readers; by default one for each processor, at most MOST, and none where there is one processor.
    """
    if count is None:
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        count = min(MOST, processors) if processors > 1 else 0
    rest = iter(job_ids)
    while batch := [*islice(rest, BATCH)]:
        chunks = [batch[start : start + CHUNK] for start in range(0, len(batch), CHUNK)]
        readers = [_Reader(spool, chunks[number::count]) for number in range(count)]
        try:
            for number, chunk in enumerate(chunks):
                rows = readers[number % count].next() if readers else None
                yield [(job_id, None) for job_id in chunk] if rows is None else [*zip(chunk, rows, strict=True)]
        finally:
            for reader in readers:
                reader.close()


class _Reader:
    """A forked process that reads its chunks and writes their rows into a pipe."""

    def __init__(self, spool: Spool, chunks: list[list[str]]) -> None:
        self._fd = self._pid = -1
        try:
            self._fd, theirs = os.pipe()
            gc.freeze()  # so that a collection in the reader does not copy the memory of the parent
            try:
                self._pid = os.fork()
                if self._pid == 0:
                    _serve(spool, chunks, theirs)
            finally:
                os.close(theirs)
        except OSError:
            return  # no process or descriptor is left, so `next` finds no rows

    def next(self) -> list[Row | None] | None:
        """Return the rows of the next chunk; None if the reader is dead."""
        length = _read(self._fd, LENGTH_BYTES)
        data = _read(self._fd, int.from_bytes(length, "big")) if length else b""
        return [*marshal.loads(data)] if data else None

    def close(self) -> None:
        """End it; rows that were not taken are discarded."""
        if self._fd >= 0:
            os.close(self._fd)
        if self._pid > 0:
            os.waitpid(self._pid, 0)


def _serve(spool: Spool, chunks: list[list[str]], fd: int) -> None:
    """Write the rows of all chunks, each with its length before it; never returns."""
    try:
        close_all_but(fd)
        for chunk in chunks:
            data = marshal.dumps(rows_at_once(spool, chunk))
            data = len(data).to_bytes(LENGTH_BYTES, "big") + data
            while data:
                data = data[os.write(fd, data) :]
    finally:
        os._exit(0)


def _read(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size and fd >= 0:
        more = os.read(fd, size - len(data))
        if not more:
            return b""
        data += more
    return data
