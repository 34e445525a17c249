"""room: whether the disk still takes what a job needs to start.

Guarantees: while it does not, nothing is claimed: a command would fail on the full disk and use up its tries. What runs
            already is settled all the same; for that the spool keeps its ballast.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuectl.spool.spool import BALLAST_BYTES

if TYPE_CHECKING:
    from queuectl.spool.spool import Spool

ROOM_BYTES = 2 * BALLAST_BYTES  # the ballast, once given up, is no room
ROOM_INODES = 8


def why_no_room(spool: Spool) -> str | None:
    """Return why nothing can be started; None when there is room."""
    home = spool.layout.home
    try:
        disk = os.statvfs(spool.layout.spool)
    except OSError as error:
        return f"the disk of {home} cannot be used: {error.strerror}"
    if disk.f_flag & os.ST_RDONLY:
        return f"the disk of {home} is read-only"
    if disk.f_bavail * disk.f_frsize < ROOM_BYTES:
        return f"the disk of {home} is full"
    if disk.f_files and disk.f_favail < ROOM_INODES:  # some file systems do not count them
        return f"the disk of {home} is full: it takes no more files"
    return None
