"""priority: work that nobody waits for takes what others leave of processor and disk."""

from __future__ import annotations

import os

NICE = 10


def lower() -> None:
    """Lower the priority of this process, for good; where the system refuses, it stays as it is."""
    import psutil

    try:
        os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
        if hasattr(psutil, "IOPRIO_CLASS_BE"):
            psutil.Process().ionice(psutil.IOPRIO_CLASS_BE, 7)
    except (OSError, psutil.Error):
        return
