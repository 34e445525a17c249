"""beside: what lies beside a job in output/: what it wrote, its result, its progress."""

from __future__ import annotations

import json
import os

from queuectl.units import plural, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.client import Queue
    from queuectl.job import Job

LARGEST_RESULT = 64 << 10
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


def result_of(queue: Queue, job: Job) -> Any:
    """Return what the newest attempt wrote to $QUEUECTL_RESULT; None when that is nothing or no JSON."""
    data = _beside(queue, job, "result")
    try:
        return json.loads(data) if data.strip() else None
    except (ValueError, RecursionError):
        return None


def progress_of(queue: Queue, job: Job) -> str:
    """Return what a running job last wrote to $QUEUECTL_PROGRESS: "40% converting"; else nothing."""
    if job.state != "processing":
        return ""
    lines = _beside(queue, job, "progress").decode("utf-8", "replace").strip().splitlines()
    share, _, words = lines[-1].partition(" ") if lines else ("", "", "")
    try:
        return f"{min(1.0, max(0.0, float(share))):.0%} {words}".strip()
    except ValueError:
        return f"{share} {words}".strip()


def _beside(queue: Queue, job: Job, kind: str) -> bytes:
    if not job.attempts:
        return b""
    try:
        with open(queue.layout.output_of(job.id, job.attempts, kind), "rb") as file:
            return file.read(LARGEST_RESULT + 1)[:LARGEST_RESULT]
    except OSError:
        return b""
