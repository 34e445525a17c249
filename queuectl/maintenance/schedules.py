"""schedules: makes the jobs of the schedules' slots that are due, as the supervisor does, for a queue that cron maintains.

Guarantees: whoever makes the job of a slot first, there is one. A schedule that is not valid is reported.
"""

from __future__ import annotations

import os

from queuectl.config import config_file
from queuectl.maintenance.context import Report
from queuectl.scheduling.schedules import read
from queuectl.spool.schedules import TICKED, tick
from queuectl.units import listed, plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.errors import QueueError
    from queuectl.maintenance.context import TaskContext

MOST_NAMED = 5


def run_once(work: TaskContext) -> Report:
    """Make the jobs that are due; with `dry_run` only check the schedules. Crash: the next run continues."""
    valid, invalid = read(work.settings)
    failed: list[QueueError] = [
        error.placed(config_file.place_of(work.layout.home, os.environ, ("schedules", *error.path)))
        for error in invalid.values()
    ]
    made: list[str] = []
    missed = 0
    for ticked in tick(work.spool, valid, invalid, work.spool.clock.now()) if not work.dry_run else ():
        made += ticked.made
        missed += ticked.missed
        if ticked.error:
            failed.append(ticked.error)
    if valid:
        work.note(TICKED)
    words = f"added {plural(len(made), 'job')} of schedules: {listed(made, MOST_NAMED)}" if made else ""
    if missed:
        words = f"{words}{', ' if words else ''}{plural(missed, 'slot')} of schedules missed"
    return Report(words, failed=failed, made=made, missed=missed)
