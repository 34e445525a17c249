"""lowered_limits: the warning that waiting jobs can never start after a change of a limit.

Guarantees: the jobs are read before the change, so those count that a supervisor moves to dead/ at once.
Cost:       one pass over the rows of the index, only for a change of max_running, queues or resources.
"""

from __future__ import annotations

import os

from queuectl.client.queue import Queue
from queuectl.config import config_file
from queuectl.errors import QueueError
from queuectl.scheduling.limits import capacities_of
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.terminal import Screen

MOST_NAMED = 3
LIMITS = ("max_running", "queues", "resources")


def startable_lanes(home: str) -> dict[str, tuple[int, str]]:
    """Return how many jobs wait in each lane that demands more than a place in its queue, and for which there is enough; and one.

    Without an index there are none.
    """
    try:
        queue = Queue(home)
        if not queue.layout.has_spool:
            return {}
        with queue.reader(lambda _behind: None) as reader:
            lanes = reader.demanding_lanes()
        capacities = capacities_of(queue.settings)
    except QueueError:
        return {}
    return {lane: found for lane, found in lanes.items() if capacities.never_enough(lane) is None}


def warn(screen: Screen, home: str, lanes: dict[str, tuple[int, str]], name: str) -> None:
    """Warn of the jobs in these lanes for which there is too little since the setting `name` was changed."""
    capacities = capacities_of(config_file.load(home, os.environ))
    left = [found for lane, found in lanes.items() if capacities.never_enough(lane) is not None]
    count, ids = sum(jobs for jobs, _ in left), sorted(job_id for _, job_id in left)[:MOST_NAMED]
    if count:
        more = " ..." if count > len(ids) else ""
        screen.warn(
            f"{plural(count, 'waiting job')} ({', '.join(ids)}{more}) can never start, because {name} is lower than what {'it needs' if count == 1 else 'they need'};"
            f" a supervisor moves {'it' if count == 1 else 'them'} to the dead letter queue"
        )
        screen.message(
            f"To run {'it' if count == 1 else 'them'} after all, raise {name}, then: queuectl dlq retry --error {name}"
        )
