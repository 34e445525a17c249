"""pauses: queues that start no jobs, or all of them, until they are resumed.

Owns:       state/paused/, with an empty file for each pause. Any program may create or remove one.
Guarantees: a pause survives every restart; once `pause` has returned, no job of the queue is claimed. What runs goes on.
Fails with: OSError.
Source:     spool/FORMAT.md § Pauses.
"""

from __future__ import annotations

from queuectl.ids import is_id
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool.fs import APPEND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.spool.context import SpoolContext


def paused(spool: SpoolContext) -> frozenset[str]:
    """Return the names of the paused queues, ALL_PAUSED among them when everything is paused."""
    try:
        names = [*spool.files.names(spool.layout.paused)]
    except FileNotFoundError:
        return frozenset()
    return frozenset(name for name in names if name == ALL_PAUSED or is_id(name))


def since(spool: SpoolContext) -> dict[str, float]:
    """Return since when each of them is paused, in seconds since 1970."""
    found = {name: spool.files.lstat(f"{spool.layout.paused}/{name}") for name in paused(spool)}
    return {name: status.st_mtime for name, status in found.items() if status is not None}


def is_paused(spool: SpoolContext, queue: str) -> str | None:
    """Return the pause that keeps the jobs of a queue from starting: its name or ALL_PAUSED; None when none does."""
    for name in (ALL_PAUSED, queue):
        if spool.files.lstat(f"{spool.layout.paused}/{name}") is not None:  # an error is not the absence of a pause
            return name
    return None


def pause(spool: SpoolContext, name: str) -> bool:
    """Pause a queue, or with ALL_PAUSED everything; False when it was paused already.

    Crash: paused or not.
    """
    path = f"{spool.layout.paused}/{name}"
    if spool.files.exists(path):
        return False
    try:
        fd = spool.files.open(path, APPEND)
    except FileNotFoundError:  # a home of an earlier version
        spool.layout.ensure()
        fd = spool.files.open(path, APPEND)
    try:
        if spool.is_durable:
            spool.files.sync(fd)
    finally:
        spool.files.close(fd)
    _sync(spool)
    return True


def resume(spool: SpoolContext, name: str) -> bool:
    """Let jobs start again; False when it was not paused. Crash: paused or not."""
    try:
        spool.files.unlink(f"{spool.layout.paused}/{name}")
    except FileNotFoundError:
        return False
    _sync(spool)
    return True


def _sync(spool: SpoolContext) -> None:
    if spool.is_durable:
        spool.files.sync_directory(spool.layout.paused)
