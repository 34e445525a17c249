"""outputs: finds the largest output files on a full disk and the command that removes them.

Guarantees: reads names and sizes only; a search is bounded where it delays something else. Every place that reports a full
            disk gives the hint of `how_to_free`.
"""

from __future__ import annotations

import stat
from heapq import nlargest
from itertools import islice
from typing import NamedTuple

from queuectl.job.history import PROCESSING
from queuectl.spool.layout import run_of
from queuectl.units import spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.spool.context import SpoolContext

SHOWN = 3
LEAST_BYTES = 100 << 20  # or 1 % of the disk
SEARCHED_FILES = 10_000  # some 50 ms


class Output(NamedTuple):
    """What one attempt of a job wrote."""

    disk_bytes: int
    job_id: str
    path: str


def largest(spool: SpoolContext, total_bytes: int, most_files: int | None = None) -> list[Output]:
    """Return the largest outputs, largest first; leaves out those that are small for a disk of this size.

    Args:
        most_files: where output/ holds more files than this, nothing is returned.
    """
    least = min(LEAST_BYTES, total_bytes // 100)
    try:
        names = spool.files.names(spool.layout.output)
        if most_files is not None:
            some = [*islice(names, most_files + 1)]
            names = iter(some if len(some) <= most_files else ())
        return nlargest(SHOWN, (found for found in _outputs(spool, names) if found.disk_bytes >= least))
    except OSError:
        return []


def _outputs(spool: SpoolContext, names: Iterator[str]) -> Iterator[Output]:
    for name in names:
        run = run_of(name)
        path = f"{spool.layout.output}/{name}"
        status = spool.files.lstat(path) if run is not None else None
        if run is not None and status is not None and stat.S_ISREG(status.st_mode):
            yield Output(status.st_blocks * 512, run[0], path)


def how_to_free(spool: SpoolContext, total_bytes: int, most_files: int | None = None) -> tuple[str, str]:
    """Return what takes the most space on a full disk, "" where no output is large, and how to free some.

    Args:
        most_files: as `largest`.
    """
    found = largest(spool, total_bytes, most_files)
    if found:
        return words(found), removal(spool, found)
    return "", "queuectl purge removes jobs that have ended; to free other space: du -xah / | sort -rh | head"


def words(found: list[Output]) -> str:
    """Return "the largest outputs: job 01JD, 3.1 GB (/home/.../01JD.1.log)"."""
    each = ", ".join(f"job {one.job_id}, {spell_size(one.disk_bytes)} ({one.path})" for one in found)
    return f"the largest output{'s' if len(found) > 1 else ''}: {each}"


def removal(spool: SpoolContext, found: list[Output]) -> str:
    """Return the command that removes these outputs and keeps the jobs; it works on a full disk."""
    ids = [*dict.fromkeys(one.job_id for one in found)]
    places = {job_id: spool.find(job_id) for job_id in ids}
    running = [job_id for job_id in ids if places[job_id] == PROCESSING]
    known = [job_id for job_id in ids if places[job_id] is not None]
    steps = [f"queuectl cancel {' '.join(running)}"] if running else []
    steps += [f"queuectl purge --output-only {' '.join(known)}"] if known else []
    if len(known) < len(ids):
        from shlex import join

        steps.append(join(["rm", *(one.path for one in found if places[one.job_id] is None)]))
    return " && ".join(steps)
