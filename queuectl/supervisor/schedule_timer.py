"""schedule_timer: wakes the supervisor at the next slot of a schedule, and has the jobs of the slots made.

Guarantees: nothing is done and nothing is imported while there is no schedule. A schedule that is not valid is logged once.
Source:     spool/FORMAT.md § Schedules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.scheduling import schedules
from queuectl.spool.schedules import tick
from queuectl.timers import NEVER
from queuectl.units import listed, plural

if TYPE_CHECKING:
    from queuectl.log import Log
    from queuectl.scheduling.schedules import InvalidSchedule, Schedule
    from queuectl.spool.schedules import Ticked
    from queuectl.spool.spool import Spool

AGAIN_S = 60.0  # after an error, and where the system does not report that the clock was set
BUSY_S = 0.5
MOST_NAMED = 3


class ScheduleTimer:
    """When the next slot is.

    Attributes:
        next_step: the monotonic time at which `step` has something to do.
        is_clock_watched: `changed` is called when the clock was set.
    """

    def __init__(self, spool: Spool, log: Log) -> None:
        self._spool = spool
        self._log = log
        self._valid: dict[str, Schedule] = {}
        self._invalid: dict[str, InvalidSchedule] = {}
        self._read: dict[str, object] | None = None
        self.is_clock_watched = False
        self.next_step = -NEVER

    def changed(self) -> None:
        """Look again at once: the configuration, a pause or the clock has changed."""
        self.next_step = -NEVER

    def step(self, now: float, *, draining: bool) -> None:
        """Make the jobs that are due; `now` is monotonic. A supervisor that is draining leaves it to the next one."""
        if draining:
            self.next_step = NEVER
        if now < self.next_step:
            return
        if self._spool.settings.schedules != self._read:
            self._read_settings()
        wall = self._spool.clock.now()
        self.next_step = NEVER
        try:
            for ticked in tick(self._spool, self._valid, self._invalid, wall):
                self._log_one(ticked)
                if ticked.is_busy or ticked.error:
                    self.next_step = min(self.next_step, now + (BUSY_S if ticked.is_busy else AGAIN_S))
        except (QueueError, OSError) as error:
            self._log.error(f"schedules cannot be read: {error} action=schedule")
            self.next_step = now + AGAIN_S
        slots = [slot for each in self._valid.values() if (slot := each.recurrence.after(wall)) is not None]
        if slots:
            self.next_step = min(self.next_step, now + min(slots) - wall)
            if not self.is_clock_watched:
                self.next_step = min(self.next_step, now + AGAIN_S)

    def _read_settings(self) -> None:
        self._read = self._spool.settings.schedules
        known = {name: str(error) for name, error in self._invalid.items()}
        self._valid, self._invalid = schedules.read(self._spool.settings)
        for name, error in self._invalid.items():
            if known.get(name) != str(error):
                self._log.error(f"{error}; it makes no jobs action=schedule")

    def _log_one(self, ticked: Ticked) -> None:
        if ticked.made:
            self._log.info(f"schedule {ticked.name}: added {listed(ticked.made, MOST_NAMED)} action=schedule")
        if ticked.missed:
            self._log.warning(f"schedule {ticked.name}: missed {plural(ticked.missed, 'slot')} action=schedule")
        if ticked.skipped:
            self._log.info(f"schedule {ticked.name}: skipped a slot, its last job has not ended action=schedule")
        if ticked.error:
            self._log.error(f"{ticked.error} action=schedule")
