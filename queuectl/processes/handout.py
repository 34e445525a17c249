"""handout: which worker is told to run which job, and when it is asked to give one back.

Owns:       the orders of all slots.
Guarantees: a worker that is idle gets the next job first; one whose jobs are short is told of one more ahead of time,
            so that it need not wait for us between two; a job never waits behind a slow one for longer than QUICK_S
            while it could be run elsewhere, nor behind a worker that does not answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.processes.appointments import NEVER
from queuectl.processes.control import BUSY, IDLE
from queuectl.processes.slots import QUICK_S

if TYPE_CHECKING:
    from typing import Any

    from queuectl.processes.dispatch import Dispatcher
    from queuectl.processes.slots import Slot
    from queuectl.spool.spool import Spool

ANSWER_S = 1.0


class Handout:
    """Hands jobs to workers.

    Attributes:
        next_step: the monotonic time at which `step` has something to do, all else unchanged.
    """

    def __init__(self, spool: Spool, slots: dict[str, Slot], dispatch: Dispatcher) -> None:
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
            for slot in self._slots.values():
                is_next_wanted = slot.state == BUSY and slot.is_quick and len(slot.orders) == 1
                if is_next_wanted and now - slot.job_started < QUICK_S and not self._give(slot, now, wall):
                    break
        self._recall(now, wall, at_once=is_short_of_jobs)

    def _give(self, slot: Slot, now: float, wall: float) -> bool:
        job_id = self._dispatch.next()
        if job_id is not None:
            slot.order(job_id, now, wall)
        return job_id is not None

    def _recall(self, now: float, wall: float, *, at_once: bool) -> None:
        self.next_step = NEVER
        for slot in self._slots.values():
            job_id = slot.waiting_order
            if job_id is None:
                continue
            ask_at = now if at_once else slot.job_started + QUICK_S
            if slot.asked_back is None and now >= ask_at:
                slot.ask_back(job_id, now)
            take_at = slot.asked_back + ANSWER_S if slot.asked_back is not None else ask_at
            if slot.asked_back is not None and now >= take_at:
                self.release(slot, job_id)  # should it begin with it after all, the job's lock decides
            else:
                self.next_step = min(self.next_step, take_at)

    def began(self, slot: Slot, job_id: str) -> None:
        """A worker has begun with a job."""
        now = self._clock.monotonic()
        if job_id not in slot.orders:  # we had taken it back
            slot.orders.append(job_id)
            self._dispatch.in_hand.add(job_id)
            slot.handle("took")
        if slot.job_id != job_id:  # the one before waits for the disk
            slot.begin(job_id, now, self._clock.now())
        slot.job_started = now

    def release(self, slot: Slot, job_id: str, answer: dict[str, Any] | None = None) -> None:
        """A worker is done with a job, does not run it (then `answer` says why), or has given it back."""
        if job_id in slot.orders:
            slot.end(job_id, self._clock.monotonic(), self._clock.now())
        if not any(job_id in other.orders for other in self._slots.values()):
            self._dispatch.released(job_id, answer)

    def returned(self, slot: Slot, job_id: str) -> None:
        """A worker has given back what it had not begun."""
        self.release(slot, job_id, {"reason": "returned"})
