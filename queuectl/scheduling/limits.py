"""limits: whether what a job takes is free: workers, places in its queue, locks, resources, starts in a period.

Terms:      a **limit** has a name, such as "queue/encode" or "lock/db", and a capacity. A **demand** is how many units of
            a limit one job takes while it runs. A **lane** is the set of waiting jobs that have the same demands; it is
            written as text: "encode weight=2 lock=db:1 gpu:1".
Guarantees: pure; usage is the sum over the jobs that were added, so it cannot drift from them.
Source:     spool/FORMAT.md § Limits, § Pauses.
"""

from __future__ import annotations

from collections import deque

from queuectl.config.capacities import rate_of
from queuectl.job.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.config.settings import Settings

RUNNING, QUEUE, LOCK, RESOURCE, RATE, PAUSE = "running", "queue/", "lock/", "resource/", "rate/", "pause/"
LOAD, MEMORY = "load", "memory"
ALL_PAUSED = "_all"  # not an id, so no queue has this name
LANES_KEPT = 4096

_demands: dict[str, tuple[Demand, ...]] = {}  # of lanes that were asked for


class Demand(Value):
    """What one job takes of one limit.

    Attributes:
        capacity: of a lock, which the job itself names; None where the configuration has it.
    """

    __slots__ = ("capacity", "limit", "units")

    def __init__(self, limit: str, units: int, capacity: int | None = None) -> None:
        self.limit = limit
        self.units = units
        self.capacity = capacity


def lock_of(text: str) -> tuple[str, int]:
    """Return the name and the capacity of a lock as a job names it: "db" or "db:3"."""
    name, _, capacity = text.partition(":")
    return name, int(capacity or 1)


def lane_of(fields: Mapping[str, Any]) -> str:
    """Return the lane of a valid job; equal for jobs that may start under the same conditions."""
    queue = str(fields.get("queue", "default"))
    if "weight" not in fields and "lock" not in fields and "needs" not in fields:
        return queue
    parts = [queue]
    if fields.get("weight", 1) != 1:
        parts.append(f"weight={fields['weight']}")
    if "lock" in fields:
        parts.append("lock={}:{}".format(*lock_of(fields["lock"])))
    parts += (f"{name}:{units}" for name, units in sorted(fields.get("needs", {}).items()))
    return " ".join(parts)


def demands_of(lane: str) -> tuple[Demand, ...]:
    """Return what a job of this lane takes."""
    found = _demands.get(lane)
    if found is None:
        if len(_demands) >= LANES_KEPT:
            _demands.clear()
        found = _demands[lane] = _parse(lane)
    return found


def _parse(lane: str) -> tuple[Demand, ...]:
    queue, *rest = lane.split(" ")
    weight, demands = 1, []
    for part in rest:
        if part.startswith("weight="):
            weight = int(part[7:])
        elif part.startswith("lock="):
            name, capacity = lock_of(part[5:])
            demands.append(Demand(LOCK + name, 1, capacity))
        else:
            name, _, units = part.rpartition(":")
            demands.append(Demand(RESOURCE + name, int(units)))
    return (Demand(RUNNING, weight), Demand(QUEUE + queue, weight), *demands)


def queue_of(lane: str) -> str:
    """Return the queue of a lane."""
    return lane.partition(" ")[0]


class Rate(Value):
    """At most `count` starts in any `period_s` seconds."""

    __slots__ = ("count", "period_s")

    def __init__(self, count: int, period_s: float) -> None:
        self.count = count
        self.period_s = period_s


class Capacities:
    """What the configuration allows, and what is paused.

    Args:
        max_running: units of all running jobs together; None: no limit but that of the workers.
        concurrency: of each queue that has one.
        rates: of each queue that has one.
        resources: how many units there are of each.
        paused: names of paused queues; ALL_PAUSED for all.
    """

    __slots__ = ("_capacity", "max_running", "paused", "rates", "resources")

    def __init__(
        self,
        *,
        max_running: int | None = None,
        concurrency: Mapping[str, int] | None = None,
        rates: Mapping[str, Rate] | None = None,
        resources: Mapping[str, int] | None = None,
        paused: frozenset[str] = frozenset(),
    ) -> None:
        self.max_running = max_running
        self.resources = dict(resources or {})
        self.rates = dict(rates or {})
        self.paused = paused
        self._capacity: dict[str, int | None] = {QUEUE + name: units for name, units in (concurrency or {}).items()}
        self._capacity[RUNNING] = max_running

    def of(self, demand: Demand) -> int | None:
        """Return how many units of a limit there are; None: there is no limit."""
        if demand.capacity is not None:
            return demand.capacity
        if demand.limit.startswith(RESOURCE):
            return self.resources.get(demand.limit[len(RESOURCE) :], 0)
        return self._capacity.get(demand.limit)

    def never_enough(self, lane: str) -> Demand | None:
        """Return the first demand that can never be met; None when all can."""
        for demand in demands_of(lane):
            capacity = self.of(demand)
            if capacity is not None and demand.units > capacity:
                return demand
        return None


