"""child: what a forked process does before anything else."""

from __future__ import annotations

import os


def close_all_but(*kept: int) -> None:
    """Close what was inherited, locks among it, without unlocking anything; stdin, stdout and stderr stay."""
    highest = max(int(name) for name in os.listdir("/dev/fd"))
    lowest = 3
    for fd in (*sorted(kept), highest + 1):
        os.closerange(lowest, fd)
        lowest = fd + 1
