"""start_order: which job starts next: order, limits, pauses.

Owns:       the windows of due jobs and of jobs that wait for their time; what the assigned jobs take.
Guarantees: an assigned job is not returned again. No limit is exceeded by what this supervisor assigns. Memory is bounded.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.index.database import IndexUnavailable
from queuectl.job.job import PENDING, Job
from queuectl.scheduling.dependencies import Verdict
from queuectl.scheduling.lanes import Lanes
from queuectl.scheduling.limits import (
    ALL_PAUSED,
    PAUSE,
    QUEUE,
    RATE,
    RUNNING,
    Usage,
    blocking,
    capacities_of,
    demands_of,
    lane_of,
    queue_of,
)
from queuectl.scheduling.order import WINDOW, Window, is_due, order
from queuectl.spool import dependents, parents, pauses
from queuectl.supervisor.machine import LOOK_AGAIN_S, Machine
from queuectl.timers import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Set

    from queuectl.index.writer import Writer
    from queuectl.scheduling.order import Key
    from queuectl.spool.spool import Spool

WAITING = ("pending", "failed")
MOST_HOLDERS = 100
OF_A_QUEUE = (QUEUE, PAUSE, RATE)
SCAN_FILES = WINDOW
AGAIN_S, SOON_S = 1.0, 0.05


class StartOrder:
    """The waiting jobs, in the order in which they start.

    Args:
        postponed: the ids of jobs whose files are examined again later; they do not start.
        is_degraded: whether the index cannot be used, so that the spool is read instead.
        fail: called when it turns out that the index cannot be used.
        machine: what is read for `max_load` and `min_free_memory`.

    Attributes:
        stopping: the names of the pauses that stop what runs.
        shortage: the limit of the machine that keeps a job from starting, and why in words; None while none does.
    """

    def __init__(
        self,
        spool: Spool,
        writer: Writer,
        postponed: Callable[[], Set[str]],
        is_degraded: Callable[[], bool],
        fail: Callable[[IndexUnavailable], None],
        machine: Machine | None = None,
    ) -> None:
        self._spool = spool
        self._clock = spool.clock
        self._writer = writer
        self._postponed = postponed
        self._is_degraded = is_degraded
        self._fail = fail
        self._machine = machine or Machine()
        self.shortage: tuple[str, str] | None = None
        self._machine_at = NEVER  # when the machine is looked at again
        self._usage = Usage()
        self._counted_at: dict[str, float] = {}  # jobs of queues with a rate, until it is known that they have started
        self._keys: dict[str, Key] = {}  # of the assigned jobs that `next` returned
        self._lanes = Lanes(self._blocking, self._refill)
        self._later = Window()
        self._later.complete = False  # the index has the jobs that waited at the last stop
        self._closed: dict[str, tuple[float, str]] = {}  # lanes that a claim found blocked: until when, and the limit
        self._scan: Iterator[str] = iter(())  # of pending/, without an index
        self._scan_at = -NEVER  # read again, if nothing else may start
        self._pauses_at = NEVER
        self._has_parents = False
        self._began = (self._clock.now(), self._clock.monotonic())
        self.stopping: frozenset[str] = frozenset()
        self._paused = self._read_paused()
        self.read_limits()

    @property
    def assigned(self) -> Set[str]:
        """Ids of jobs that were given to a worker or adopted, and have not ended."""
        return self._usage.lanes.keys()

    @property
    def usage(self) -> Usage:
        """What the assigned jobs take."""
        return self._usage

    @property
    def paused(self) -> frozenset[str]:
        """The names of paused queues; ALL_PAUSED for all."""
        return self._capacities.paused

    @property
    def blocked(self) -> dict[str, list[str]]:
        """The limits that keep jobs from starting, each with the jobs that take its units, at most MOST_HOLDERS."""
        limits = [limit for limit in self._lanes.blocked_by if not limit.startswith(PAUSE)]
        if self._is_full:
            limits.append(RUNNING)
        if self.shortage is not None:
            limits.append(self.shortage[0])
        return {limit: self._usage.holders(limit)[:MOST_HOLDERS] for limit in limits}

    # --- limits

    def read_limits(self) -> None:
        """Take the limits from the settings."""
        self._capacities = capacities_of(self._spool.settings, self._paused)
        self._has_machine_limits = bool(self._spool.settings.max_load or self._spool.settings.min_free_memory)
        self.shortage, self._machine_at = None, NEVER
        self._lanes.reset()
        try:
            self.read_starts()
        except IndexUnavailable as error:
            self._fail(error)

    def read_pauses(self) -> None:
        """Read the pauses again."""
        paused = self._read_paused()
        if paused != self._paused:
            self._paused = paused
            self.read_limits()

    def _read_paused(self) -> frozenset[str]:
        now = self._clock.monotonic()
        try:
            found = pauses.read(self._spool)
        except OSError:
            self._pauses_at = now + AGAIN_S
            return frozenset((ALL_PAUSED,))  # unreadable: nothing starts that may be paused
        ends = min((pause.until for pause in found.values() if pause.until is not None), default=None)
        self._pauses_at = NEVER if ends is None else now + max(0.0, ends - self._clock.now())
        self.stopping = pauses.stopping(found)
        return frozenset(found)

    def read_starts(self) -> None:
        """Count the starts of an earlier supervisor against the rates: the newest of each job, and what its history says.

        Raises:
            IndexUnavailable.
        """
        wall, monotonic = self._began
        for queue, rate in self._capacities.rates.items():
            since = self._clock.now() - rate.period_s
            found = self._writer.starts_since(queue, since, wall, rate.count)
            starts = [at for _, _, at in found]
            for job_id in (job_id for job_id, attempts, _ in found if attempts > 1):
                starts += (at for at in self._earlier_starts(job_id) if since <= at < wall)
            last = sorted(starts)[-rate.count :]
            self._usage.started_before(queue, [at - wall + monotonic for at in last], monotonic)

    def _earlier_starts(self, job_id: str) -> list[float]:
        """Return when the attempts of a job before its newest began."""
        try:
            job = self._spool.read(job_id)
        except (QueueError, OSError):  # removed meanwhile, or damaged
            return []
        return [at for _, at, *_ in job.earlier if at is not None]

    def close_lane(self, job_id: str, detail: str, for_s: float) -> None:
        """Start no job of a lane for a while: a claim found its limit taken by a job that was not assigned here.

        Args:
            job_id: an assigned job of that lane.
            detail: begins with the limit.
        """
        lane = self._usage.lanes.get(job_id)
        if lane is not None:
            self._closed[lane] = (self._clock.monotonic() + for_s, detail.partition(" ")[0])

    @property
    def _is_full(self) -> bool:
        """As much runs as `max_running` allows, so no lane need be looked at."""
        most = self._capacities.max_running
        return most is not None and self._usage.units(RUNNING) >= most

    def _is_short(self) -> bool:
        """The machine has too much to do, so no job may start; with nothing running one always may."""
        if not self._usage.lanes:
            self.shortage, self._machine_at = None, NEVER
            return False
        now = self._clock.monotonic()
        if self.shortage is None or now >= self._machine_at:
            self.shortage = self._machine.shortage(self._spool.settings)
            self._machine_at = NEVER if self.shortage is None else now + LOOK_AGAIN_S
        return self.shortage is not None

    def _blocking(self, lane: str) -> str | None:
        if lane in self._closed:
            return self._closed[lane][1]
        return blocking(lane, self._capacities, self._usage, self._clock.monotonic())

    def _is_limited(self, lane: str) -> bool:
        """Tell whether a job of this lane must not be assigned before it can start."""
        if queue_of(lane) in self._capacities.rates:
            return True
        return any(self._capacities.of(demand) is not None for demand in demands_of(lane))

    # --- jobs

    def offer_job(self, job: Job) -> None:
        """Put a job in its place if it waits; one with parents is offered once they have ended."""
        if job.parents:
            if not self._has_parents:
                self._has_parents = True  # also where another program dropped the job
                with suppress(OSError):
                    dependents.note(self._spool)
        else:
            due_at = job.due_at(self._clock.now(), self._spool.settings.backoff_max)
            self.offer(job.id, job.state, job.priority, due_at, lane_of(job.fields))

    def offer(self, job_id: str, state: str, priority: int, run_at: float, lane: str) -> None:
        """Put a job in its place if it waits."""
        if state not in WAITING or job_id in self._usage.lanes:
            return
        if is_due(run_at, self._clock.now()):
            self._lanes.offer(order(priority, run_at, job_id, lane))
        else:
            self._later.offer((run_at, -priority, job_id, lane))

    def forget(self, job_id: str) -> None:
        """Remove a job that may have changed; what it is now is offered."""
        self._lanes.forget(job_id)
        self._later.forget(job_id)

    def assign(self, job_id: str) -> None:
        """Count a job as assigned that was not returned by `next`, by what its file says; the index may be older."""
        lane = None
        with suppress(QueueError, OSError):
            lane = lane_of(self._spool.read(job_id).fields)
        if lane is None:  # its file was removed or damaged while it runs
            with suppress(IndexUnavailable):
                row = self._writer.get(job_id)
                lane = None if row is None else row["lane"]
        self._usage.add(job_id, lane or "default")

    def began(self, job_id: str) -> None:
        """Count the start of an assigned job now, for its rate: it was counted when the job was assigned, a little too early."""
        counted_at = self._counted_at.pop(job_id, None)
        if counted_at is not None:
            self._usage.confirm_start(queue_of(self._usage.lanes[job_id]), counted_at, self._clock.monotonic())

    def release(self, job_id: str, *, has_started: bool = True, offer_again: bool = False) -> bool:
        """Count a job as assigned no longer.

        Args:
            offer_again: it is as it was when `next` returned it, and is put back in its place.

        Returns:
            Whether it was put back.
        """
        lane = self._usage.lanes.get(job_id)
        key = self._keys.pop(job_id, None)
        if has_started:
            self.began(job_id)
        self._counted_at.pop(job_id, None)
        freed = [*self._usage.remove(job_id)]
        if lane is not None and not has_started:
            self._usage.not_started(queue_of(lane))
            freed.append(RATE + queue_of(lane))
        if has_started and self._closed:
            self._closed = {each: found for each, found in self._closed.items() if found[1] not in freed}
        self._lanes.freed(freed)
        if not offer_again or key is None:
            return False
        self._lanes.offer(key)
        return True

    # --- the next job

    def next(self, *, ahead: bool = False) -> str | None:
        """Return the job to start next and count it as assigned; None if there is none that may start.

        Args:
            ahead: it will not start at once, so one that a limit applies to is not wanted.
        """
        self.promote()
        if self._is_full or (ahead and self._has_machine_limits):
            return None
        while True:
            key = self._lanes.take(self._is_limited if ahead else None)
            if key is None:
                self.shortage, self._machine_at = None, NEVER  # no job waits for it
                return None
            job_id, lane = key[2], key[3]
            if job_id not in self._usage.lanes and job_id not in self._postponed():
                if self._has_machine_limits and self._is_short():
                    self._lanes.offer(key)
                    return None
                self._usage.add(job_id, lane)
                self._keys[job_id] = key
                rate = self._capacities.rates.get(queue_of(lane))
                if rate is not None:
                    self._counted_at[job_id] = now = self._clock.monotonic()
                    self._usage.started(queue_of(lane), now, rate)
                return job_id

    def has_many(self, count: int) -> bool:
        """Tell whether more than `count` jobs are due, without counting them."""
        return len(self._lanes) > count or self._lanes.may_have_more

    def promote(self) -> None:
        """Move what has become due from one window to the other."""
        now = self._clock.now()
        while True:
            if self._later.must_refill and not self._is_degraded():
                try:
                    found = self._writer.soon(WINDOW)
                except IndexUnavailable as error:
                    self._fail(error)
                    return
                keys = [(due.run_at, -due.priority, due.id, due.lane) for due in found]
                self._later.refill(keys, complete=len(found) < WINDOW)
            first = self._later.first
            if first is None or not is_due(first[0], now):
                return
            self._later.take()
            self._lanes.offer(order(-int(first[1]), first[0], first[2], first[3]))

    def next_step(self, now: float) -> float:
        """Return the monotonic time at which `step` has something to do; `now` is monotonic."""
        first = self._later.first
        wake = NEVER if first is None else now + max(0.0, first[0] - self._clock.now())
        wake = min(
            wake,
            self._scan_at if self._is_degraded() else NEVER,
            self._pauses_at,
            self._machine_at,
            *(until for until, _ in self._closed.values()),
        )
        for limit in self._lanes.blocked_by:
            if limit.startswith(RATE):
                wake = min(wake, self._opens_at(limit))
        return wake

    def step(self, now: float) -> None:
        """Let go on what waited for time alone; `now` is monotonic."""
        self.promote()
        if now >= self._machine_at:
            self._machine_at = NEVER  # `next`, which is called now, looks again
            self.shortage = None
        if now >= self._pauses_at:
            self.read_pauses()
        if self._is_degraded() and now >= self._scan_at:
            self._scan_at = now + AGAIN_S
            if not self._lanes:
                self._lanes.reset()
        if self._closed:
            over = {lane for lane, (until, _) in self._closed.items() if until <= now}
            limits = {self._closed.pop(lane)[1] for lane in over}
            self._lanes.freed(limits)
        rates = [limit for limit in self._lanes.blocked_by if limit.startswith(RATE)]
        self._lanes.freed(limit for limit in rates if self._opens_at(limit) <= now)

    def _opens_at(self, limit: str) -> float:
        queue = limit[len(RATE) :]
        return self._usage.rate_opens_at(queue, self._capacities.rates[queue])

    def _refill(self, lane: str | None, closed: Collection[str], limit: int) -> list[Key]:
        """Return the first due jobs of a lane, or with None of all lanes that are not `closed`."""
        now = self._clock.now()
        if self._is_degraded():
            return self._read_due(now, lane, closed, limit)
        skip = self._usage.lanes.keys() | self._postponed()
        try:
            if lane is not None:
                found = self._writer.due_in(lane, now, limit, skip)
            else:
                found = self._writer.due(now, limit, skip, self._closed_queues(), closed)
        except IndexUnavailable as error:
            self._fail(error)
            return self._read_due(now, lane, closed, limit)
        return [due.key for due in found]

    def _closed_queues(self) -> set[str]:
        """Return the queues of which every lane is blocked."""
        blocked = self._lanes.blocked_by
        return {limit.partition("/")[2] for limit in blocked if limit.startswith(OF_A_QUEUE)} - {ALL_PAUSED}

    def _read_due(self, now: float, lane: str | None, closed: Collection[str], limit: int) -> list[Key]:
        """Without an index, order the first jobs that are found.

        Each call looks at some files, and the next one continues. Jobs that were left out, because a limit or a parent
        keeps them from starting, are found again when pending/ is read from its beginning.
        """
        found: list[Key] = []
        if lane is not None:
            return found  # its jobs are found with all others
        names, started = list[str](), self._clock.monotonic()
        try:
            names += islice(self._scan, SCAN_FILES)
            if len(names) < SCAN_FILES:
                self._scan = self._spool.ids(PENDING)
                names += islice(self._scan, SCAN_FILES - len(names))
        except OSError:  # the home may have been removed, which is noticed elsewhere
            self._scan = iter(())
        for job_id in names:
            if job_id in self._usage.lanes or job_id in self._postponed():
                continue
            job = self._spool.examine(f"{job_id}.json")
            if not isinstance(job, Job) or job.is_held:
                continue
            its = lane_of(job.fields)
            if its in closed or (job.parents and parents.decide_by_files(self._spool, job).verdict is Verdict.WAIT):
                continue
            due_at = job.due_at(now, self._spool.settings.backoff_max)
            if not is_due(due_at, now):
                self._later.offer((due_at, -job.priority, job.id, its))
                continue
            found.append(order(job.priority, due_at, job.id, its))
        took_s = self._clock.monotonic() - started
        self._scan_at = started + took_s + max(took_s * 2, AGAIN_S if len(names) < SCAN_FILES else SOON_S)
        return found[:limit]
