"""starts: makes fresh `started` entries durable, together and soon, so that nobody waits for the disk to start a job.

Guarantees: with durability `full`, a job that brings the machine down is counted, unless it does so within EVERY_S.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.log import Log
    from queuectl.spool.spool import Spool

EVERY_S = 1.0


class DurableStarts:
    """Jobs that were started since the last sync and still run."""

    def __init__(self, spool: Spool, log: Log) -> None:
        self._spool = spool
        self._log = log
        self._unsynced: dict[str, None] = {}
        self.next_step = math.inf

    def began(self, job_id: str) -> None:
        """A job was started."""
        if self._spool.settings.durability == "full":
            self._unsynced[job_id] = None
            self.next_step = min(self.next_step, self._spool.clock.monotonic() + EVERY_S)

    def ended(self, job_id: str) -> None:
        """It has been settled, which synced more than its start."""
        self._unsynced.pop(job_id, None)

    def step(self, now: float) -> None:
        """Sync what is due; `now` is monotonic."""
        if now < self.next_step:
            return
        self.next_step = math.inf
        for job_id in self._unsynced:
            try:
                self._spool.sync_started(job_id)
            except OSError as error:
                self._log.error(f"job {job_id}: its start is not durable: {error} action=sync")
        self._unsynced.clear()
