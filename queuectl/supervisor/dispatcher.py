"""dispatcher: decides which job is assigned next, and writes the index, with bounded memory.

Owns:       the index writer, the two windows (due jobs, jobs that wait for their time) and the jobs to examine later.
Guarantees: an assigned job is not assigned again. The index follows within COMMIT_S. If the index fails, jobs start in the
            order in which they are found, and the index is rebuilt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.disk_space import DiskSpace
from queuectl.errors import QueueError
from queuectl.ids import is_id
from queuectl.index.change_log import ALL, Changes
from queuectl.index.database import IndexUnavailable, discard
from queuectl.index.query import Query
from queuectl.index.reader import Reader
from queuectl.index.rows import COLUMNS, row_of
from queuectl.index.sync import Progress, look, refresh, sync
from queuectl.index.writer import Writer
from queuectl.job.events import Event
from queuectl.job.job import PENDING, Job
from queuectl.spool.intake import ClaimRefused, RefusalReason
from queuectl.spool.layout import SUFFIX
from queuectl.supervisor.dependents import Dependents
from queuectl.supervisor.start_order import StartOrder
from queuectl.timers import NEVER, Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Set
    from typing import Any

    from queuectl.log import Log
    from queuectl.spool.spool import Spool
    from queuectl.supervisor.machine import Machine

COMMIT_S = 0.03  # the report before and the write after it take some 7 ms; readers are at most 50 ms behind
SYNC_STARTS_S = 1.0
CHANGES_BYTES = 16384  # of run/changes are read at once: some 500 jobs
INDEX_SOON_S, INDEX_RETRY_S = 0.3, 5.0
RETRIES_AT_ONCE = 100
ENDED = frozenset(("completed", "cancelled", "dead"))
RETURNED = "returned"  # the answer of a worker that has not started a job
ID, STATE, PRIORITY, RUN_AT, LANE = (COLUMNS.index(name) for name in ("id", "state", "priority", "run_at", "lane"))


class Dispatcher:
    """The waiting jobs, in order.

    Args:
        emit: called with every event.
        report_change: called with every job that another program may have changed.

    Attributes:
        assigned: the jobs that were given to a worker or adopted and are not settled, by id; each with its place in the order,
            None if `next` did not assign it.
        touched: those of them whose files another program changed.
        degraded: why the index cannot be written; None while it can.
        disk_space: no job is assigned while the disk is full.
        progress: how far a comparison of spool and index is; None for a routine one, or without one.
        compared: how many comparisons are complete.
        commits: how many times the index was written.
    """

    def __init__(
        self,
        spool: Spool,
        log: Log,
        emit: Callable[[Event], None],
        report_change: Callable[[Job], None],
        machine: Machine | None = None,
    ) -> None:
        self._spool = spool
        self._clock = spool.clock
        self._log = log
        self._emit, self._report_change = emit, report_change
        self._writer = self._open_index()
        self._timers = Timers()
        self._incomplete: set[str] = set()  # ids of incomplete files; each has a timer
        self.touched: set[str] = set()
        self._has_changes = False
        self._sync: Iterator[Progress] | None = None
        self._watched = False
        self._commit_at = NEVER
        self._repair_at = NEVER
        self._failed_at = -NEVER
        self.disk_space = DiskSpace(spool, log)
        self.degraded: str | None = None
        self.order = StartOrder(
            spool, self._writer, lambda: self._timers.ids, lambda: self.degraded is not None, self._fail, machine
        )
        self._dependents = Dependents(
            spool,
            self._writer,
            log,
            offer=self._offer_row,
            withdraw=self.order.forget,
            moved=self._report_moved,
        )
        self._has_undecided = False
        self._has_dependents = False
        self.commits = 0
        self.progress: str | None = None
        self.compared = 0
        self._is_routine = self._once_more = False

    def _open_index(self) -> Writer:
        """Open the index. One that another process keeps locked, or that cannot be written, is replaced."""
        path = self._spool.layout.index
        try:
            return Writer(path, self._clock)
        except IndexUnavailable as error:
            self._log.error(f"the index is rebuilt: {error} action=rebuild")
            discard(path)
            return Writer(path, self._clock)

    # --- changes of jobs

    def arrived(self, name: str) -> None:
        """A name appeared or changed in pending/."""
        job_id = name.removesuffix(SUFFIX)
        if job_id in self.assigned:
            self.touched.add(job_id)
            return
        self._noted(job_id, look(self._spool, self._writer, name))

    def left(self, name: str, *, had_ended: bool) -> None:
        """A name left pending/ (mostly claimed by a worker), or done/ or dead/, where `had_ended` is true."""
        job_id = name.removesuffix(SUFFIX)
        if is_id(job_id) and (had_ended or job_id not in self.assigned):
            self.refresh(job_id)

    def refresh(self, job_id: str) -> None:
        """Read a job again, in whichever directory it is; what changed is not known."""
        if job_id in self.assigned:
            self.touched.add(job_id)
        else:
            self.order.forget(job_id)
            self._noted(job_id, refresh(self._spool, self._writer, job_id))

    def _noted(self, job_id: str, found: Job | ClaimRefused | None) -> None:
        """Handle the result of reading a file whose row is in the index now."""
        if isinstance(found, ClaimRefused) and found.reason in (RefusalReason.INVALID, RefusalReason.MISNAMED):
            found = self._reject_or_rename(f"{job_id}{SUFFIX}")
        self._mark_dirty()
        was_incomplete = job_id in self._incomplete
        self._incomplete.discard(job_id)
        if isinstance(found, Job):
            if was_incomplete:  # it is complete now; other timers stay, because a claim raises this event as well
                self._timers.cancel(job_id)
            self.order.offer_job(found)
            self._report_change(found)
        elif found is None:
            self._emit(Event("removed", job_id))
        elif found.reason == RefusalReason.REJECTED:
            self._emit(Event("rejected", job_id, details={"detail": found.detail}))
        elif found.again_s is not None:
            if found.reason == RefusalReason.UNREADABLE:
                self._log.warning(f"{found.detail} action=unreadable")
            self._incomplete.add(job_id)
            self.examine_later(job_id, found.again_s)

    def _reject_or_rename(self, name: str) -> Job | ClaimRefused | None:
        """Have a file of pending/ that is no valid job rejected, or given its own id; the index follows."""
        answer = self._spool.examine(name)
        found = look(self._spool, self._writer, name)
        if not isinstance(answer, ClaimRefused) or answer.reason == RefusalReason.GONE:
            return found
        if answer.reason == RefusalReason.RENAMED:
            return look(self._spool, self._writer, f"{answer.job_id}{SUFFIX}")
        return answer

    def put(self, job: Job) -> None:
        """Record a job as it was read: in the index, and in a window if it waits."""
        self._writer.put(row_of(job))
        self._mark_dirty()
        self.order.offer_job(job)

    def report(self, row: list[Any]) -> None:
        """Record a job as a worker reported it, in the columns of index.rows."""
        self._writer.put(row)
        self._mark_dirty()
        self.order.offer(row[ID], row[STATE], row[PRIORITY], row[RUN_AT], row[LANE])
        if self._has_dependents and row[STATE] in ENDED and self.degraded is None:
            self._commit_at = self._clock.monotonic()  # others may wait for it

    def _mark_dirty(self) -> None:
        if self._commit_at == NEVER and self.degraded is None:
            self._commit_at = self._clock.monotonic() + COMMIT_S

    def _offer_row(self, row: dict[str, Any]) -> None:
        now = self._clock.now()
        run_at = min(row["run_at"], now) if row["ready"] == 1 else row["run_at"]  # the clock may have been set back
        self.order.offer(row["id"], row["state"], row["priority"], run_at, row["lane"])

    def _report_moved(self, job: Job) -> None:
        self.order.forget(job.id)
        self.put(job)
        details = {"reason": job.dead_reason, "error": job.last_error}
        self._emit(Event(job.last_event, job.id, job.state, details))

    def read_changes(self, *, whole: bool = False) -> None:
        """Refresh the jobs that other processes changed in place: the first of them now, the rest with `step`."""
        self._has_changes = False
        try:
            while changes := Changes(self._spool, CHANGES_BYTES if self.degraded is None else ALL):
                for job_id in dict.fromkeys(changes.ids()):
                    self.refresh(job_id)
                self.commit()
                if self.degraded is not None:
                    return  # no change may be removed before the index has it
                changes.forget()
                if not whole:
                    self._has_changes = True
                    return
        except OSError as error:
            self._log.error(f"run/changes cannot be read: {error.strerror} action=changes")

    def examine_later(self, job_id: str, after_s: float) -> None:
        """Examine a job's file in pending/ again in `after_s` seconds, or at an earlier time that is set."""
        self._timers.set(job_id, self._clock.monotonic() + after_s)

    # --- the next job

    @property
    def assigned(self) -> Set[str]:
        """Ids of jobs that were given to a worker or adopted and are not settled."""
        return self.order.assigned

    def next(self, *, ahead: bool = False) -> str | None:
        """Return the job to start next and count it as assigned; see `StartOrder.next`. None on a full disk."""
        return None if self.disk_space.shortage is not None else self.order.next(ahead=ahead)

    def is_unfinished(self, batch: str) -> bool:
        """Tell whether a job of a batch has not ended, as far as the index shows it; also when that is unknown."""
        if self.degraded is not None or not self.compared:
            return True
        try:
            return self._writer.is_unfinished(batch)
        except IndexUnavailable as error:
            self._fail(error)
            return True

    def has_nothing_to_start(self) -> bool:
        """Tell whether no job waits for a worker or a retry, as far as is known; those held or scheduled do not count."""
        if self.degraded is not None or self._sync is not None or self._commit_at != NEVER or not self.compared:
            return False
        try:
            return not self._writer.has_work()
        except IndexUnavailable as error:
            self._fail(error)
            return False

    def released(self, job_id: str, answer: dict[str, Any] | None = None) -> None:
        """A worker has reported on a job, so it is no longer assigned. `answer` says why it was not claimed, if it was not."""
        touched = job_id in self.touched
        self.touched.discard(job_id)
        reason = None if answer is None else answer["reason"]
        if answer is not None and reason == RefusalReason.LIMIT:
            self.order.close_lane(job_id, answer["detail"], answer["again_s"])
        is_unchanged = reason in (RETURNED, RefusalReason.LIMIT) and not touched
        if self.order.release(job_id, has_started=answer is None, offer_again=is_unchanged):
            return  # nothing has happened to it, so its file need not be read again
        if reason == RefusalReason.PAUSED:
            self.order.read_pauses()
        if answer is not None and answer["reason"] == RefusalReason.FULL:
            self.disk_space.wait(answer["detail"])
        if answer is not None and answer.get("again_s") is not None and answer["reason"] != RefusalReason.EARLY:
            renamed = answer.get("as")
            if renamed:
                self.refresh(job_id)
            self.examine_later(renamed or job_id, answer["again_s"])
        elif answer is not None:
            if answer["reason"] == RefusalReason.REJECTED:
                self._emit(Event("rejected", job_id, details={"detail": answer.get("detail")}))
            self.refresh(job_id)
        elif touched:
            self.arrived(f"{job_id}{SUFFIX}")

    # --- time

    def next_step(self, now: float) -> float:
        """Return the monotonic time at which `step` has something to do; `now` is monotonic."""
        if self._sync is not None or self._has_changes or self._has_undecided:
            return now
        parts = (self.disk_space.next_step, self.order.next_step(now), self._dependents.next_step)
        return min(self._commit_at, self._repair_at, self._timers.first, *parts)

    def step(self, now: float) -> None:
        """Do what is due: commit, examine files again, continue the comparison."""
        self.order.step(now)
        for job_id in self._timers.due(now):
            self.arrived(f"{job_id}{SUFFIX}")
        self.disk_space.step(now)
        if self._has_changes:
            self.read_changes()
        if now >= self._commit_at:
            self.commit()
        if self._has_undecided or now >= self._dependents.next_step:
            self._decide(now)
        if now >= self._repair_at:
            self._repair()
        if self._sync is not None:
            self._step_sync()

    # --- the index

    @property
    def in_cycles(self) -> list[str]:
        """Jobs that come after themselves, so that none of them can start."""
        return sorted(self._dependents.in_cycles)

    @property
    def is_comparing(self) -> bool:
        """A comparison of spool and index is under way."""
        return self._sync is not None

    def begin_sync(self, *, watched: bool, is_routine: bool = False) -> int:
        """Compare the spool with the index, a piece in each step.

        Args:
            watched: file-system events report changes meanwhile.
            is_routine: it is repeated because there are no events; after the first one it does not count as progress.

        Returns:
            The value of `compared` at which the index shows everything that has happened until now.
        """
        self._watched = watched
        if self.degraded is not None:
            return self.compared
        if self._sync is not None:
            self._once_more = True  # it may have read a file before its last change
            return self.compared + 2
        self._sync = sync(self._spool, self._writer, watched=watched)
        self._is_routine = is_routine and self.compared > 0
        self.progress = None if self._is_routine else "starting"
        return self.compared + 1

    def clock_was_set(self) -> None:
        """Read pauses and retries again: after the clock was set back these would wait longer than any retry may."""
        self.order.read_pauses()
        if self._sync is None and self.degraded is None:
            self.commit()
            self._sync, self._is_routine = self._read_retries(), False
            self.progress = "after the clock was set"

    def _read_retries(self) -> Iterator[Progress]:
        with Reader(self._spool.layout.index) as reader:
            query = Query(("failed",), sort="id", limit=RETRIES_AT_ONCE)
            while True:
                page = reader.page(query)
                progress = Progress()
                found = (self._spool.read_in(PENDING, row["id"]) for row in page.rows)
                progress.fresh = [job for job in found if job is not None]
                yield progress
                if page.cursor is None:
                    return
                query.cursor = page.cursor

    def _step_sync(self) -> None:
        if self._sync is None:
            return
        try:
            progress = next(self._sync)
        except StopIteration:
            self._sync = self.progress = None
            self.compared += 1
            self._after_sync()
            if self._once_more:
                self._once_more = False
                self.begin_sync(watched=self._watched, is_routine=True)
        except IndexUnavailable as error:
            self._fail(error)
        except (OSError, QueueError) as error:
            self._log.error(f"the comparison of spool and index failed: {error} action=sync")
            self._sync = self.progress = None
        else:
            self.progress = None if self._is_routine else str(progress)
            for job in progress.fresh:
                self.order.offer_job(job)
            for name, after_s in progress.later:
                self.examine_later(name.removesuffix(SUFFIX), after_s)

    def _after_sync(self) -> None:
        """Decide about jobs whose parents changed while no supervisor ran; count the starts of that time."""
        self._has_undecided = True
        if self._is_routine:
            return
        try:
            self._writer.ask_about_missing()
            self.order.read_starts()
        except IndexUnavailable as error:
            self._fail(error)

    def commit(self) -> None:
        """Commit the rows that were put into the index."""
        self._commit_at = NEVER
        if self.degraded is not None:
            return
        try:
            if not self._writer.is_in_place:
                raise IndexUnavailable("its file was removed")
            self._writer.commit()
            self.commits += 1
            self._has_undecided = self._has_undecided or self._writer.has_undecided
            self._has_dependents = self._writer.has_dependents
        except IndexUnavailable as error:
            self._fail(error)

    def _decide(self, now: float) -> None:
        """Decide about jobs with parents."""
        self._has_undecided = False
        if self.degraded is not None:
            return
        try:
            self._has_undecided = self._dependents.step(now)
        except IndexUnavailable as error:
            self._fail(error)

    def _fail(self, error: QueueError) -> None:
        """Continue without the index, and try to open it soon and then every INDEX_RETRY_S.

        Not at once, because the whole home may be being removed. An index that opens and soon fails again is locked by
        another process: each attempt to write to it delays the loop.
        """
        now = self._clock.monotonic()
        if self.degraded is None:
            self._log.error(f"the index cannot be used: {error} action=degraded")
        is_new = self.degraded is None and now - self._failed_at > INDEX_RETRY_S
        self._failed_at, self._repair_at = now, now + (INDEX_SOON_S if is_new else INDEX_RETRY_S)
        self.degraded = str(error)
        self._sync = self.progress = None
        self._commit_at = NEVER

    def doubt(self) -> None:
        """A reader could not read the index: check it and repair it."""
        if was_in_use := self.degraded is None:
            self._fail(IndexUnavailable("it cannot be read"))
        if was_in_use or self._repair_at <= self._clock.monotonic() + INDEX_SOON_S:
            self._repair()

    def _repair(self) -> None:
        """Open the index again; missing rows are read from the spool."""
        self._repair_at = NEVER
        try:
            self._writer.reopen()
        except IndexUnavailable as error:
            self._fail(error)
            return
        self.degraded = None
        self._mark_dirty()
        if self._writer.needs_sync:
            self._log.info("the index is being compared with the spool action=sync")
            self.begin_sync(watched=self._watched)

    def close(self) -> None:
        """Commit and close the index."""
        try:
            self._writer.close(clean=self.degraded is None)
        except IndexUnavailable as error:
            self._log.error(f"the index could not be closed: {error} action=close")


class DurableStarts:
    """Syncs fresh `started` entries together and soon, so that no job waits for the disk before it starts.

    Guarantees: with durability `full`, an attempt that crashes the machine is counted, unless it does so within SYNC_STARTS_S.
    """

    def __init__(self, spool: Spool, log: Log) -> None:
        self._spool = spool
        self._log = log
        self._unsynced: dict[str, None] = {}
        self.next_step = NEVER

    def began(self, job_id: str) -> None:
        """Record that a job was started."""
        if self._spool.settings.durability == "full":
            self._unsynced[job_id] = None
            self.next_step = min(self.next_step, self._spool.clock.monotonic() + SYNC_STARTS_S)

    def ended(self, job_id: str) -> None:
        """Record that it was settled, which synced its start as well."""
        self._unsynced.pop(job_id, None)

    def step(self, now: float) -> None:
        """Sync the starts that are due; `now` is monotonic."""
        if now < self.next_step:
            return
        self.next_step = NEVER
        for job_id in self._unsynced:
            try:
                self._spool.sync_started(job_id)
            except OSError as error:
                self._log.error(f"job {job_id}: its start is not durable: {error} action=sync")
        self._unsynced.clear()
