"""prefetch: which worker is told to run which job, and when it is asked to give one back.

Owns:       the orders of all slots.
Guarantees: a worker that is idle gets the next job first; one whose jobs are short is told of more ahead of time, so
            that it need not wait for us between two: as many as it runs in AHEAD_S, and at most AHEAD; of one, where jobs
            are few. What waits behind a slow job is asked back after QUICK_S, at once when somebody is idle or runs
            have become longer, and taken from a worker that does not answer within ANSWER_S.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.control_client import BUSY, IDLE
from queuectl.timers import NEVER

if TYPE_CHECKING:
    from typing import Any

    from queuectl.spool.spool import Spool
    from queuectl.supervisor.dispatcher import Dispatcher
    from queuectl.supervisor.worker_pool import WorkerSlot

ANSWER_S = 1.0
QUICK_S = 0.05  # a job that takes less is short
AHEAD = 15
AHEAD_S = 0.04


class Prefetch:
    """Hands jobs to workers.

    Attributes:
        next_step: the monotonic time at which `step` has something to do, all else unchanged.
    """

    def __init__(self, spool: Spool, slots: dict[str, WorkerSlot], dispatch: Dispatcher) -> None:
        self._clock = spool.clock
        self._slots = slots
        self._dispatch = dispatch
        self.next_step = NEVER

    def step(self, now: float) -> None:
        """Hand out what is due; `now` is monotonic."""
        wall = self._clock.now()
        is_short_of_jobs = False
        for slot in self._slots.values():
            if slot.state == IDLE:
                is_short_of_jobs = not self._give(slot, now, wall)
                if is_short_of_jobs:
                    break
        else:
            self._give_ahead(now, wall)
        for slot in self._slots.values():
            slot.flush()
        self._recall(now, wall, at_once=is_short_of_jobs)

    def _give_ahead(self, now: float, wall: float) -> None:
        """Tell those who run short jobs of the next ones, each of one before any of two."""
        busy = [slot for slot in self._slots.values() if slot.state == BUSY and now - slot.job_started < QUICK_S]
        quick = {slot: slot.took_s for slot in busy if slot.took_s is not None and slot.took_s < QUICK_S}
        for slot in quick:
            if len(slot.orders) < 2 and not self._give(slot, now, wall):
                return
        for slot, took_s in quick.items():
            most = 1 + (AHEAD if took_s * AHEAD < AHEAD_S else int(AHEAD_S / took_s))
            while len(slot.orders) < most and self._dispatch.has_many(AHEAD * len(self._slots)):
                if not self._give(slot, now, wall):
                    return

    def _give(self, slot: WorkerSlot, now: float, wall: float) -> bool:
        job_id = self._dispatch.next()
        if job_id is not None:
            slot.order(job_id, now, wall)
        return job_id is not None

    def _recall(self, now: float, wall: float, *, at_once: bool) -> None:
        self.next_step = NEVER
        for slot in self._slots.values():
            waiting = slot.waiting
            if not waiting:
                continue
            is_late = slot.took_s is not None and len(waiting) * slot.took_s > QUICK_S
            ask_at = now if at_once or is_late else slot.job_started + QUICK_S
            if slot.asked_back is None and now >= ask_at:
                slot.ask_back(now)
            take_at = slot.asked_back + ANSWER_S if slot.asked_back is not None else ask_at
            if slot.asked_back is not None and now >= take_at:
                for job_id in waiting:
                    # Should it begin with it after all, the job's lock decides.
                    self.release(slot, job_id, {"reason": "unanswered"})
                    slot.unanswered.add(job_id)
            else:
                self.next_step = min(self.next_step, take_at)

    def began(self, slot: WorkerSlot, job_id: str) -> None:
        """A worker has begun with a job."""
        now = self._clock.monotonic()
        slot.unanswered.discard(job_id)
        if job_id not in slot.orders:  # we had taken it back
            slot.orders.append(job_id)
            self._dispatch.assigned.add(job_id)
            slot.handle("took")
        if slot.job_id != job_id:  # the one before waits for the disk
            slot.begin(job_id, now, self._clock.now())
        slot.job_started = now

    def release(self, slot: WorkerSlot, job_id: str, answer: dict[str, Any] | None = None) -> None:
        """A worker is done with a job, does not run it (then `answer` says why), or has given it back."""
        slot.unanswered.discard(job_id)
        if job_id in slot.orders:
            slot.end(job_id, self._clock.monotonic(), self._clock.now())
        if not any(job_id in other.orders for other in self._slots.values()):
            self._dispatch.released(job_id, answer)

    def returned(self, slot: WorkerSlot, job_id: str) -> None:
        """A worker has given back what it had not begun."""
        self.release(slot, job_id, {"reason": "returned"})
