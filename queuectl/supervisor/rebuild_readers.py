"""rebuild_readers: processes that read job files while the index is rebuilt, so that all processors are used.

Owns:       forking these processes, and their pipes.
Guarantees: the answers are what `sync` would read, in the order of the requests. If a reader dies or is not sure of a file,
            the caller reads the file itself. Memory is bounded. A reader ends when its parent ends or is killed; it holds
            no lock of its parent and does not open the index.
Fails with: nothing; without readers the caller reads all files.

The readers are forked at the first request, by a command with one thread. The index may be open then: a reader closes every
descriptor except its pipes and never uses the connection.
"""

from __future__ import annotations

import gc
import marshal
import os
from collections import deque
from itertools import islice

from queuectl.executor.child_setup import close_all_but
from queuectl.index.sync import rows_at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from queuectl.index.rows import Row
    from queuectl.index.sync import Answers
    from queuectl.spool.spool import Spool

MOST = 3  # one process writes what three read
CHUNK = 128  # ids in one request; two requests of the longest ids fit into a pipe, so that sending never blocks
AHEAD = 2  # requests to a reader before its first answer is needed
LENGTH_BYTES = 4


class Readers:
    """One reader for each processor, at most MOST; a context manager that ends them."""

    def __init__(self, spool: Spool, count: int | None = None) -> None:
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        count = (min(MOST, processors) if processors > 1 else 0) if count is None else count
        self._spool = spool
        self._count = count
        self._readers: list[_Reader] = []

    def start(self) -> None:
        """Fork the readers; called at the first request if not before."""
        while len(self._readers) < self._count:
            try:
                self._readers.append(_Reader(self._spool))
            except OSError:  # no process or descriptor is left: use fewer
                self._count = len(self._readers)

    def __call__(self, job_ids: Iterable[str]) -> Iterator[Answers]:
        """Yield chunk by chunk the ids, each with its row or None."""
        self.start()
        rest = iter(job_ids)
        asked: deque[tuple[_Reader | None, list[str]]] = deque()
        turn = 0
        while chunk := [*islice(rest, CHUNK)]:
            reader = self._readers[turn % len(self._readers)] if self._readers else None
            turn += 1
            if len(asked) >= AHEAD * len(self._readers) and asked:
                yield _answer(*asked.popleft())
            if reader is not None:
                reader.ask(chunk)
            asked.append((reader, chunk))
        while asked:
            yield _answer(*asked.popleft())

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.close()


def _answer(reader: _Reader | None, chunk: list[str]) -> Answers:
    rows = None if reader is None else reader.answer()
    if rows is None:
        return [(job_id, None) for job_id in chunk]
    return [*zip(chunk, rows, strict=True)]


class _Reader:
    """One forked process."""

    def __init__(self, spool: Spool) -> None:
        theirs, self._ask = os.pipe()
        self._answers, tell = os.pipe()
        gc.freeze()
        try:
            self._pid = os.fork()
        except OSError:
            for fd in (theirs, self._ask, self._answers, tell):
                os.close(fd)
            raise
        if self._pid == 0:
            try:
                close_all_but(theirs, tell)
                _serve(spool, theirs, tell)
            finally:
                os._exit(0)
        os.close(theirs)
        os.close(tell)

    def ask(self, job_ids: list[str]) -> None:
        """Request the rows of these jobs."""
        try:
            _send(self._ask, job_ids)
        except OSError:
            return  # it is dead and gives no answer

    def answer(self) -> list[Row | None] | None:
        """Return the rows of the oldest request; None if the reader is dead."""
        return _receive(self._answers)

    def close(self) -> None:
        """End it; its remaining answers are discarded."""
        os.close(self._ask)
        os.close(self._answers)
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            return


def _serve(spool: Spool, questions: int, answers: int) -> None:
    """Answer requests until the pipe is closed."""
    while (job_ids := _receive(questions)) is not None:
        _send(answers, rows_at_once(spool, job_ids))


def _send(fd: int, value: list[Any]) -> None:
    data = marshal.dumps(value)
    data = len(data).to_bytes(LENGTH_BYTES, "big") + data
    while data:
        data = data[os.write(fd, data) :]


def _receive(fd: int) -> list[Any] | None:
    length = _read(fd, LENGTH_BYTES)
    data = _read(fd, int.from_bytes(length, "big")) if length else b""
    return [*marshal.loads(data)] if data else None


def _read(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(fd, size - len(data))
        if not more:
            return b""
        data += more
    return data
