"""dependents: no job is removed while another one that comes after it is being enqueued.

Owns:       state/dependents: its lock, and its size, which grows by one byte with each job that has parents.
Guarantees: between `enqueuing` and its end no parent is removed; between `removing` and its end no job with parents is
            enqueued. Jobs that other programs drop are protected once a supervisor has seen them.
Fails with: OSError.
Source:     spool/FORMAT.md § Dependencies.
"""

from __future__ import annotations

from contextlib import contextmanager

from queuectl.spool.fs import FULL, SHARED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.spool.context import SpoolContext


@contextmanager
def enqueuing(spool: SpoolContext) -> Iterator[None]:
    """Keep all jobs from being removed while a job with parents is checked and published.

    Crash: the kernel releases the lock.
    """
    fd = spool.open_state(spool.layout.dependents, SHARED)
    try:
        spool.files.share(fd)
        spool.files.write(fd, b"\n", spool.files.fstat(fd).st_size)
        yield
    finally:
        spool.files.close(fd)


def note(spool: SpoolContext) -> None:
    """Record that there are jobs with parents. Takes no lock: who removes jobs may wait for the supervisor."""
    if enqueued(spool) == 0:
        fd = spool.open_state(spool.layout.dependents, SHARED)
        try:
            spool.files.write(fd, b"\n", 0)
        finally:
            spool.files.close(fd)


@contextmanager
def removing(spool: SpoolContext) -> Iterator[None]:
    """Keep jobs with parents from being enqueued while the dependents of jobs are looked for and the jobs removed."""
    try:
        fd = spool.open_state(spool.layout.dependents, SHARED)
    except OSError as error:
        if error.errno not in FULL or enqueued(spool) != 0:
            raise
        yield  # no job has parents, and none can be enqueued
        return
    try:
        spool.files.lock(fd)
        yield
    finally:
        spool.files.close(fd)


def enqueued(spool: SpoolContext) -> int:
    """Return a number that grows whenever a job with parents may have been enqueued; 0 when none ever was."""
    status = spool.files.lstat(spool.layout.dependents)
    return 0 if status is None else status.st_size