def capacities_of(settings: Settings, paused: frozenset[str] = frozenset()) -> Capacities:
    """Return the capacities that a configuration sets."""
    queues = settings.queues
    return Capacities(
        max_running=settings.max_running,
        concurrency={name: each["concurrency"] for name, each in queues.items() if "concurrency" in each},
        rates={name: Rate(*rate_of(each["rate"])) for name, each in queues.items() if "rate" in each},
        resources=settings.resources,
        paused=paused,
    )


class Usage:
    """What the running jobs take.

    Attributes:
        lanes: for each job that was added its lane.
    """

    __slots__ = ("_starts", "_units", "lanes")

    def __init__(self) -> None:
        self.lanes: dict[str, str] = {}
        self._units: dict[str, int] = {}
        self._starts: dict[str, deque[float]] = {}

    def add(self, job_id: str, lane: str) -> None:
        """Count what a job takes; a job that was added already is counted once."""
        if job_id in self.lanes:
            return
        self.lanes[job_id] = lane
        for demand in demands_of(lane):
            self._units[demand.limit] = self._units.get(demand.limit, 0) + demand.units

    def remove(self, job_id: str) -> tuple[str, ...]:
        """Count a job no longer; return the limits that have more room now."""
        lane = self.lanes.pop(job_id, None)
        if lane is None:
            return ()
        freed = demands_of(lane)
        for demand in freed:
            left = self._units[demand.limit] - demand.units
            if left:
                self._units[demand.limit] = left
            else:
                del self._units[demand.limit]
        return tuple(demand.limit for demand in freed)

    def units(self, limit: str) -> int:
        """Return how many units of a limit are taken."""
        return self._units.get(limit, 0)

    def holders(self, limit: str) -> list[str]:
        """Return the jobs that take units of a limit."""
        return [job_id for job_id, lane in self.lanes.items() if any(d.limit == limit for d in demands_of(lane))]

    # --- rates

    def started(self, queue: str, at: float, rate: Rate | None) -> None:
        """Count a start against the rate of its queue; `at` never decreases."""
        if rate is not None:
            starts = self._starts.setdefault(queue, deque())
            starts.append(at)
            while len(starts) > rate.count * 2:  # some more, because a start may turn out not to be one
                starts.popleft()

    def confirm_start(self, queue: str, counted_at: float, at: float) -> None:
        """Count a start that was counted at one instant at a later one, by which it has happened."""
        starts = self._starts.get(queue)
        if starts is not None and counted_at in starts:
            starts.remove(counted_at)
            starts.append(at)

    def started_before(self, queue: str, starts: list[float], at: float) -> None:
        """Count the starts of a queue before `at` that another process made, in order; replaces what was known of them."""
        own = [each for each in self._starts.get(queue, ()) if each >= at]
        self._starts[queue] = deque([*starts, *own])

    def not_started(self, queue: str) -> None:
        """Take back the newest start of a queue: the job was assigned, and did not start."""
        if self._starts.get(queue):
            self._starts[queue].pop()

    def rate_opens_at(self, queue: str, rate: Rate) -> float:
        """Return the instant from which the rate of a queue allows a start; -inf when it always does."""
        starts = self._starts.get(queue, ())
        return starts[-rate.count] + rate.period_s if len(starts) >= rate.count else float("-inf")


def blocking(lane: str, capacities: Capacities, usage: Usage, now: float) -> str | None:
    """Return the first limit or pause that keeps the jobs of a lane from starting now; None when one may start.

    A job whose demand can never be met is not kept waiting: it may start, and its claim moves it to dead/.
    """
    queue = queue_of(lane)
    if capacities.paused and (ALL_PAUSED in capacities.paused or queue in capacities.paused):
        return PAUSE + (ALL_PAUSED if ALL_PAUSED in capacities.paused else queue)
    for demand in demands_of(lane):
        capacity = capacities.of(demand)
        if capacity is not None and usage.units(demand.limit) + demand.units > capacity:
            return None if capacities.never_enough(lane) else demand.limit
    rate = capacities.rates.get(queue)
    if rate is not None and usage.rate_opens_at(queue, rate) > now:
        return RATE + queue
    return None
