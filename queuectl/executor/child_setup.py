"""child_setup: what a new process does first: closes what it inherited, or lowers its priority."""

from __future__ import annotations

import os

NICE = 10


def close_all_but(*kept: int) -> None:
    """Close all inherited descriptors except stdin, stdout, stderr and `kept`. Closing a copy of a lock does not unlock it."""
    highest = max(int(name) for name in os.listdir("/dev/fd"))
    lowest = 3
    for fd in (*sorted(kept), highest + 1):
        os.closerange(lowest, fd)
        lowest = fd + 1


def lower_priority() -> None:
    """Lower the priority of this process for processor and disk, permanently. Where the system refuses, nothing changes."""
    import psutil

    try:
        os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
        if hasattr(psutil, "IOPRIO_CLASS_BE"):
            psutil.Process().ionice(psutil.IOPRIO_CLASS_BE, 7)
    except (OSError, psutil.Error):
        return
