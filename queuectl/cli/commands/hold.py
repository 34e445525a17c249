"""hold: keep waiting jobs from being started."""

from __future__ import annotations

from queuectl.cli.home import queue_to_change
from queuectl.cli.ids import Unchanged
from queuectl.cli.selection import Verb, act_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.selection import Check
    from queuectl.cli.terminal import Screen
    from queuectl.job.job import Job


def run(args: Arguments, screen: Screen) -> int:
    """Hold each job; one that is held already stays as it is."""
    queue = queue_to_change(args, screen)

    def hold(job_id: str, check: Check | None) -> str:
        def look(job: Job) -> None:
            if job.state == "held":
                raise Unchanged(job.id, job.state, "had been held already")
            if check is not None:
                check(job)

        job = queue.hold(job_id, look)
        return f"Held {job.id}: it starts after queuectl release {job.id}"

    return act_on(args, screen, queue, Verb("hold", "hold", "held"), hold)
