"""beside: what lies beside a job in output/: what it wrote."""

from __future__ import annotations

import os

from queuectl.units import plural, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.client import Queue
    from queuectl.job import Job

LARGEST_COUNTED = 16 << 20  # bytes of output whose lines are counted


def lines_of(queue: Queue, job: Job, attempt: int) -> str:
    """Say how much an attempt wrote: "18 lines", or its size when counting would take long."""
    path = queue.layout.output_of(job.id, attempt)
    try:
        size = os.stat(path).st_size
        if size > LARGEST_COUNTED:
            return spell_size(size)
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return "removed"
    count = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    return plural(count, "line") if count else "none"
