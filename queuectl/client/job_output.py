"""job_output: the files that a job writes to output/: its output, its result and its progress."""

from __future__ import annotations

import errno
import os
import stat

from queuectl.errors import InvalidData
from queuectl.job.strict_json import read_value
from queuectl.units import plural, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.job.job import Job
    from queuectl.spool.layout import Layout

LARGEST_RESULT = 64 << 10
PROGRESS_BYTES = 4096  # its last line is shown
LARGEST_COUNTED = 16 << 20  # bytes of output whose lines are counted


def lines_of(layout: Layout, job: Job, attempt: int) -> str:
    """Say how much an attempt wrote: "18 lines", or its size when counting would take long."""
    path = layout.output_of(job.id, attempt)
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


class Result:
    """What an attempt left as its result: a JSON value, or what is wrong with it."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, *, error: str | None = None) -> None:
        self.value = value
        self.error = error


def result_of(layout: Layout, job: Job) -> Result:
    """Return what the newest attempt wrote to $QUEUECTL_RESULT, read as strictly as a job; nothing when it is empty."""
    if not job.attempts:
        return Result()
    try:
        data = _read(layout.output_of(job.id, job.attempts, "result"), LARGEST_RESULT + 1)
        if len(data) > LARGEST_RESULT:
            return Result(error=f"it is larger than {LARGEST_RESULT >> 10} KiB")
        return Result(read_value(data) if data.strip() else None)
    except FileNotFoundError:
        return Result()
    except OSError as error:
        return Result(error=f"it cannot be read: {error.strerror}")
    except InvalidData as error:
        return Result(error=str(error).removeprefix("not a valid job: "))


def progress_of(layout: Layout, job: Job) -> str:
    """Return what a running job last wrote to $QUEUECTL_PROGRESS: "40% converting"; why it cannot be read; or nothing."""
    if job.state != "processing" or not job.attempts:
        return ""
    try:
        data = _read(layout.output_of(job.id, job.attempts, "progress"), -PROGRESS_BYTES)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"(the progress cannot be read: {error.strerror})"
    lines = data.decode("utf-8", "replace").strip().splitlines()
    share, _, words = lines[-1].partition(" ") if lines else ("", "", "")
    try:
        return f"{min(1.0, max(0.0, float(share))):.0%} {words}".strip()
    except ValueError:
        return f"{share} {words}".strip()


def _read(path: str, count: int) -> bytes:
    """Return the first bytes of a file, or the last of them when `count` is negative; it may be anything that a job makes.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(
                errno.EINVAL, "it is a directory" if stat.S_ISDIR(status.st_mode) else "it is not a regular file"
            )
        return os.pread(fd, abs(count), max(0, status.st_size + count) if count < 0 else 0)
    finally:
        os.close(fd)
