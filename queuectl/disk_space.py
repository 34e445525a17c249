"""disk_space: whether the disk has the space that a job needs to start, and waiting until it has.

Guarantees: while the disk is full no job is claimed: its command would fail and use up its tries. Running jobs are settled
            all the same; for that the spool keeps its ballast.
"""

from __future__ import annotations

import math
import os

from queuectl.spool.context import LEAST_FREE_BYTES
from queuectl.units import spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.log import Log
    from queuectl.spool.spool import Spool

LOOK_AGAIN_S = 1.0
LEAST_FREE_INODES = 8
LOW_SHARE = 0.05  # of the disk: below this free share, health warns


def why_no_space(spool: Spool) -> str | None:
    """Return why no job can start; None if there is space."""
    home = spool.layout.home
    try:
        disk = os.statvfs(spool.layout.spool)
    except OSError as error:
        return f"the disk of {home} cannot be used: {error.strerror}"
    if disk.f_flag & os.ST_RDONLY:
        return f"the disk of {home} is read-only"
    files = disk.f_favail if disk.f_files else None  # some file systems do not count them
    full = is_full(disk.f_bavail * disk.f_frsize, files)
    return f"the disk of {home} is full: {full}" if full else None


def is_full(free_bytes: int, free_files: int | None) -> str:
    """Say what is missing for a job to start; empty if nothing is. `free_files` is None where files are not limited."""
    if free_bytes < LEAST_FREE_BYTES:
        return f"{spell_size(free_bytes)} left, {spell_size(LEAST_FREE_BYTES)} needed"
    return "it has no free inodes" if free_files is not None and free_files < LEAST_FREE_INODES else ""


def warning(spool: Spool) -> str | None:
    """Return what to say to those who enqueue a job while none can start; None if there is space."""
    why = why_no_space(spool)
    return f"{why}: no job starts until there is space" if why else None


class DiskSpace:
    """Whether the supervisor may start jobs.

    Attributes:
        shortage: why no job can start; None while there is space.
        next_step: the monotonic time at which `step` has something to do.
    """

    def __init__(self, spool: Spool, log: Log) -> None:
        self._spool = spool
        self._log = log
        self.shortage: str | None = None
        self.next_step = math.inf

    def wait(self, why: str) -> None:
        """Record that a worker found no space."""
        if self.shortage is None:
            self._log.error(f"{why}: no job starts until there is space action=full")
        self.shortage = why
        self.next_step = self._spool.clock.monotonic() + LOOK_AGAIN_S

    def step(self, now: float) -> None:
        """Check again if it is time; `now` is monotonic."""
        if now < self.next_step:
            return
        full = why_no_space(self._spool)
        if full is not None:
            self.wait(full)
            return
        self.shortage, self.next_step = None, math.inf
        self._spool.keep_ballast()
        self._log.info("the disk has space again action=room")
