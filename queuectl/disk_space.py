"""room: whether the disk still takes what a job needs to start, and waiting until it does.

Guarantees: while it does not, nothing is claimed: a command would fail on the full disk and use up its tries. What runs
            already is settled all the same; for that the spool keeps its ballast.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from queuectl.spool.context import BALLAST_BYTES

if TYPE_CHECKING:
    from queuectl.log import Log
    from queuectl.spool.spool import Spool

LOOK_AGAIN_S = 1.0
LEAST_FREE_BYTES = 2 * BALLAST_BYTES  # the ballast, once given up, is no room
LEAST_FREE_INODES = 8


def why_no_space(spool: Spool) -> str | None:
    """Return why nothing can be started; None when there is room."""
    home = spool.layout.home
    try:
        disk = os.statvfs(spool.layout.spool)
    except OSError as error:
        return f"the disk of {home} cannot be used: {error.strerror}"
    if disk.f_flag & os.ST_RDONLY:
        return f"the disk of {home} is read-only"
    if disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES:
        return f"the disk of {home} is full"
    if disk.f_files and disk.f_favail < LEAST_FREE_INODES:  # some file systems do not count them
        return f"the disk of {home} is full: it takes no more files"
    return None


class DiskSpace:
    """The supervisor's knowledge of it.

    Attributes:
        shortage: why there is none; None while there is.
        next_step: the monotonic time at which `step` has something to do.
    """

    def __init__(self, spool: Spool, log: Log) -> None:
        self._spool = spool
        self._log = log
        self.shortage: str | None = None
        self.next_step = math.inf

    def wait(self, why: str) -> None:
        """There is none, as somebody has found out who needed it."""
        if self.shortage is None:
            self._log.error(f"{why}: nothing is started until there is room action=full")
        self.shortage = why
        self.next_step = self._spool.clock.monotonic() + LOOK_AGAIN_S

    def step(self, now: float) -> None:
        """Look again; `now` is monotonic."""
        if now < self.next_step:
            return
        full = why_no_space(self._spool)
        if full is not None:
            self.wait(full)
            return
        self.shortage, self.next_step = None, math.inf
        self._spool.keep_ballast()
        self._log.info("the disk has room again action=room")
