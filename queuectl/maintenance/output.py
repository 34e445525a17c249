"""output: keeps output/ below its limit, and removes output and input without a job.

Guarantees: above the limit, removes only output of completed and cancelled jobs, the oldest first, under the job's lock; the
            job stays. Once a day, removes files without a job that have not changed for a day and that no attempt
            has locked. Memory is bounded.
"""

from __future__ import annotations

import stat
from functools import partial
from math import inf
from typing import NamedTuple

from queuectl.errors import Busy, InvalidData
from queuectl.ids import is_id
from queuectl.index.database import Sorter
from queuectl.job.job import DONE
from queuectl.maintenance.context import Report
from queuectl.spool.enqueue import refuse_when_full
from queuectl.spool.fs import changed_at
from queuectl.spool.layout import run_of
from queuectl.units import plural, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.errors import QueueError
    from queuectl.maintenance.context import TaskContext

ORPHAN_S = 86400.0
GROUP = 100
LOOKED_FOR = "orphans-looked-for"  # when that was


class Written(NamedTuple):
    """One file in output/."""

    name: str
    job_id: str
    size: int
    mtime: float
    changed_at: float


def run_once(context: TaskContext) -> Report:
    """Read all names in output/ once, and again only above the limit."""
    is_day = context.is_due(LOOKED_FOR)
    total = orphans = freed = 0
    for number, each in enumerate(_written(context)):
        if is_day and _is_orphan(context, each) and _remove_under_lock(context, each):
            orphans += 1
            freed += each.size
        else:
            total += each.size
        if number % 1000 == 999:
            context.rest()
    if is_day:
        orphans += _inputs(context)
        context.note(LOOKED_FOR)
    bound = context.settings.retention_output or inf
    jobs, made_room = _make_room(context, total - bound) if total > bound else (0, 0)
    parts = []
    if orphans:
        parts.append(f"{plural(orphans, 'file')} without a job")
    if jobs:
        parts.append(f"the output of {plural(jobs, 'job')}")
    words = f"{context.removed} {' and '.join(parts)}, {spell_size(freed + made_room)}" if parts else ""
    return Report(
        words,
        failed=_still_full(context),
        jobs=jobs,
        orphans=orphans,
        output_bytes=freed + made_room,
        left_bytes=total - made_room,
    )


def _still_full(context: TaskContext) -> list[QueueError]:
    """Return the error of a disk too full for new jobs, with the outputs that only a person may remove."""
    try:
        refuse_when_full(context.spool)
    except Busy as error:
        return [error]
    return []


def _written(context: TaskContext) -> Iterator[Written]:
    files = context.spool.files
    for name in files.names(context.layout.output):
        run = run_of(name)
        status = files.lstat(f"{context.layout.output}/{name}") if run is not None else None
        if run is not None and status is not None and stat.S_ISREG(status.st_mode):
            yield Written(name, run[0], status.st_size, status.st_mtime, changed_at(status))


# --- files without a job


def _is_orphan(context: TaskContext, each: Written) -> bool:
    return context.now - each.changed_at > ORPHAN_S and context.spool.find(each.job_id) is None


def _remove_under_lock(context: TaskContext, each: Written) -> bool:
    """Remove it unless an attempt has it locked; an attempt of a new job with that id finds the file locked."""
    return context.remove_under_lock(
        f"{context.layout.output}/{each.name}", lambda: context.spool.find(each.job_id) is None
    )


def _has_no_job(context: TaskContext, job_id: str) -> bool:
    return context.spool.find(job_id) is None


def _inputs(context: TaskContext) -> int:
    """Remove the input of jobs that no longer exist."""
    removed = 0
    folder = context.layout.input
    for name in [*context.spool.files.names(folder)]:
        age = context.age(f"{folder}/{name}")
        if age is not None and age > ORPHAN_S and is_id(name) and context.spool.find(name) is None:
            is_free = partial(_has_no_job, context, name)
            removed += context.remove_under_lock(f"{folder}/{name}", is_free)
    return removed


# --- above the limit


def _make_room(context: TaskContext, surplus: float) -> tuple[int, int]:
    """Remove the oldest output of jobs in done/ until `surplus` bytes are free; returns how many jobs and bytes."""
    would: dict[str, int] = {}
    jobs = freed = 0
    sorter = Sorter()
    try:
        for each in _written(context):
            sorter.add(f"{max(0, int(each.mtime)):012} {each.size} {each.job_id} {each.name}")
        for number, line in enumerate(sorter, 1):
            if freed >= surplus:
                break
            _, size, job_id, name = line.split(" ")
            if context.dry_run:
                freed += _note_output(context, job_id, int(size), would)
                continue
            gone = _remove_output(context, job_id, name)
            jobs += gone is not None
            freed += gone or 0
            if number % GROUP == 0:
                context.rest()
    finally:
        sorter.close()
    return jobs or len(would), freed


def _note_output(context: TaskContext, job_id: str, size: int, would: dict[str, int]) -> int:
    if context.spool.find(job_id) != DONE:
        return 0
    would[job_id] = would.get(job_id, 0) + size
    return size


def _remove_output(context: TaskContext, job_id: str, name: str) -> int | None:
    """Remove what the job of an output file wrote; None when it is not in done/, or was dealt with before."""
    if not context.spool.files.exists(f"{context.layout.output}/{name}"):
        return None
    try:
        claim = context.spool.take_in(DONE, job_id)
    except InvalidData:
        return None
    if claim is None:
        return None
    with claim:
        return claim.remove_output()
