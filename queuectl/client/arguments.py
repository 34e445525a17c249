"""arguments: durations, points in time, jobs and paths as Python callers give them; one rule for every parameter.

A duration is a number of seconds, a timedelta, or text as on the command line ("10m"). An instant is a datetime (without
a zone: local time), a timedelta (from now, or ago), text as on the command line, or seconds since 1970.

Guarantees: pure. A number that could only be a delay is not taken for an instant in the year 1970.
Fails with: ValueError, whose text completes the sentence "it must be ..."; UsageError where a job or path is expected.
"""

from __future__ import annotations

import os

from queuectl.clock import END_S, FIRST_S
from queuectl.errors import UsageError
from queuectl.job.job import Job as StoredJob
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    from queuectl.client.job_view import Job

    JobOrId: TypeAlias = "str | Job"

DURATION = 'a number of seconds, a timedelta, or text as "10m"'
LEAST_EPOCH_S = 1e9  # a smaller number is meant as a delay: it would be before 2002


def seconds(value: object) -> float:
    """Return the seconds of a duration; a number may be negative or infinite.

    Raises:
        ValueError.
    """
    from datetime import timedelta

    if isinstance(value, str):
        from queuectl.times import read_duration

        return read_duration(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and str(value) != "nan":
        return value
    raise ValueError(DURATION)


def instant(value: object, now: float, *, past: bool = False) -> float:
    """Return an instant in seconds since 1970.

    Args:
        past: durations lie before now (`since="2h"`) instead of after it (`at="2h"`).

    Raises:
        ValueError.
    """
    from datetime import datetime, timedelta

    if isinstance(value, str):
        from queuectl.times import read_instant

        return read_instant(value, now, past=past)
    where, what = ("ago", "a time: ") if past else ("from now", "")
    expected = f"{what}a datetime, a timedelta {where}, text as on the command line, or seconds since 1970"
    try:
        if isinstance(value, datetime):
            found = value.timestamp()  # one without a zone is local time
        elif isinstance(value, timedelta):
            found = now + (-1 if past else 1) * value.total_seconds()
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found = float(value)
            if found < 0:
                raise ValueError(expected)
            if 0 < found < LEAST_EPOCH_S:
                raise ValueError(f'{expected} ({quote(value)} seconds {where}: "{value}s")')
        else:
            raise ValueError(expected)
    except OverflowError:
        raise ValueError(expected) from None
    if not FIRST_S <= found < END_S:
        raise ValueError(expected)
    return found


def is_series(value: object) -> bool:
    """Return whether a value is several others: a list, a tuple, a set, a generator ..."""
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes, bytearray, dict))


def id_of(job: object) -> str:
    """Return the id of a job that is given by its id or as a Job.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(job, str):
        return job
    if isinstance(job, StoredJob):
        return job.id
    hint = 'of a row of list: row["id"]; of an event: event.id'
    hint = "enqueue_many returns an error for each job that it refuses" if isinstance(job, Exception) else hint
    raise UsageError(f"a job is given by its id or as a Job, not {quote(job)}", hint)


def ids_of(jobs: JobOrId | Iterable[JobOrId]) -> list[str]:
    """Return the ids of one job or several, each once; of a mapping its keys.

    Raises:
        UsageError: one is neither an id nor a Job.
    """
    given: Any = jobs
    return [*dict.fromkeys(map(id_of, given if isinstance(given, dict) or is_series(given) else (given,)))]


def path_of(home: object) -> str:
    """Return the path of a home; a `~` that no shell has replaced means what it means to one.

    Raises:
        UsageError: it cannot be a path.
    """
    if not isinstance(home, (str, bytes, os.PathLike)) or "\0" in os.fsdecode(home):
        raise UsageError(f"the home of a queue must be a path, not {quote(home)}")
    return os.path.expanduser(os.fsdecode(home))
