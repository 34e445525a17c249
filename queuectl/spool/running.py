"""running: what the running jobs take, counted from processing/; which units a job that starts gets.

Owns:       run/limits.lock, under which a job with a `lock` or `needs` is claimed, so that no two claims see the same room.
Guarantees: a job with a lock or a resource starts only while there is room, whatever process claims it.
Fails with: OSError.
Source:     spool/FORMAT.md § Limits.
"""

from __future__ import annotations

from contextlib import contextmanager

from queuectl.errors import InvalidData
from queuectl.job.fields import InvalidField
from queuectl.job.history import PROCESSING
from queuectl.scheduling.limits import LOCK, QUEUE, RESOURCE, Usage, capacities_of, demands_of, lane_of
from queuectl.spool.fs import APPEND
from queuectl.spool.reading import read_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from queuectl.config.settings import Settings
    from queuectl.job.job import Job
    from queuectl.spool.context import SpoolContext

Units = dict[str, list[int]]


def needs_reservation(job: Job) -> bool:
    """Tell whether a job may be claimed only under run/limits.lock."""
    return "lock" in job.fields or "needs" in job.fields


def never_enough(settings: Settings, fields: Mapping[str, Any]) -> str | None:
    """Say which demand of a job the configuration can never meet; None when it can meet all."""
    if "weight" not in fields and "needs" not in fields:
        return None
    capacities = capacities_of(settings)
    demand = capacities.never_enough(lane_of(fields))
    if demand is None:
        return None
    capacity = capacities.of(demand) or 0
    if demand.limit.startswith(RESOURCE):
        name = demand.limit[len(RESOURCE) :]
        return f"it needs {demand.units:,} of {name}, and the setting resources.{name} is {capacity:,}"
    setting = f"queues.{demand.limit[len(QUEUE) :]}.concurrency" if demand.limit.startswith(QUEUE) else "max_running"
    return f"its weight is {demand.units:,}, and the setting {setting} is {capacity:,}"


def refuse_never_enough(settings: Settings, fields: Mapping[str, Any]) -> None:
    """Refuse a job that takes more than the configuration ever has.

    Raises:
        InvalidField.
    """
    reason = never_enough(settings, fields)
    if reason is not None:
        field = "needs" if "needs" in reason else "weight"
        setting = reason.partition(" setting ")[2].split()[0]
        raise InvalidField(field, f"the job can never start: {reason}", f"queuectl config set {setting} N")


@contextmanager
def reserved(spool: SpoolContext, job: Job) -> Iterator[Units | str]:
    """Hold run/limits.lock; give the units that the job gets, or the words that say why there is no room.

    Crash: the kernel releases the lock. The job is in pending/ or in processing/, and is counted from there.
    """
    fd = spool.files.open(spool.layout.limits_lock, APPEND)
    try:
        spool.files.lock(fd)
        yield _room_for(spool, job)
    finally:
        spool.files.close(fd)


def _room_for(spool: SpoolContext, job: Job) -> Units | str:
    usage, taken = Usage(), dict[str, set[int]]()
    for job_id in spool.ids(PROCESSING):
        try:
            running = read_in(spool, PROCESSING, job_id)
        except InvalidData:
            continue
        if running is None or job_id == job.id:
            continue
        usage.add(job_id, lane_of(running.fields))
        for name, units in running.units.items():
            taken.setdefault(name, set()).update(units)
    capacities = capacities_of(spool.settings)
    for demand in demands_of(lane_of(job.fields)):
        if demand.limit.startswith((LOCK, RESOURCE)):
            capacity = capacities.of(demand)
            if capacity is not None and usage.units(demand.limit) + demand.units > capacity:
                return f"{demand.limit} is held by {', '.join(sorted(usage.holders(demand.limit)))}"
    given: Units = {}
    for name, count in job.fields.get("needs", {}).items():
        free = (unit for unit in range(spool.settings.resources[name]) if unit not in taken.get(name, ()))
        given[name] = [unit for unit, _ in zip(free, range(count), strict=False)]
    return given
